//! The conformance suite's client scenarios with the gateway as the client: the suite's
//! server is an upstream, a member lists and calls its tools on the workspace's route.

use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::harness::Companion;
use crate::harness::conformance::{ClientRun, client_run, describe};
use crate::harness::parts::parts;

/// The TypeScript SDK 1: the gateway must do all that a client of 2026-07-28 does.
const OLDER: &str = "legacy";
/// The TypeScript SDK 2, pinned to 2026-07-28.
const NEWER: &str = "modern";
/// How many at a time.
const WORKERS: usize = 2;

/// Scenario, revision of the upstream, member.
type Scenario = (&'static str, &'static str, &'static str);

const SCENARIOS: [Scenario; 26] = [
    ("initialize", "2025-11-25", OLDER),
    ("initialize", "2025-11-25", NEWER),
    ("tools_call", "2025-11-25", OLDER),
    ("tools_call", "2025-11-25", NEWER),
    ("elicitation-sep1034-client-defaults", "2025-11-25", OLDER),
    ("elicitation-sep1034-client-defaults", "2025-11-25", NEWER),
    ("sse-retry", "2025-11-25", OLDER),
    ("sse-retry", "2025-11-25", NEWER),
    ("json-schema-2020-12-preservation", "2025-11-25", OLDER),
    ("json-schema-2020-12-preservation", "2025-11-25", NEWER),
    ("tools_call", "2026-07-28", OLDER),
    ("tools_call", "2026-07-28", NEWER),
    ("request-metadata", "2026-07-28", OLDER),
    ("request-metadata", "2026-07-28", NEWER),
    ("http-standard-headers", "2026-07-28", OLDER),
    ("http-standard-headers", "2026-07-28", NEWER),
    ("http-custom-headers", "2026-07-28", OLDER),
    ("http-custom-headers", "2026-07-28", NEWER),
    ("http-invalid-tool-headers", "2026-07-28", OLDER),
    ("http-invalid-tool-headers", "2026-07-28", NEWER),
    ("sep-2322-client-request-state", "2026-07-28", OLDER),
    ("sep-2322-client-request-state", "2026-07-28", NEWER),
    ("json-schema-ref-no-deref", "2026-07-28", OLDER),
    ("json-schema-ref-no-deref", "2026-07-28", NEWER),
    ("json-schema-2020-12-preservation", "2026-07-28", OLDER),
    ("json-schema-2020-12-preservation", "2026-07-28", NEWER),
];

/// Those that do not pass; docs/CONFORMANCE.md says why.
const NOT_PASSED: [Scenario; 1] = [("request-metadata", "2026-07-28", OLDER)];

/// One scenario with one kind of member.
pub struct Outcome {
    pub scenario: &'static str,
    pub revision: &'static str,
    pub member: &'static str,
    pub run: ClientRun,
}

fn run(folder: &Path, (scenario, revision, member): Scenario) -> Outcome {
    let companion = Companion::start();
    let token = companion.token("default");
    let variables = [
        ("AEROSTACK_API_URL", companion.base_url.as_str()),
        ("AEROSTACK_API_KEY", companion.api_key.as_str()),
        ("MWT", token.as_str()),
        ("MEMBER", member),
    ];
    // On a busy machine it may have been late.
    let mut run = client_run(folder, scenario, revision, &variables);
    if !run.passed {
        run = client_run(folder, scenario, revision, &variables);
    }
    Outcome { scenario, revision, member, run }
}

/// All of them, measured once for all tests.
pub fn outcomes(folder: &Path) -> &'static [Outcome] {
    static OUTCOMES: OnceLock<Vec<Outcome>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let waiting = Mutex::new(SCENARIOS.iter().enumerate());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some((at, one)) = { waiting.lock().unwrap().next() } {
                        let outcome = run(folder, *one);
                        done.lock().unwrap().push((at, outcome));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    })
}

#[test]
fn the_gateway_is_the_client_that_the_suite_demands() {
    let Some(folder) = parts("the_gateway_is_the_client_that_the_suite_demands") else { return };
    let mut lines = Vec::new();
    for Outcome { scenario, revision, member, run } in outcomes(&folder) {
        if run.passed == NOT_PASSED.contains(&(*scenario, *revision, *member)) {
            let (checks, passed) = (describe(&run.checks), run.passed);
            lines.push(format!(
                "{scenario}, {revision}, {member} member: passed: {passed}\n{checks}{}",
                run.said
            ));
        }
    }
    assert!(lines.is_empty(), "{} are not as expected:\n{}", lines.len(), lines.join("\n"));
}
