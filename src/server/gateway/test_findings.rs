//! What a test of a server says, in words: what happened, why, and what to do. Names of
//! secrets and headers may stand here, because only admins read it; values never.

use super::connect_diagnosis::{ConnectProblem, TlsProblem};
use super::problem::UpstreamProblem;
use crate::api::server_test::{Finding, FindingLevel};
use crate::domain::Injection;
use crate::server::store::{SecretRow, ServerRow, WorkspaceRow};

/// Characters that widespread MCP clients allow for a tool's whole name.
const MAX_TOOL_NAME: usize = 64;

fn finding(level: FindingLevel, code: &str, message: String, hint: Option<String>) -> Finding {
    Finding { level, code: code.to_owned(), message, hint }
}

fn error(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(FindingLevel::Error, code, message.into(), Some(hint.into()))
}

fn warning(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    finding(FindingLevel::Warning, code, message.into(), Some(hint.into()))
}

/// What can be said without asking the server.
pub(super) fn of_settings(server: &ServerRow) -> Option<Finding> {
    let hint = format!("enable it: aerostack mcp update {} --enable", server.slug);
    (!server.enabled).then(|| warning("disabled", "it is disabled: members do not see it", hint))
}

/// A server that speaks MCP and refuses to list tools, or has none.
pub(super) fn no_tools(server: &ServerRow, refused: bool) -> Vec<Finding> {
    let message = if refused {
        "the MCP server answers, but refuses to list tools"
    } else {
        "the MCP server answers, but lists no tools"
    };
    let hint = "it may have prompts or resources only, or list tools to other accounts";
    let hint = if refused { format!("{hint}; {}", what_was_sent(server)) } else { hint.to_owned() };
    [warning("no_tools", message, hint)].into_iter().chain(of_underscores(server, UNSEEN)).collect()
}

/// A server that lists tools: many do so for everybody, and want a credential for calls.
pub(super) fn of_tools(workspace: &WorkspaceRow, server: &ServerRow, names: &[usize]) -> Vec<Finding> {
    of_names(workspace, server, names)
        .into_iter()
        .chain(of_underscores(server, UNSEEN_BEHIND_A_LIST))
        .collect()
}

/// Names that are too long for some clients.
fn of_names(workspace: &WorkspaceRow, server: &ServerRow, names: &[usize]) -> Option<Finding> {
    let taken = format!("mcp__{}__{}__", workspace.slug, server.slug).len();
    let long = names.iter().filter(|name| taken + **name > MAX_TOOL_NAME).count();
    let longest = taken + names.iter().max()?;
    let message = format!(
        "{long} of {} tools have names over {MAX_TOOL_NAME} characters (the longest has {longest}) once a client \
         has put mcp__{}__{}__ before them; some clients leave such tools out",
        names.len(),
        workspace.slug,
        server.slug
    );
    (long > 0).then(|| warning("long_names", message, "use shorter slugs for the workspace or the server"))
}

/// Why there is no connection.
pub(super) fn of_connection(server: &ServerRow, problem: ConnectProblem) -> Finding {
    let (origin, slug) = (server.origin(), &server.slug);
    let look = format!("check the URL: aerostack mcp update {slug} --url <URL>");
    match problem {
        ConnectProblem::Dns => error("dns_failed", format!("the host name of {origin} has no address"), look),
        ConnectProblem::AddressRefused => error(
            "address_refused",
            format!(
                "{origin} is a loopback, private or reserved address, which is not allowed for this server"
            ),
            format!("if that is meant: aerostack mcp update {slug} --allow-private-network true"),
        ),
        ConnectProblem::AddressNeverAllowed => error(
            "address_refused",
            format!(
                "{origin} is an address of cloud metadata, link-local, multicast or reserved, which no setting allows"
            ),
            look,
        ),
        ConnectProblem::Refused => error(
            "connection_refused",
            format!("nothing listens at {origin}: the connection was refused"),
            format!("start the MCP server, or {look}"),
        ),
        ConnectProblem::Unreachable => {
            error("unreachable", format!("the network has no way to {origin}"), "check routes and firewalls")
        }
        ConnectProblem::TimedOut => error(
            "connect_timed_out",
            format!("{origin} did not answer the attempt to connect in time"),
            "a firewall may swallow the packets; check it and the URL",
        ),
        ConnectProblem::Closed => {
            let certificate = match server.url.url().scheme() {
                "https" => "it may want a client certificate, which is not sent; ",
                _ => "",
            };
            error(
                "cut",
                format!(
                    "what listens at {origin} closed the connection before an answer was complete, or does not speak HTTP"
                ),
                format!("{certificate}see the MCP server's own log, or {look}"),
            )
        }
        ConnectProblem::Tls(problem) => of_handshake(server, problem),
    }
}

/// What goes on before HTTP.
fn of_handshake(server: &ServerRow, problem: TlsProblem) -> Finding {
    let (origin, slug) = (server.origin(), &server.slug);
    let update = format!("aerostack mcp update {slug} --url <URL>");
    let (message, hint) = match problem {
        TlsProblem::NoAuthorities => (
            "the aerostack server knows no certificate authorities to check with".to_owned(),
            "install the system's CA certificates there".to_owned(),
        ),
        TlsProblem::Certificate(problem) => (
            format!("the certificate of {origin} is not accepted: {}", problem.words(server)),
            problem.hint(server),
        ),
        TlsProblem::NotTls => (
            format!("what listens at {origin} does not speak TLS"),
            format!("use http:// in the URL if the server is on this machine: {update}"),
        ),
        TlsProblem::TimedOut => (
            format!("{origin} takes the connection and does not answer the TLS handshake"),
            format!("perhaps it does not speak TLS; check the URL: {update}"),
        ),
        TlsProblem::Closed => (
            format!("{origin} closed the connection during the TLS handshake"),
            format!(
                "check the server's TLS settings; perhaps it does not speak TLS; check the URL: {update}"
            ),
        ),
        TlsProblem::Failed => (
            format!("the TLS handshake with {origin} failed"),
            "check the server's TLS settings; it may want a client certificate, which the gateway has not"
                .to_owned(),
        ),
        TlsProblem::Unasked => (
            format!("what listens at {origin} speaks TLS, and the URL says http://"),
            format!("use https:// in the URL: {update}"),
        ),
    };
    error("tls_failed", message, hint)
}

