-- A signed checkpoint is published in a second step: after the store remembers it and the witnesses were asked.

-- What anybody was ever shown, with the cosignatures that were there at the time: once more when a witness that
-- was away cosigns as well. Append-only.
CREATE TABLE log_publications (
    tree_size BIGINT NOT NULL REFERENCES log_checkpoints (tree_size),
    published_at TIMESTAMP NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (tree_size, published_at)
);

-- Until now a checkpoint was public as soon as it was signed.
INSERT INTO log_publications (tree_size, published_at, note) SELECT tree_size, signed_at, note FROM log_checkpoints;

-- Why the sequencer cannot go on, for every instance to report.
ALTER TABLE log_lease ADD COLUMN problem TEXT;
