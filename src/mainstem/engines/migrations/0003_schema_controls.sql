CREATE TABLE schema_controls (
    seq INTEGER PRIMARY KEY, source_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, type VARCHAR NOT NULL,
    name VARCHAR NOT NULL, destination VARCHAR NOT NULL, UNIQUE (source_id, kind, type, name, destination)
);
