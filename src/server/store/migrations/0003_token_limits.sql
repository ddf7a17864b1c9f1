-- What a token may do. All three go into its hash (see CredentialHasher), so that a row
-- changed behind our back is not accepted. NULL everywhere is a token as it was before.
-- rate_limit: tool calls a minute, NULL for the default, 0 for no limit.
-- servers, tools: patterns with commas between them, NULL for all.
ALTER TABLE workspace_tokens ADD COLUMN rate_limit INTEGER CHECK (rate_limit BETWEEN 0 AND 1000000);
ALTER TABLE workspace_tokens ADD COLUMN servers TEXT;
ALTER TABLE workspace_tokens ADD COLUMN tools TEXT;
