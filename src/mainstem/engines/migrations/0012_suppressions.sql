CREATE TABLE suppressions (
    seq INTEGER PRIMARY KEY, workspace_id VARCHAR NOT NULL, source_id VARCHAR NOT NULL, user_key BLOB NOT NULL,
    part INTEGER NOT NULL, user_id BLOB NOT NULL, created_at BIGINT NOT NULL, UNIQUE (user_key)
);
CREATE INDEX suppressions_of_list ON suppressions (workspace_id, source_id, part);
