CREATE TABLE spaces (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, slug VARCHAR NOT NULL,
    name VARCHAR NOT NULL, UNIQUE (workspace_id, slug)
);
INSERT INTO spaces (id, workspace_id, slug, name)
    SELECT 'D' || substr(id, 2), id, 'dev', 'Dev' FROM workspaces ORDER BY seq;
INSERT INTO spaces (id, workspace_id, slug, name)
    SELECT 'P' || substr(id, 2), id, 'prod', 'Prod' FROM workspaces ORDER BY seq;
CREATE TABLE space_filters (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, space_id VARCHAR NOT NULL,
    name VARCHAR, condition VARCHAR, description VARCHAR, enabled BOOLEAN NOT NULL, drops BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
);
CREATE INDEX filters_of_space ON space_filters (space_id);
CREATE TABLE profiles_warehouses (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, space_id VARCHAR NOT NULL,
    metadata_id VARCHAR NOT NULL, enabled BOOLEAN NOT NULL, settings BLOB NOT NULL, schema_name VARCHAR,
    event_tables BOOLEAN NOT NULL
);
CREATE INDEX profiles_warehouses_of_space ON profiles_warehouses (space_id);
CREATE TABLE profiles_sync_exclusions (
    seq INTEGER PRIMARY KEY, warehouse_id VARCHAR NOT NULL, collection VARCHAR NOT NULL, property VARCHAR NOT NULL,
    UNIQUE (warehouse_id, collection, property)
);
CREATE TABLE reverse_etl_models (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, source_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL, description VARCHAR NOT NULL, enabled BOOLEAN NOT NULL, query VARCHAR NOT NULL,
    query_identifier_column VARCHAR NOT NULL
);
CREATE INDEX models_of_source ON reverse_etl_models (source_id);
CREATE INDEX subscriptions_of_model ON subscriptions (model_id);
CREATE TABLE live_plugins (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    source_id VARCHAR NOT NULL UNIQUE, version INTEGER NOT NULL, code VARCHAR, created_at BIGINT NOT NULL,
    created_by VARCHAR NOT NULL
);
