//! Words of other tools for commands of ours. What sounds alike is no help here: 'get' is
//! nearest to 'set', which writes.

/// What somebody meant who typed this word under this command; `None` if it is no such word.
pub(super) fn meant(group: &str, word: &str) -> Option<&'static str> {
    let found = WORDS.iter().find(|(of, words, _)| *of == group && words.contains(&word));
    found.map(|(_, _, meant)| *meant)
}

const LOOK: &[&str] =
    &["get", "show", "read", "view", "reveal", "print", "cat", "download", "export", "pull"];
const REMOVE: &[&str] = &["rm", "remove", "del", "delete", "unset", "destroy", "drop", "revoke"];
const MAKE: &[&str] = &["add", "create", "new", "put", "set", "register", "issue"];
const CHANGE: &[&str] = &["update", "edit", "change", "modify", "set"];
const LIST: &[&str] = &["ls", "list", "all"];

/// The command, its words, and what to say. The first row that fits counts.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("secrets", LOOK, "no command returns a value; names and dates: aerostack secrets list"),
    ("secrets", REMOVE, "did you mean 'delete'?"),
    ("secrets", MAKE, "did you mean 'set'?"),
    ("secrets", CHANGE, "did you mean 'set'?"),
    ("secrets", LIST, "did you mean 'list'?"),
    ("secrets", &["push", "upload", "load", "bulk", "sync"], "did you mean 'import'?"),
    ("secrets", &["map", "header", "rule"], "did you mean 'inject'?"),
    ("mcp", REMOVE, "did you mean 'remove'?"),
    ("mcp", MAKE, "did you mean 'add'?"),
    ("mcp", CHANGE, "did you mean 'update'?"),
    ("mcp", &["enable", "disable", "rename"], "did you mean 'update'?"),
    ("mcp", LIST, "did you mean 'list'?"),
    ("mcp", &["get", "show", "view"], "did you mean 'list'?"),
    ("workspace", REMOVE, "did you mean 'delete'?"),
    ("workspace", &["switch", "select", "set", "checkout"], "did you mean 'use'?"),
    ("workspace", MAKE, "did you mean 'create'?"),
    ("workspace", LIST, "did you mean 'list'?"),
    ("workspace", &["get", "show", "view"], "did you mean 'list'?"),
    ("workspace", &["tokens"], "did you mean 'token'?"),
    ("token", REMOVE, "did you mean 'revoke'?"),
    ("token", MAKE, "did you mean 'create'?"),
    (
        "token",
        LOOK,
        "a token is shown once, when it is created; ids and dates: aerostack workspace token list",
    ),
    ("token", LIST, "did you mean 'list'?"),
    ("auth", &["signin", "add", "set"], "did you mean 'login'?"),
    ("auth", &["signout", "rm", "remove", "delete"], "did you mean 'logout'?"),
    (
        "auth",
        &["token", "key", "print"],
        "no command prints the API key; where it comes from: aerostack auth status",
    ),
    ("auth", &["whoami", "show", "list", "get"], "did you mean 'status'?"),
    ("aerostack", &["secret"], "did you mean 'secrets'?"),
    (
        "aerostack",
        &["server", "servers"],
        "MCP servers: aerostack mcp; the companion server: aerostack serve",
    ),
    ("aerostack", &["workspaces", "ws"], "did you mean 'workspace'?"),
    ("aerostack", &["token", "tokens"], "did you mean 'workspace token'?"),
    (
        "aerostack",
        &["set", "rotate", "inject", "import", "delete", "list"],
        "secrets: aerostack secrets --help",
    ),
    (
        "aerostack",
        &["get", "show", "read"],
        "no command returns a value; names and dates: aerostack secrets list",
    ),
    ("aerostack", &["signin"], "did you mean 'login'?"),
    ("aerostack", &["signout"], "did you mean 'logout'?"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_reading_never_leads_to_a_write() {
        for group in ["secrets", "token", "aerostack"] {
            for word in ["get", "show", "read"] {
                let told = meant(group, word).unwrap();
                assert!(!told.contains("'set'") && !told.contains("'create'"), "{group} {word}: {told}");
            }
        }
        assert_eq!(meant("secrets", "rm"), Some("did you mean 'delete'?"));
        assert_eq!(meant("mcp", "delete"), Some("did you mean 'remove'?"));
        assert_eq!(meant("token", "delete"), Some("did you mean 'revoke'?"));
        assert_eq!(meant("workspace", "set"), Some("did you mean 'use'?"));
        assert_eq!((meant("secrets", "xyz"), meant("nothing", "get")), (None, None));
    }
}
