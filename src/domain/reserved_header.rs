//! Headers that may not carry a secret: those that HTTP or MCP itself uses, and those
//! that honest servers echo. Compared after folding case and `_`/`-`, because WSGI and
//! CGI servers cannot tell `CONTENT_TYPE` from `Content-Type`.

/// Names that are reserved whole, folded.
const RESERVED: &[&str] = &[
    "accept",
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "last-event-id",
    "origin",
    "referer",
    "cookie",
    "set-cookie",
    "user-agent",
    "via",
    "forwarded",
    "range",
    "x-request-id",
    "x-correlation-id",
    "traceparent",
    "tracestate",
    "baggage",
];

/// Beginnings that are reserved, folded.
const RESERVED_PREFIXES: &[&str] = &["content-", "accept-", "mcp-", "sec-", "proxy-", "x-forwarded-", "if-"];

/// Folds a header name: lower case, `_` becomes `-`.
pub fn fold(header: &str) -> String {
    header.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The name or beginning in the lists above by which a header of this (unfolded) name may
/// not carry a secret; `None` if it may.
pub fn reserved_by(header: &str) -> Option<&'static str> {
    let folded = fold(header);
    if folded.starts_with("mcp-secret-") {
        return None;
    }
    let whole = RESERVED.iter().find(|name| **name == folded);
    whole.or_else(|| RESERVED_PREFIXES.iter().find(|prefix| folded.starts_with(**prefix))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_in_every_spelling() {
        for name in [
            "Host",
            "content_type",
            "CONTENT-LENGTH",
            "Accept",
            "Accept-Encoding",
            "Mcp-Session-Id",
            "MCP_PROTOCOL_VERSION",
            "Mcp-Param-X",
            "Cookie",
            "User_Agent",
            "If-None-Match",
            "Sec-Fetch-Site",
            "Proxy-Authorization",
            "X-Forwarded-For",
            "X_REQUEST_ID",
            "TE",
            "Range",
        ] {
            assert!(reserved_by(name).is_some(), "{name}");
        }
    }

    #[test]
    fn free_names() {
        for name in [
            "Authorization",
            "X-API-Key",
            "GITHUB_TOKEN",
            "X-Mcp-Secret-GITHUB-TOKEN",
            "Mcp-Secret-A",
            "Acceptor",
        ] {
            assert_eq!(reserved_by(name), None, "{name}");
        }
    }
}
