CREATE TABLE transformations (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    source_id VARCHAR NOT NULL, destination_metadata_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    enabled BOOLEAN NOT NULL, condition VARCHAR NOT NULL, parts BLOB NOT NULL, created_at BIGINT NOT NULL
);
CREATE INDEX transformations_of_source ON transformations (source_id);
