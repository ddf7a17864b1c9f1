//! The contract of a store, in the words of the trait: what every store must do. (One
//! store so far; the next one runs the same story.)

use aerostack::domain::{Injection, KeyId, SealedValue, SecretName, ServerSlug, UpstreamUrl, WorkspaceSlug};
use aerostack::server::store::sqlite::SqliteStore;
use aerostack::server::store::{
    ApiKeyRow, KeyCheck, NewProject, ProjectRow, PutSecret, PutSecrets, RuleChange, SecretRow, ServerChange,
    ServerRow, Store, TokenRow, WorkspaceRow, WriteError,
};

fn workspace(slug: &str) -> WorkspaceRow {
    let (id, slug) = (format!("id-{slug}"), WorkspaceSlug::parse(slug).unwrap());
    WorkspaceRow { id, name: slug.to_string(), slug, created_at: 1, server_count: 0 }
}

fn url(text: &str) -> UpstreamUrl {
    UpstreamUrl::parse(text).unwrap()
}

fn server(workspace: &str, slug: &str) -> ServerRow {
    ServerRow {
        id: format!("id-{workspace}-{slug}"),
        workspace_id: format!("id-{workspace}"),
        slug: ServerSlug::parse(slug).unwrap(),
        name: slug.to_owned(),
        url: url("https://a.example/mcp"),
        enabled: true,
        allow_private_network: false,
        redact_responses: true,
        created_at: 1,
        updated_at: 1,
        secrets: Vec::new(),
        has_damaged_secret: false,
        damaged_secrets: Vec::new(),
    }
}

fn secret(name: &str, version: u64, iv: u8) -> SecretRow {
    SecretRow {
        id: format!("id-{name}"),
        name: SecretName::parse(name).unwrap(),
        rule: Injection::Name,
        version,
        created_at: 1,
        updated_at: 1,
        sealed: SealedValue::assemble(KeyId([7; 8]), &[iv; 12], &[iv; 20]),
        row_mac: [iv; 32],
    }
}

fn put(server: &ServerRow, secret: SecretRow, expected_mac: Option<[u8; 32]>) -> PutSecret {
    PutSecret {
        workspace_id: server.workspace_id.clone(),
        server_id: server.id.clone(),
        expected_url: server.url.clone(),
        expected_mac,
        secret,
    }
}

async fn new_project(store: &dyn Store) {
    let project = NewProject {
        project: ProjectRow { id: "p".to_owned(), name: "local".to_owned() },
        key_check: KeyCheck { key_id: KeyId([7; 8]), key_check: [1; 32] },
        internal_keys: Vec::new(),
        workspace: workspace("default"),
        api_key: ApiKeyRow { id: "abcdefghijkl".to_owned(), key_hash: [2; 32], created_at: 1 },
    };
    store.create_project(project.clone()).await.unwrap();
    assert_eq!(store.create_project(project).await, Err(WriteError::Exists));
    assert_eq!(store.api_key("abcdefghijkl").await.unwrap().unwrap().key_hash, [2; 32]);
    assert!(store.api_key("unknown").await.unwrap().is_none());
}

async fn secrets_story(store: &dyn Store, server: &ServerRow) {
    let first = secret("ONE", 1, 1);
    store.put_secret(put(server, first.clone(), None)).await.unwrap();
    assert_eq!(store.put_secret(put(server, secret("ONE", 1, 2), None)).await, Err(WriteError::Changed));
    let stale = store.put_secret(put(server, secret("ONE", 2, 2), Some([9; 32]))).await;
    assert_eq!(stale, Err(WriteError::Changed));
    store.put_secret(put(server, secret("ONE", 2, 2), Some(first.row_mac))).await.unwrap();
    let moved = PutSecret {
        expected_url: url("https://a.example/other"),
        ..put(server, secret("ONE", 3, 3), Some([2; 32]))
    };
    assert_eq!(store.put_secret(moved).await, Err(WriteError::Changed));
    let nowhere = PutSecret { server_id: "unknown".to_owned(), ..put(server, secret("ONE", 3, 3), None) };
    assert_eq!(store.put_secret(nowhere).await, Err(WriteError::NotFound));
    // The database itself refuses an IV that was used with the key before.
    assert!(store.put_secret(put(server, secret("IV_TWICE", 1, 2), None)).await.is_err());
    store.put_secret(put(server, secret("TWO", 1, 4), None)).await.unwrap();
    let rule = |header: &str, expected_mac: [u8; 32]| {
        let changed = SecretRow {
            rule: Injection::header(header, "").unwrap(),
            row_mac: [5; 32],
            ..secret("TWO", 1, 4)
        };
        RuleChange { server_id: server.id.clone(), expected_mac, secret: changed }
    };
    assert_eq!(store.change_rule(rule("one", [4; 32])).await, Err(WriteError::HeaderTaken));
    assert_eq!(store.change_rule(rule("X-Two", [9; 32])).await, Err(WriteError::Changed));
    store.change_rule(rule("X-Two", [4; 32])).await.unwrap();
    let row = store.server(&server.workspace_id, &server.slug).await.unwrap().unwrap();
    let seen: Vec<(&str, u64, &str)> = row
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.version, secret.rule.header_name(&secret.name)))
        .collect();
    assert_eq!(seen, [("ONE", 2, "ONE"), ("TWO", 1, "X-Two")]);
    let one = SecretName::parse("ONE").unwrap();
    store.delete_secret(&server.id, &one).await.unwrap();
    assert_eq!(store.delete_secret(&server.id, &one).await, Err(WriteError::NotFound));
    assert_eq!(
        store.change_rule(RuleChange { secret: secret("ONE", 1, 1), ..rule("X", [1; 32]) }).await,
        Err(WriteError::NotFound)
    );
}

