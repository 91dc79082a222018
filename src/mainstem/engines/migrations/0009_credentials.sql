CREATE TABLE credentials (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    settings BLOB NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
);
CREATE INDEX credentials_of_workspace ON credentials (workspace_id, seq);
CREATE TABLE credential_uses (
    seq INTEGER PRIMARY KEY, consumer_id VARCHAR NOT NULL UNIQUE, credential_id VARCHAR NOT NULL
);
CREATE INDEX uses_of_credential ON credential_uses (credential_id);
