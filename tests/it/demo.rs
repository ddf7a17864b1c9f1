//! `aerostack demo`: the whole story, each step as the command a person would type and its
//! real output.

use aerostack::server::demo_upstream::hash_prefix;
use serde_json::Value;

/// With an environment that holds nothing at all, not even a home.
#[test]
fn demo_tells_the_whole_story() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_aerostack")).arg("demo").env_clear().output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(err, "");
    let (first, second) = ("Bearer ghp_first_demo_value", "Bearer ghp_second_demo_value");
    let (first_hash, second_hash) = (hash_prefix(first.as_bytes()), hash_prefix(second.as_bytes()));
    let today = &jiff::Timestamp::now().to_string()[..10];
    let story = [
        " 1. ",
        "$ aerostack secrets set demo-mcp GITHUB_TOKEN ghp_first_demo_value",
        "Secret created. Takes effect on next tool call.",
        " 2. ",
        "$ aerostack secrets list demo-mcp",
        &format!("GITHUB_TOKEN   GITHUB_TOKEN    {today}"),
        " 3. ",
        "$ aerostack secrets inject demo-mcp GITHUB_TOKEN --bearer",
        "Injected as: Authorization: Bearer ****",
        &format!("GITHUB_TOKEN   Authorization (Bearer)    {today}"),
        " 4. ",
        "$ curl -sS \"$AEROSTACK_WORKSPACE_URL\"",
        "\"method\":\"initialize\"",
        " 5. ",
        "\"name\":\"demo-mcp__whoami\"",
        &format!("\"authorization\":\"{first_hash}\""),
        &format!("$ printf %s '{first}' | sha256sum | cut -c1-16\n{first_hash}"),
        " 6. ",
        "$ aerostack secrets set demo-mcp GITHUB_TOKEN ghp_second_demo_value",
        "Secret updated. Takes effect on next tool call.",
        " 7. ",
        &format!("\"authorization\":\"{second_hash}\""),
        &format!("$ printf %s '{second}' | sha256sum | cut -c1-16\n{second_hash}"),
        " 8. ",
        "$ aerostack secrets delete demo-mcp GITHUB_TOKEN --yes",
        "Deleted GITHUB_TOKEN from demo-mcp. No longer sent from the next tool call.",
        " 9. ",
        "That was all of it.",
    ];
    let mut rest = out.as_str();
    for step in story {
        let (_, after) = rest.split_once(step).unwrap_or_else(|| panic!("{step} is missing after:\n{rest}"));
        rest = after;
    }
    let last_call = out.rsplit_once(" 9. ").unwrap().1;
    let answer =
        last_call.lines().find(|line| line.starts_with('{') && line.contains("structuredContent")).unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    let headers = answer["result"]["structuredContent"]["headers"].as_object().unwrap();
    assert!(!headers.contains_key("authorization") && headers.contains_key("host"), "{answer}");
}
