CREATE UNIQUE INDEX user_of_email ON users (workspace_id, email);
CREATE INDEX users_in_order ON users (workspace_id, seq);
CREATE INDEX groups_in_order ON user_groups (workspace_id, seq);
CREATE INDEX grants_of_role ON grants (workspace_id, role_id);
CREATE INDEX tokens_of_user ON tokens (user_id);
