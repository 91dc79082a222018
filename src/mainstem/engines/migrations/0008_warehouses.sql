CREATE TABLE warehouses (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, metadata_id VARCHAR NOT NULL,
    enabled BOOLEAN NOT NULL, settings BLOB NOT NULL
);
CREATE INDEX warehouses_of_workspace ON warehouses (workspace_id, seq);
CREATE TABLE warehouse_sources (
    seq INTEGER PRIMARY KEY, warehouse_id VARCHAR NOT NULL, source_id VARCHAR NOT NULL,
    UNIQUE (warehouse_id, source_id)
);
CREATE INDEX warehouses_of_source ON warehouse_sources (source_id);
CREATE TABLE sync_schedules (
    warehouse_id VARCHAR NOT NULL PRIMARY KEY, enabled BOOLEAN NOT NULL, schedule VARCHAR
);
CREATE TABLE sync_exclusions (
    seq INTEGER PRIMARY KEY, warehouse_id VARCHAR NOT NULL, source_id VARCHAR NOT NULL, collection VARCHAR NOT NULL,
    property VARCHAR NOT NULL, UNIQUE (warehouse_id, source_id, collection, property)
);
CREATE INDEX exclusions_of_source ON sync_exclusions (source_id);
