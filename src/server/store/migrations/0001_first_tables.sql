-- Times are milliseconds since 1970 (UTC); ids are UUIDs unless said otherwise.

CREATE TABLE project (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- One row for each master key that ever sealed something here. Tells nothing about the key.
CREATE TABLE key_checks (
    key_id      BLOB PRIMARY KEY CHECK (length(key_id) = 8),
    key_check   BLOB NOT NULL CHECK (length(key_check) = 32),
    created_at  INTEGER NOT NULL
) STRICT;

-- The server's own random keys (the token pepper), sealed under the master key.
CREATE TABLE internal_keys (
    purpose     TEXT PRIMARY KEY,
    sealed      BLOB NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY CHECK (length(id) = 12),
    key_hash    BLOB NOT NULL CHECK (length(key_hash) = 32),
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE workspaces (
    id          TEXT PRIMARY KEY,
    slug        TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE mcp_servers (
    id                     TEXT PRIMARY KEY,
    workspace_id           TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    slug                   TEXT NOT NULL,
    name                   TEXT NOT NULL,
    url                    TEXT NOT NULL,
    enabled                INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    allow_private_network  INTEGER NOT NULL CHECK (allow_private_network IN (0, 1)),
    created_at             INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL,
    UNIQUE (workspace_id, slug),
    UNIQUE (id, workspace_id)
) STRICT;

-- `sealed` is the value (see docs/ARCHITECTURE.md for its layout); `key_id` and `iv` repeat
-- two of its parts so that the database itself refuses an IV used twice with one key.
-- `header_fold` is the header that is sent, lower case with '-' for '_'.
CREATE TABLE mcp_workspace_secrets (
    id            TEXT PRIMARY KEY,
    workspace_id  TEXT NOT NULL,
    server_id     TEXT NOT NULL,
    name          TEXT NOT NULL,
    version       INTEGER NOT NULL CHECK (version >= 1),
    rule_type     TEXT NOT NULL CHECK (rule_type IN ('name', 'header', 'bearer')),
    rule_header   TEXT,
    rule_prefix   TEXT,
    header_fold   TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    key_id        BLOB NOT NULL CHECK (length(key_id) = 8),
    iv            BLOB NOT NULL CHECK (length(iv) = 12),
    sealed        BLOB NOT NULL,
    row_mac       BLOB NOT NULL CHECK (length(row_mac) = 32),
    UNIQUE (workspace_id, server_id, name),
    UNIQUE (key_id, iv),
    UNIQUE (server_id, header_fold),
    FOREIGN KEY (server_id, workspace_id) REFERENCES mcp_servers (id, workspace_id) ON DELETE CASCADE
) STRICT;

-- `token_hash` is an HMAC under the pepper; a revoked token's hash is overwritten with zeros.
CREATE TABLE workspace_tokens (
    id            TEXT PRIMARY KEY CHECK (length(id) = 12),
    workspace_id  TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    token_hash    BLOB NOT NULL CHECK (length(token_hash) = 32),
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    last_used_at  INTEGER,
    revoked_at    INTEGER
) STRICT;

CREATE INDEX workspace_tokens_of_workspace ON workspace_tokens (workspace_id, created_at);
