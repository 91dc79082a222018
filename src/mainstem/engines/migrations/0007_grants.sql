CREATE TABLE grants (
    seq INTEGER PRIMARY KEY, policy_id VARCHAR NOT NULL, workspace_id VARCHAR NOT NULL,
    subject_type VARCHAR NOT NULL, subject_id VARCHAR NOT NULL, role_id VARCHAR NOT NULL,
    resource_type VARCHAR NOT NULL, resource_id VARCHAR NOT NULL, labels VARCHAR NOT NULL
);
CREATE INDEX grants_of_subject ON grants (subject_id);
CREATE INDEX grants_of_resource ON grants (resource_id);
CREATE TABLE user_groups (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, name VARCHAR NOT NULL
);
CREATE TABLE group_members (
    seq INTEGER PRIMARY KEY, group_id VARCHAR NOT NULL, member_id VARCHAR NOT NULL, UNIQUE (group_id, member_id)
);
CREATE INDEX groups_of_member ON group_members (member_id);
CREATE TABLE invites (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL, email VARCHAR NOT NULL,
    token_hash BLOB UNIQUE, created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, UNIQUE (workspace_id, email)
);
CREATE INDEX users_of_workspace ON users (workspace_id, email);
ALTER TABLE tokens ADD COLUMN user_id VARCHAR;
INSERT INTO grants (policy_id, workspace_id, subject_type, subject_id, role_id, resource_type, resource_id, labels)
    SELECT 'owner_' || id, workspace_id, 'user', id, '1WDUuRLxv84rrfCNUwvkrRtkxnS', 'WORKSPACE', workspace_id, '[]'
    FROM users WHERE is_owner;
INSERT INTO grants (policy_id, workspace_id, subject_type, subject_id, role_id, resource_type, resource_id, labels)
    SELECT 'sources_' || id, workspace_id, 'token', id, '1WDUuNOXQYGLtEI7LcfBMpvU9ll', 'WORKSPACE', workspace_id, '[]'
    FROM tokens WHERE access = 'member';
INSERT INTO grants (policy_id, workspace_id, subject_type, subject_id, role_id, resource_type, resource_id, labels)
    SELECT 'functions_' || id, workspace_id, 'token', id, '1Y86RP8BjOpdJtb5FbH0Z2M57PX', 'WORKSPACE', workspace_id, '[]'
    FROM tokens WHERE access = 'member';
INSERT INTO grants (policy_id, workspace_id, subject_type, subject_id, role_id, resource_type, resource_id, labels)
    SELECT 'plans_' || id, workspace_id, 'token', id, '1WDUuWtxCUipR4uma0pqqZ8T2Qq', 'WORKSPACE', workspace_id, '[]'
    FROM tokens WHERE access = 'member';
