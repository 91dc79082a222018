CREATE TABLE subscriptions (
    seq INTEGER PRIMARY KEY, id VARCHAR NOT NULL UNIQUE, workspace_id VARCHAR NOT NULL,
    source_id VARCHAR NOT NULL, destination_id VARCHAR NOT NULL, metadata_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL, action_id VARCHAR NOT NULL, action_slug VARCHAR NOT NULL, trigger VARCHAR NOT NULL, enabled BOOLEAN NOT NULL, mapping BLOB NOT NULL,
    model_id VARCHAR NOT NULL, schedule BLOB
);
CREATE INDEX subscriptions_of_destination ON subscriptions (destination_id);
CREATE INDEX subscriptions_of_source ON subscriptions (source_id);
