//! The official conformance suite: straight against a server on the official SDK, and
//! against the same server through the gateway. What passes directly must pass through the
//! gateway, scenario by scenario and check by check; docs/CONFORMANCE.md has the count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use crate::conformance_of_a_client::{self as of_a_client, Outcome};
use crate::harness::Companion;
use crate::harness::companion::gateway_path;
use crate::harness::conformance::{
    Check, Checks, against_server, describe, is_extension, passed, required_of_servers,
};
use crate::harness::parts::{Part, PartUpstream, part, parts};
use crate::reference::kept;

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];
const SLUG: &str = "suite";

/// What the suite found in one revision.
struct Found {
    required: BTreeSet<String>,
    direct: BTreeMap<String, Checks>,
    through: BTreeMap<String, Checks>,
}

impl Found {
    fn count_required(&self, scenarios: &[&str]) -> usize {
        scenarios.iter().filter(|scenario| self.required.contains(**scenario)).count()
    }

    /// Scenarios in which something is good directly and not so through the gateway, with
    /// what is wrong.
    fn differences(&self) -> Vec<String> {
        let empty = Vec::new();
        let mut lines = Vec::new();
        for scenario in passing(&self.direct) {
            let (direct, through) = (&self.direct[scenario], self.through.get(scenario).unwrap_or(&empty));
            let missing = missing(direct, through);
            if !passed(through) || !missing.is_empty() {
                let missing = missing.join(", ");
                lines.push(format!("{scenario}\n{}    not seen: {missing}", describe(through)));
            }
        }
        lines
    }
}

/// The scenarios that pass, in order.
fn passing(found: &BTreeMap<String, Checks>) -> Vec<&str> {
    let good = found.iter().filter(|(_, checks)| passed(checks));
    good.map(|(scenario, _)| scenario.as_str()).collect()
}

/// Ids of checks that succeed more often in the first than in the second.
fn missing(direct: &[Check], through: &[Check]) -> Vec<String> {
    let count = |checks: &[Check], id: &str| {
        checks.iter().filter(|check| check.id == id && check.status == "SUCCESS").count()
    };
    let ids: BTreeSet<&str> = direct.iter().map(|check| check.id.as_str()).collect();
    let fewer = ids.into_iter().filter(|id| count(through, id) < count(direct, id));
    fewer.map(str::to_owned).collect()
}

fn directly(folder: &Path, revision: &str) -> BTreeMap<String, Checks> {
    let server = PartUpstream::start(part(folder, "conformance_upstream.mjs"));
    against_server(folder, &server.url(), revision)
}

fn through_the_gateway(folder: &Path, revision: &str) -> BTreeMap<String, Checks> {
    let server = PartUpstream::start(part(folder, "conformance_upstream.mjs"));
    let companion = Companion::start();
    companion.add_server(SLUG, &server.url());
    // The suite knows no token.
    let mut proxy = part(folder, "bearer_proxy.mjs");
    proxy.arg(&companion.base_url).env("MWT", companion.token("default"));
    let proxy = Part::start(proxy);
    let url = format!("http://localhost:{}{}", proxy.listening, gateway_path(Some(SLUG)));
    against_server(folder, &url, revision)
}

/// Both revisions, measured once for all tests here.
fn found(folder: &Path) -> &'static [Found] {
    static FOUND: OnceLock<Vec<Found>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let both = REVISIONS.map(|revision| {
            let (direct, through) = thread::scope(|scope| {
                let direct = scope.spawn(|| directly(folder, revision));
                let through = scope.spawn(|| through_the_gateway(folder, revision));
                (direct.join().unwrap(), through.join().unwrap())
            });
            let required = required_of_servers(folder, revision).into_iter().collect();
            Found { required, direct, through }
        });
        both.into()
    })
}

#[test]
fn the_fixture_passes_all_that_is_required() {
    let Some(folder) = parts("the_fixture_passes_all_that_is_required") else { return };
    for (found, count) in found(&folder).iter().zip([30, 37]) {
        assert_eq!(found.required.len(), count);
        let passing = passing(&found.direct);
        let failed: Vec<_> =
            found.direct.iter().filter(|(name, _)| !passing.contains(&name.as_str())).collect();
        let failed: Vec<_> = failed.into_iter().filter(|(name, _)| !is_extension(name)).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        assert_eq!(found.count_required(&passing), count);
    }
}

