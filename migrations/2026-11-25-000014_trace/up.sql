-- Bytes that two organisations sealed: what compliance staff look into, and nobody else learns of. Append-only.
CREATE TABLE conflicts (
    id TEXT NOT NULL PRIMARY KEY,
    sha256 TEXT NOT NULL,
    -- Where they lie in the later version.
    path TEXT NOT NULL,
    -- The first version in which another organisation sealed them.
    earlier_version_id TEXT NOT NULL REFERENCES seals (version_id),
    later_version_id TEXT NOT NULL REFERENCES seals (version_id),
    flagged_at TIMESTAMP NOT NULL,
    CHECK (earlier_version_id <> later_version_id),
    UNIQUE (later_version_id, path)
);
CREATE INDEX conflicts_by_sha256 ON conflicts (sha256, id);
CREATE INDEX conflicts_by_earlier_version ON conflicts (earlier_version_id, id);

-- From a version to who ordered it.
CREATE INDEX orders_by_version ON orders (version_id, id);
