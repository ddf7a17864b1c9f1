//! Headers that may not carry a secret: those that HTTP or MCP itself uses, and those
//! that honest servers echo. Compared after folding case and `_`/`-`, because WSGI and
//! CGI servers cannot tell `CONTENT_TYPE` from `Content-Type`.

/// Names that are reserved whole, folded.
const RESERVED: &[&str] = &[
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

/// Whether a header of this (unfolded) name may not carry a secret.
pub fn is_reserved(header: &str) -> bool {
    let folded = fold(header);
    if folded.starts_with("mcp-secret-") {
        return false;
    }
    folded == "accept"
        || RESERVED.contains(&folded.as_str())
        || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
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
            assert!(is_reserved(name), "{name}");
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
            assert!(!is_reserved(name), "{name}");
        }
    }
}