#[track_caller]
fn as_directly(test: &str, revision: usize) {
    let Some(folder) = parts(test) else { return };
    let differences = found(&folder)[revision].differences();
    assert!(differences.is_empty(), "{} scenarios differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn what_passes_directly_passes_through_the_gateway_in_2025_11_25() {
    as_directly("what_passes_directly_passes_through_the_gateway_in_2025_11_25", 0);
}

#[test]
fn what_passes_directly_passes_through_the_gateway_in_2026_07_28() {
    as_directly("what_passes_directly_passes_through_the_gateway_in_2026_07_28", 1);
}

#[test]
fn the_count_is_the_one_in_the_documentation() {
    let Some(folder) = parts("the_count_is_the_one_in_the_documentation") else { return };
    let text = document(found(&folder), of_a_client::outcomes(&folder));
    kept(Path::new("docs/CONFORMANCE.md"), &text);
}

const INTRODUCTION: &str = "# Conformance

Measured by the tests with [`@modelcontextprotocol/conformance`](https://www.npmjs.com/package/@modelcontextprotocol/conformance)
0.2.0-alpha.12, and compared with this page by one of them: `tests/run --test it -- conformance`.

## As a server

The suite speaks to a server on the official TypeScript SDK (`tests/parts/conformance_upstream.mjs`), once directly and
once through the gateway, at `/ws/<workspace>/<slug>`. A warning counts as a failure.

| revision | required scenarios | pass directly | pass through the gateway | others that pass directly | of these through the gateway |
| --- | ---: | ---: | ---: | ---: | ---: |
";

const EXTENSIONS: &str = "
Those that do not pass directly are of an optional extension that the SDK does not have: ";

const AS_A_CLIENT: &str = "
## As a client

Here the suite's server is the upstream, and a member of the workspace lists and calls its tools on `/ws/<workspace>`:
with the TypeScript SDK 1 (an older client) or 2 (pinned to 2026-07-28). What the suite sees is what the gateway makes of it.
Its scenarios about authorization with OAuth and about the skills extension do not apply: the gateway gets no token for an
upstream by itself, and has no such extension.

| scenario | upstream | member | passes |
| --- | --- | --- | --- |
";

const AS_AN_OLDER_CLIENT: &str = "
What does not pass is left as it is: `request-metadata` wants that the very first request is one of 2026-07-28. For an older
member the gateway asks a server in the member's own era first, with `initialize`, which has no version in a header yet and
nothing of the newer era in `_meta`. Its checks that are not content with that: ";

fn document(found: &[Found], clients: &[Outcome]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut failing = BTreeSet::new();
    for (revision, found) in REVISIONS.iter().zip(found) {
        let (direct, through) = (passing(&found.direct), passing(&found.through));
        let carried: Vec<_> = through.into_iter().filter(|scenario| direct.contains(scenario)).collect();
        let [all, direct_required] = [found.required.len(), found.count_required(&direct)];
        let carried_required = found.count_required(&carried);
        let [others, carried_others] = [direct.len() - direct_required, carried.len() - carried_required];
        text.push_str(&format!(
            "| {revision} | {all} | {direct_required} | {carried_required} | {others} | {carried_others} |\n"
        ));
        let names = found.direct.keys().map(String::as_str).filter(|name| !direct.contains(name));
        failing.extend(names.map(|name| format!("`{name}`")));
    }
    text.push_str(EXTENSIONS);
    text.push_str(&failing.into_iter().collect::<Vec<_>>().join(", "));
    text.push_str(".\n");
    text.push_str(AS_A_CLIENT);
    for outcome in clients {
        let passes = if outcome.run.passed { "yes" } else { "no" };
        let row = [outcome.scenario, outcome.revision, outcome.member, passes].join(" | ");
        text.push_str(&format!("| {row} |\n"));
    }
    let checks = clients.iter().filter(|outcome| !outcome.run.passed).flat_map(|outcome| &outcome.run.checks);
    let bad: BTreeSet<_> = checks.filter(|check| check.is_bad()).map(|it| format!("`{}`", it.id)).collect();
    text.push_str(AS_AN_OLDER_CLIENT);
    text.push_str(&bad.into_iter().collect::<Vec<_>>().join(", "));
    text.push_str(".\n");
    text
}
