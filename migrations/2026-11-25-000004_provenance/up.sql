-- Signed statements and the transparency log that commits to them.

-- An entry's leaf is fixed when it is recorded; its place in the log is given later, by the sequencer.
CREATE TABLE log_entries (
    id TEXT NOT NULL PRIMARY KEY,
    leaf TEXT NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

-- Entries that wait for their place.
CREATE TABLE log_queue (
    entry_id TEXT NOT NULL PRIMARY KEY REFERENCES log_entries (id)
);

CREATE TABLE log_sequence (
    leaf_index BIGINT NOT NULL PRIMARY KEY CHECK (leaf_index >= 0),
    entry_id TEXT NOT NULL UNIQUE REFERENCES log_entries (id)
);

-- Up to 256 hashes of 32 bytes; the last tile of each level grows.
CREATE TABLE log_tiles (
    level INTEGER NOT NULL,
    tile_index BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (level, tile_index)
);

CREATE TABLE log_checkpoints (
    tree_size BIGINT NOT NULL PRIMARY KEY CHECK (tree_size >= 0),
    root_sha256 TEXT NOT NULL,
    note TEXT NOT NULL,
    signed_at TIMESTAMP NOT NULL
);

-- At most one sequencer: whoever holds the row, until it lapses. The epoch fences off a holder that slept.
CREATE TABLE log_lease (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    leased_until TIMESTAMP NOT NULL
);

CREATE TABLE statements (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    -- What it speaks of: the id of an organisation's key, version, terms, assessment, contract, …
    subject TEXT NOT NULL,
    envelope TEXT NOT NULL,
    -- The exchange's own statement that it checked a statement signed by somebody else.
    receipt TEXT,
    pae_sha256 TEXT NOT NULL,
    entry_id TEXT NOT NULL UNIQUE REFERENCES log_entries (id),
    recorded_at TIMESTAMP NOT NULL
);
CREATE INDEX statements_by_subject ON statements (subject, id);
CREATE INDEX statements_by_pae ON statements (pae_sha256);
