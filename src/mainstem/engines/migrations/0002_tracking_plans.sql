CREATE TABLE tracking_plans (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    slug VARCHAR NOT NULL, description VARCHAR, type VARCHAR NOT NULL, created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE tracking_plan_rules (
    seq INTEGER PRIMARY KEY, plan_id VARCHAR NOT NULL, type VARCHAR NOT NULL, key VARCHAR NOT NULL,
    version DOUBLE NOT NULL, json_schema VARCHAR NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
    UNIQUE (plan_id, type, key, version)
);
CREATE INDEX rules_of_plan ON tracking_plan_rules (plan_id, seq);
ALTER TABLE sources ADD COLUMN tracking_plan_id VARCHAR;
CREATE INDEX sources_of_plan ON sources (tracking_plan_id);