/// Many rows: all of them or none, and what goes makes room for what comes.
async fn batch_story(store: &dyn Store, server: &ServerRow) {
    let names = async || {
        let row = store.server(&server.workspace_id, &server.slug).await.unwrap().unwrap();
        row.secrets.iter().map(|secret| format!("{}:{}", secret.name, secret.version)).collect::<Vec<_>>()
    };
    let batch = |secrets: Vec<(Option<[u8; 32]>, SecretRow)>, prune: bool, dry_run: bool| PutSecrets {
        workspace_id: server.workspace_id.clone(),
        server_id: server.id.clone(),
        expected_url: server.url.clone(),
        secrets,
        prune,
        dry_run,
    };
    let row = |name: &str, iv: u8| (None, SecretRow { id: format!("id-{name}-{iv}"), ..secret(name, 1, iv) });
    let two = || vec![row("B_1", 20), row("B_2", 21)];
    let dry = store.put_secrets(batch(two(), false, true)).await;
    assert_eq!((dry, names().await), (Ok(vec![]), vec![]));
    assert_eq!(store.put_secrets(batch(two(), false, false)).await, Ok(vec![]));
    // The second row cannot be written, so the first is not either, and nothing is deleted.
    let stale = vec![row("B_3", 30), (Some([9; 32]), secret("B_2", 2, 31))];
    assert_eq!(store.put_secrets(batch(stale, true, false)).await, Err(WriteError::Changed));
    let taken = vec![row("B_3", 30), row("b_1", 31)];
    assert_eq!(store.put_secrets(batch(taken.clone(), false, false)).await, Err(WriteError::HeaderTaken));
    let iv_twice = vec![row("B_3", 30), row("B_4", 30)];
    assert!(store.put_secrets(batch(iv_twice, true, false)).await.is_err());
    let moved = PutSecrets { expected_url: url("https://b.example/"), ..batch(Vec::new(), true, false) };
    assert_eq!(store.put_secrets(moved).await, Err(WriteError::Changed));
    let nowhere = PutSecrets { server_id: "unknown".to_owned(), ..batch(Vec::new(), true, false) };
    assert_eq!(store.put_secrets(nowhere).await, Err(WriteError::NotFound));
    assert_eq!(names().await, ["B_1:1", "B_2:1"]);
    let gone = Ok(vec!["B_1".to_owned(), "B_2".to_owned()]);
    assert_eq!(store.put_secrets(batch(taken.clone(), true, true)).await, gone);
    assert_eq!(names().await, ["B_1:1", "B_2:1"]);
    assert_eq!(store.put_secrets(batch(taken, true, false)).await, gone);
    assert_eq!(names().await, ["B_3:1", "b_1:1"]);
    let gone = Ok(vec!["B_3".to_owned(), "b_1".to_owned()]);
    assert_eq!(store.put_secrets(batch(Vec::new(), true, false)).await, gone);
}

