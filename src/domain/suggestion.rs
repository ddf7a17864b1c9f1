//! "Did you mean": the nearest known name to one that was not found.

/// The candidate most like `wanted`, if any is near enough to be a likely slip.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_ascii_lowercase();
    let score = |candidate: &str| {
        let candidate = candidate.to_ascii_lowercase();
        let begins = !wanted.is_empty() && (candidate.starts_with(&wanted) || wanted.starts_with(&candidate));
        strsim::normalized_damerau_levenshtein(&wanted, &candidate).max(if begins { 0.9 } else { 0.0 })
    };
    candidates
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The hint for an error: `did you mean 'github-mcp'?`, or the text to use when nothing is near.
pub fn hint<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(wanted, candidates)
        .map_or_else(|| otherwise.to_owned(), |candidate| format!("did you mean '{candidate}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_strangers() {
        let known = ["github-mcp", "slack-mcp", "stripe-mcp"];
        assert_eq!(nearest("githb-mcp", known), Some("github-mcp"));
        assert_eq!(nearest("github", known), Some("github-mcp"));
        assert_eq!(nearest("GITHUB-MCP", known), Some("github-mcp"));
        assert_eq!(nearest("postgres-mcp", known), None);
        assert_eq!(nearest("slakc-mcp", known), Some("slack-mcp"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", known), None);
    }
}
