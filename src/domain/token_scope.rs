//! What a workspace token may see and call: all of its workspace, or the servers and the
//! tools that its patterns name. A pattern is a name in which `*` stands for any run of
//! characters, also none. What may be used is decided here and nowhere else.

/// Longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 256;
/// Patterns of one kind in one token.
pub const MAX_PATTERNS: usize = 100;
/// What stands between a server's slug and a tool's name.
const SEPARATOR: &str = "__";

/// Why a text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeProblem {
    /// No pattern at all.
    #[error("a list of patterns must not be empty; leave it out for no limit")]
    Empty,
    /// Over [`MAX_PATTERNS`].
    #[error("a token takes at most 100 patterns of a kind")]
    TooMany,
    /// Not a server's slug with `*`.
    #[error(
        "a server is named by its slug, in which '*' stands for any characters: 'github-mcp' or 'github-*'"
    )]
    Server,
    /// Not `<server>__<tool>`.
    #[error(
        "a tool is named as <server>__<tool>, in which '*' stands for any characters: 'github-mcp__get_*' or '*__get_*'"
    )]
    Tool,
}

/// A name in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String);

impl Pattern {
    /// Every `*` is first taken for nothing, and for one character more whenever what
    /// follows does not fit: at most (length of the pattern) x (length of the name) steps.
    fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                (p, n) = (p + 1, n + 1);
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

/// A tool's pattern: one for the slug, one for the name behind the first `__`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ToolPattern {
    server: Pattern,
    tool: Pattern,
}

/// What a token may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenScope {
    servers: Option<Vec<Pattern>>,
    tools: Option<Vec<ToolPattern>>,
}

impl TokenScope {
    /// Reads patterns; `None` is no limit of that kind.
    ///
    /// # Errors
    /// [`ScopeProblem`] for what is no pattern, and for too many or none at all.
    pub fn parse<S: AsRef<str>>(servers: Option<&[S]>, tools: Option<&[S]>) -> Result<Self, ScopeProblem> {
        Ok(Self {
            servers: servers.map(|texts| read_all(texts, server_pattern)).transpose()?,
            tools: tools.map(|texts| read_all(texts, tool_pattern)).transpose()?,
        })
    }

    /// Whether anything of this server may be used; without it the server does not exist
    /// for the token.
    pub fn allows_server(&self, slug: &str) -> bool {
        let named = self.servers.as_ref().is_none_or(|all| all.iter().any(|one| one.matches(slug)));
        named && self.tools.as_ref().is_none_or(|all| all.iter().any(|one| one.server.matches(slug)))
    }

    /// Whether this tool (its name without the server's) may be seen and called.
    pub fn allows_tool(&self, slug: &str, tool: &str) -> bool {
        let fits = |one: &ToolPattern| one.server.matches(slug) && one.tool.matches(tool);
        self.allows_server(slug) && self.tools.as_ref().is_none_or(|all| all.iter().any(fits))
    }

    /// Whether what is no tool (prompts, resources, completion, ...) of this server may be
    /// used: never with a limit on tools.
    pub fn allows_beyond_tools(&self, slug: &str) -> bool {
        self.tools.is_none() && self.allows_server(slug)
    }

    /// Whether tools are limited, so that lists and calls must be looked into.
    pub fn limits_tools(&self) -> bool {
        self.tools.is_some()
    }
}

fn read_all<S: AsRef<str>, T>(
    texts: &[S],
    read: impl Fn(&str) -> Result<T, ScopeProblem>,
) -> Result<Vec<T>, ScopeProblem> {
    match texts.len() {
        0 => Err(ScopeProblem::Empty),
        1..=MAX_PATTERNS => texts.iter().map(|text| read(text.as_ref())).collect(),
        _ => Err(ScopeProblem::TooMany),
    }
}

fn slug_pattern(text: &str) -> Option<Pattern> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-*".contains(&byte);
    let right = !text.is_empty()
        && text.len() <= MAX_PATTERN_BYTES
        && !text.starts_with('-')
        && text.bytes().all(legal);
    right.then(|| Pattern(text.to_owned()))
}

