CREATE TABLE workspaces (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, slug VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE users (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, email VARCHAR NOT NULL,
    name VARCHAR NOT NULL, is_owner BOOLEAN NOT NULL, created_at BIGINT NOT NULL
);
CREATE TABLE tokens (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    description VARCHAR NOT NULL, access VARCHAR NOT NULL, hash BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL, revoked_at TIMESTAMP
);
CREATE TABLE labels (
    seq INTEGER PRIMARY KEY, workspace_id VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR NOT NULL,
    description VARCHAR, UNIQUE (workspace_id, key, value)
);
CREATE TABLE sources (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, slug VARCHAR NOT NULL,
    name VARCHAR NOT NULL, metadata_id VARCHAR NOT NULL, enabled BOOLEAN NOT NULL, settings BLOB NOT NULL,
    UNIQUE (workspace_id, slug)
);
CREATE TABLE deleted_sources (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL
);
CREATE TABLE write_keys (
    seq INTEGER PRIMARY KEY, write_key VARCHAR NOT NULL UNIQUE, source_id VARCHAR NOT NULL
);
CREATE INDEX write_keys_of_source ON write_keys (source_id);
CREATE TABLE source_labels (
    source_id VARCHAR NOT NULL, key VARCHAR NOT NULL, value VARCHAR NOT NULL, PRIMARY KEY (source_id, key)
);
CREATE INDEX sources_of_label ON source_labels (key, value);
CREATE TABLE schema_settings (
    source_id VARCHAR NOT NULL PRIMARY KEY, blocks VARCHAR NOT NULL, forwarding_violations_to VARCHAR,
    forwarding_blocked_events_to VARCHAR
);
CREATE TABLE destinations (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    source_id VARCHAR NOT NULL, metadata_id VARCHAR NOT NULL, name VARCHAR, enabled BOOLEAN NOT NULL,
    settings BLOB NOT NULL
);
CREATE INDEX destinations_of_source ON destinations (source_id);
CREATE TABLE destination_filters (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    source_id VARCHAR NOT NULL, destination_id VARCHAR NOT NULL, condition VARCHAR NOT NULL,
    actions BLOB NOT NULL, title VARCHAR NOT NULL, description VARCHAR, enabled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
);
CREATE INDEX filters_of_destination ON destination_filters (destination_id);
CREATE TABLE audit_events (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    timestamp BIGINT NOT NULL, type VARCHAR NOT NULL, actor VARCHAR NOT NULL, resource_id VARCHAR NOT NULL,
    resource_type VARCHAR NOT NULL, resource_name VARCHAR NOT NULL, hash BLOB NOT NULL
);
CREATE TABLE audit_head (
    only INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL
);
CREATE TABLE published (
    source_id VARCHAR NOT NULL PRIMARY KEY, version INTEGER NOT NULL, body BLOB
);
CREATE INDEX published_by_version ON published (version);
