-- A signed checkpoint is published in a second step: after the store remembers it and the witnesses were asked.

-- What anybody was ever shown, with the cosignatures that were there at the time. Append-only.
CREATE TABLE log_publications (
    tree_size BIGINT NOT NULL PRIMARY KEY REFERENCES log_checkpoints (tree_size),
    note TEXT NOT NULL,
    published_at TIMESTAMP NOT NULL
);

-- Until now a checkpoint was public as soon as it was signed.
INSERT INTO log_publications (tree_size, note, published_at) SELECT tree_size, note, signed_at FROM log_checkpoints;

-- Why the sequencer cannot go on, for every instance to report.
ALTER TABLE log_lease ADD COLUMN problem TEXT;
