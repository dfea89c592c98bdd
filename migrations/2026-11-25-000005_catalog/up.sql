-- Datasets, their versions, and the verified bytes these are made of.

CREATE TABLE datasets (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    title TEXT NOT NULL,
    modality TEXT NOT NULL,
    domain TEXT NOT NULL,
    -- JSON array of BCP 47 tags.
    languages TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (organisation_id, name)
);

CREATE TABLE versions (
    id TEXT NOT NULL PRIMARY KEY,
    dataset_id TEXT NOT NULL REFERENCES datasets (id),
    number INTEGER NOT NULL CHECK (number >= 1),
    state TEXT NOT NULL CHECK (state IN ('draft', 'sealed', 'assessing', 'assessed', 'rejected')),
    -- The dataset card: Markdown with YAML front matter.
    card TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (dataset_id, number)
);

-- Bytes that were read back from the store and found to have this size and digest. Nothing else is ever
-- inserted here, so a reference to an object is a reference to verified bytes.
CREATE TABLE objects (
    id TEXT NOT NULL PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    size_bytes BIGINT NOT NULL CHECK (size_bytes >= 0),
    storage_key TEXT NOT NULL UNIQUE,
    -- The store's own mark of the content that was verified.
    etag TEXT NOT NULL,
    verified_at TIMESTAMP NOT NULL
);

CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES versions (id),
    path TEXT NOT NULL,
    media_type TEXT NOT NULL,
    records BIGINT CHECK (records >= 0),
    size_bytes BIGINT NOT NULL CHECK (size_bytes >= 0),
    sha256 TEXT NOT NULL,
    part_size_bytes BIGINT NOT NULL CHECK (part_size_bytes > 0),
    storage_key TEXT NOT NULL UNIQUE,
    -- The store's name for the multipart upload.
    multipart_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'verifying', 'verified', 'refused')),
    refusal TEXT,
    created_at TIMESTAMP NOT NULL,
    completed_at TIMESTAMP,
    CHECK ((state = 'refused') = (refusal IS NOT NULL))
);
CREATE INDEX uploads_by_version ON uploads (version_id, path);
CREATE INDEX uploads_by_state ON uploads (state, version_id);

CREATE TABLE shards (
    version_id TEXT NOT NULL REFERENCES versions (id),
    path TEXT NOT NULL,
    object_id TEXT NOT NULL REFERENCES objects (id),
    sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    records BIGINT,
    -- What the signed manifest says of it beyond what was verified; absent until then. The tag is one of BCP 47, the
    -- licence an SPDX expression.
    language TEXT,
    domain TEXT,
    licence TEXT,
    tokens BIGINT CHECK (tokens >= 0),
    PRIMARY KEY (version_id, path)
);
CREATE INDEX shards_by_sha256 ON shards (sha256, version_id);
CREATE INDEX shards_by_object ON shards (object_id);

-- The provider's signed manifest, after which nothing of a version changes. Listings and entitlements refer
-- to this table, so only sealed versions can be sold or served.
CREATE TABLE seals (
    version_id TEXT NOT NULL PRIMARY KEY REFERENCES versions (id),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    manifest_sha256 TEXT NOT NULL,
    shard_count BIGINT NOT NULL,
    total_bytes BIGINT NOT NULL,
    -- Absent unless every shard says how many it holds.
    total_records BIGINT,
    total_tokens BIGINT,
    sealed_at TIMESTAMP NOT NULL
);

-- What the exchange found when it read a version, and the records that it drew.
CREATE TABLE inspections (
    version_id TEXT NOT NULL PRIMARY KEY REFERENCES seals (version_id),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    sample_object_id TEXT REFERENCES objects (id),
    -- Why the version may not be offered.
    refusal TEXT,
    inspected_at TIMESTAMP NOT NULL,
    CHECK (sample_object_id IS NULL OR refusal IS NULL)
);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('versions', '', 'draft'),
    ('versions', 'draft', 'sealed'),
    ('versions', 'sealed', 'assessing'),
    ('versions', 'assessed', 'assessing'),
    ('versions', 'assessing', 'assessed'),
    ('versions', 'assessing', 'rejected');