/// What the gateway's own problem means for the server's admin.
pub(super) fn of_problem(server: &ServerRow, problem: UpstreamProblem) -> Vec<Finding> {
    let (code, slug) = (problem.reason(), &server.slug);
    let hint = match problem {
        UpstreamProblem::CredentialRefused => return of_refused_credential(server),
        UpstreamProblem::SecretUnavailable => format!(
            "a secret does not open: delete it and set it again (aerostack secrets list {slug}); the log says which"
        ),
        UpstreamProblem::Redirect => {
            "store the final URL: a redirect is never followed with a secret in hand".to_owned()
        }
        UpstreamProblem::Status(404 | 405) => {
            "the path is probably wrong; it often ends in /mcp. The older transport, HTTP+SSE, is not spoken here"
                .to_owned()
        }
        UpstreamProblem::Status(429) => {
            "wait, then test again; ask who runs the MCP server about its limits".to_owned()
        }
        UpstreamProblem::Status(500..) => "the server itself fails; see its log".to_owned(),
        UpstreamProblem::NotMcp => {
            "the URL must be that of a Streamable HTTP endpoint, which often ends in /mcp".to_owned()
        }
        UpstreamProblem::Redacted => format!(
            "give the secret a value that is no number and no JSON, or leave secrets in its answers: aerostack mcp update {slug} --redaction off"
        ),
        _ => "see the MCP server's own log".to_owned(),
    };
    // Who reads this is that admin.
    let message = problem.to_string().replace("; ask a workspace admin", "");
    let may_lack_a_header =
        matches!(problem, UpstreamProblem::Status(400..=499) | UpstreamProblem::NotInitialized);
    if !may_lack_a_header {
        return vec![error(code, message, hint)];
    }
    let hint = format!("{hint}; {}", what_was_sent(server));
    [error(code, message, hint)].into_iter().chain(of_underscores(server, UNSEEN)).collect()
}

/// Not every server says with 401 or 403 that it misses a credential: some refuse in JSON-RPC.
fn what_was_sent(server: &ServerRow) -> String {
    let slug = &server.slug;
    if server.secrets.is_empty() {
        return format!("no secret is set for it; if it wants one: aerostack secrets set {slug} <NAME>");
    }
    format!("sent were {}; if one of them is wrong: {}", names_of(server), set_anew(server))
}

/// What follows from a header that is dropped.
const UNSEEN: &str = "so the server may not have seen it";
/// The same of a server that has listed its tools.
const UNSEEN_BEHIND_A_LIST: &str =
    "so the server may not have seen it; that it lists tools does not show that it arrived";

/// Headers that may have been dropped on the way.
fn of_underscores(server: &ServerRow, unseen: &str) -> Option<Finding> {
    let dropped: Vec<&SecretRow> =
        server.secrets.iter().filter(|secret| header(secret).contains('_')).collect();
    let first = dropped.first()?;
    let names = dropped.iter().map(|secret| header(secret)).collect::<Vec<_>>().join(", ");
    let message = format!(
        "the header {names} has an underscore: nginx, gunicorn and Django drop such headers on the way, {unseen}"
    );
    let hint = format!(
        "send it in another header: aerostack secrets inject {} {} --mcp-secret",
        server.slug, first.name
    );
    Some(warning("underscore_header", message, hint))
}

/// 401 or 403: says what was sent, by name.
fn of_refused_credential(server: &ServerRow) -> Vec<Finding> {
    let slug = &server.slug;
    if server.secrets.is_empty() {
        let hint = format!("set one: aerostack secrets set {slug} <NAME>");
        return vec![error(
            "no_credential",
            "the MCP server wants a credential (HTTP 401 or 403), and no secret is set for it",
            hint,
        )];
    }
    let sent = names_of(server);
    let message = format!("the MCP server refused its credential (HTTP 401 or 403); sent were {sent}");
    let hint = format!("check the value and the header: {}", set_anew(server));
    [error("credential_refused", message, hint)].into_iter().chain(of_underscores(server, UNSEEN)).collect()
}

/// The secrets that were sent, and where.
fn names_of(server: &ServerRow) -> String {
    server.secrets.iter().map(describe).collect::<Vec<_>>().join(", ")
}

/// The commands that put a credential right.
fn set_anew(server: &ServerRow) -> String {
    let slug = &server.slug;
    format!("aerostack secrets set {slug} <NAME>, aerostack secrets inject {slug} <NAME>")
}

fn header(secret: &SecretRow) -> String {
    secret.rule.header_name(&secret.name).to_string()
}

fn describe(secret: &SecretRow) -> String {
    match &secret.rule {
        Injection::Bearer => format!("{} (as a bearer token)", secret.name),
        _ => format!("{} (in the header {})", secret.name, header(secret)),
    }
}
