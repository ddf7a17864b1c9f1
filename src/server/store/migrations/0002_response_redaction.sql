-- Whether the secrets of a server are taken out of its answers.
ALTER TABLE mcp_servers ADD COLUMN redact_responses INTEGER NOT NULL DEFAULT 1 CHECK (redact_responses IN (0, 1));