fn server_pattern(text: &str) -> Result<Pattern, ScopeProblem> {
    slug_pattern(text).ok_or(ScopeProblem::Server)
}

/// Characters that mean something in other kinds of patterns are refused: here they would
/// mean themselves, and the pattern would not do what it seems to.
fn tool_pattern(text: &str) -> Result<ToolPattern, ScopeProblem> {
    let (server, tool) = text.split_once(SEPARATOR).ok_or(ScopeProblem::Tool)?;
    let legal = |c: char| !c.is_control() && !c.is_whitespace() && !",?[]{}!\\".contains(c);
    let right = !tool.is_empty() && text.len() <= MAX_PATTERN_BYTES && tool.chars().all(legal);
    let server = slug_pattern(server).filter(|_| right).ok_or(ScopeProblem::Tool)?;
    Ok(ToolPattern { server, tool: Pattern(tool.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(servers: Option<&[&str]>, tools: Option<&[&str]>) -> TokenScope {
        TokenScope::parse(servers, tools).unwrap()
    }

    #[test]
    fn stars() {
        let fits = |pattern: &str, name: &str| Pattern(pattern.to_owned()).matches(name);
        for (pattern, name) in [
            ("*", ""),
            ("*", "abc"),
            ("a*", "a"),
            ("*c", "abcbc"),
            ("a*c*e", "abcde"),
            ("a**b", "ab"),
            ("", ""),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", ""), ("a*c", "abcd"), ("get_*", "xget_a"), ("*a*", "bcd")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        // Steps stay bounded.
        assert!(!fits(&"*a".repeat(100), &"a".repeat(50).repeat(40).replace('a', "b")));
    }

    #[test]
    fn no_limit_allows_all() {
        let all = TokenScope::default();
        assert!(all.allows_server("a") && all.allows_tool("a", "t") && all.allows_beyond_tools("a"));
        assert!(!all.limits_tools());
    }

    #[test]
    fn servers_and_tools_limit_both() {
        let servers = scope(Some(&["github-*", "slack"]), None);
        assert!(servers.allows_server("github-mcp") && servers.allows_beyond_tools("slack"));
        assert!(!servers.allows_server("gitlab") && !servers.allows_tool("gitlab", "t"));
        let tools = scope(None, Some(&["github-mcp__get_*", "*__ping"]));
        assert!(tools.allows_tool("github-mcp", "get_me") && !tools.allows_tool("github-mcp", "delete"));
        assert!(tools.allows_tool("slack", "ping") && !tools.allows_tool("slack", "get_me"));
        assert!(tools.allows_server("slack") && !tools.allows_beyond_tools("slack"));
        assert!(!scope(None, Some(&["a__*"])).allows_server("b"));
        let both = scope(Some(&["a"]), Some(&["*__get"]));
        assert!(both.allows_tool("a", "get") && !both.allows_tool("b", "get") && !both.allows_tool("a", "x"));
    }

    #[test]
    fn a_star_does_not_reach_over_the_separator() {
        let tools = scope(None, Some(&["git*__get"]));
        assert!(tools.allows_tool("github", "get") && !tools.allows_tool("github", "a__get"));
        assert!(scope(None, Some(&["a___x"])).allows_tool("a", "_x"));
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "-a", "A", "a_b", "a,b", "a b", "a?"] {
            assert_eq!(TokenScope::parse(Some(&[text]), None), Err(ScopeProblem::Server), "{text}");
        }
        for text in ["", "get_*", "*", "a__", "A__b", "a__b c", "a__b?", "a__[ab]", "a__{b}", "__b", "a__b\n"]
        {
            assert_eq!(TokenScope::parse(None, Some(&[text])), Err(ScopeProblem::Tool), "{text:?}");
        }
        assert_eq!(TokenScope::parse::<&str>(Some(&[]), None), Err(ScopeProblem::Empty));
        assert_eq!(TokenScope::parse(None, Some(&["a__b"; 101])), Err(ScopeProblem::TooMany));
        let long = format!("a__{}", "b".repeat(254));
        assert_eq!(TokenScope::parse(None, Some(&[long.as_str()])), Err(ScopeProblem::Tool));
    }
}
