CREATE TABLE functions (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    resource_type VARCHAR NOT NULL, catalog_id VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL,
    description VARCHAR, logo_url VARCHAR, settings VARCHAR NOT NULL, created_at BIGINT NOT NULL,
    created_by VARCHAR NOT NULL, latest_version VARCHAR NOT NULL, deployed_version VARCHAR, deployed_at BIGINT
);
CREATE TABLE function_versions (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, function_id VARCHAR NOT NULL, author VARCHAR NOT NULL,
    code BLOB NOT NULL, created_at BIGINT NOT NULL, deployed_at BIGINT
);
CREATE INDEX versions_of_function ON function_versions (function_id);
CREATE TABLE insert_function_instances (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    function_id VARCHAR NOT NULL, integration_id VARCHAR NOT NULL UNIQUE, source_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL, enabled BOOLEAN NOT NULL, settings BLOB NOT NULL, created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX insert_instances_of_function ON insert_function_instances (function_id);
CREATE INDEX insert_instances_of_source ON insert_function_instances (source_id);