async fn servers_story(store: &dyn Store, before: &ServerRow) {
    assert_eq!(store.add_server(before.clone()).await, Err(WriteError::Exists));
    let lost = ServerRow { workspace_id: "unknown".to_owned(), ..server("default", "lost") };
    assert_eq!(store.add_server(lost).await, Err(WriteError::NotFound));
    let nothing = ServerChange {
        server_id: before.id.clone(),
        url: None,
        name: None,
        enabled: None,
        allow_private_network: None,
        redact_responses: None,
        updated_at: 2,
        detach_secrets: false,
    };
    let to = |text: &str, detach_secrets: bool| ServerChange {
        url: Some(url(text)),
        detach_secrets,
        ..nothing.clone()
    };
    let nowhere = ServerChange { server_id: "unknown".to_owned(), ..nothing.clone() };
    assert_eq!(store.change_server(nowhere).await, Err(WriteError::NotFound));
    assert_eq!(store.change_server(to("https://b.example/", false)).await, Err(WriteError::HasSecrets));
    assert_eq!(store.change_server(to("https://a.example/v2", false)).await, Ok(vec![]));
    let off = ServerChange { enabled: Some(false), ..nothing.clone() };
    assert_eq!(store.change_server(off).await, Ok(vec![]));
    let named =
        ServerChange { name: Some("N".to_owned()), allow_private_network: Some(true), ..nothing.clone() };
    let unfiltered = ServerChange { redact_responses: Some(false), ..nothing.clone() };
    assert_eq!(store.change_server(unfiltered).await, Ok(vec![]));
    assert_eq!(store.change_server(named).await, Ok(vec![]));
    let row = store.server(&before.workspace_id, &before.slug).await.unwrap().unwrap();
    assert_eq!(
        (row.enabled, row.allow_private_network, row.redact_responses, row.name.as_str()),
        (false, true, false, "N"),
        "what is not named stays"
    );
    assert_eq!(row.url.as_str(), "https://a.example/v2");
    assert_eq!(store.change_server(to("https://b.example/", true)).await, Ok(vec!["TWO".to_owned()]));
    assert_eq!(store.delete_secrets(&before.id).await, Ok(vec![]));
}

async fn tokens_story(store: &dyn Store) {
    let token = TokenRow {
        id: "abcdefghijkl".to_owned(),
        workspace_id: "id-default".to_owned(),
        workspace_slug: String::new(),
        name: "t".to_owned(),
        token_hash: [3; 32],
        created_at: 1,
        expires_at: Some(5),
        last_used_at: None,
        revoked_at: None,
        limits: aerostack::server::store::TokenLimits::default(),
    };
    store.add_token(token.clone()).await.unwrap();
    assert!(store.add_token(token.clone()).await.is_err());
    assert!(
        store
            .add_token(TokenRow { workspace_id: "unknown".to_owned(), id: "0".repeat(12), ..token })
            .await
            .is_err()
    );
    let row = store.token("abcdefghijkl").await.unwrap().unwrap();
    assert_eq!((row.workspace_slug.as_str(), row.token_hash, row.expires_at), ("default", [3; 32], Some(5)));
    assert_eq!(store.revoke_token("id-other", "abcdefghijkl", 7).await, Err(WriteError::NotFound));
    store.revoke_token("id-default", "abcdefghijkl", 7).await.unwrap();
    store.revoke_token("id-default", "abcdefghijkl", 9).await.unwrap();
    let row = store.token("abcdefghijkl").await.unwrap().unwrap();
    assert_eq!((row.token_hash, row.revoked_at), ([0; 32], Some(7)));
}

async fn story(store: &dyn Store) {
    new_project(store).await;
    store.add_workspace(workspace("other")).await.unwrap();
    assert_eq!(
        store.add_workspace(WorkspaceRow { id: "x".to_owned(), ..workspace("other") }).await,
        Err(WriteError::Exists)
    );
    let (one, two) = (server("default", "a"), server("other", "a"));
    store.add_server(one.clone()).await.unwrap();
    store.add_server(two.clone()).await.unwrap();
    batch_story(store, &one).await;
    secrets_story(store, &one).await;
    servers_story(store, &one).await;
    tokens_story(store).await;
    store.put_secret(put(&two, secret("KEPT", 1, 8), None)).await.unwrap();
    let counts: Vec<u64> = store.workspaces().await.unwrap().iter().map(|row| row.server_count).collect();
    assert_eq!(counts, [1, 1]);
    store.delete_server(&one.id).await.unwrap();
    assert_eq!(store.delete_server(&one.id).await, Err(WriteError::NotFound));
    store.delete_workspace("id-other").await.unwrap();
    assert!(store.servers("id-other").await.unwrap().is_empty());
    assert_eq!(store.delete_workspace("id-other").await, Err(WriteError::NotFound));
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("a.db"), &|_| true).unwrap();
    story(&store).await;
    store.leave_thread();
}
