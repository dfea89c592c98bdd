-- What versions were made from, and which models were trained on them.

-- How many steps lie between a version and the furthest of its ancestors on the exchange. A parent's generation is
-- always smaller than its child's, so no chain of parents ever comes back to where it began.
ALTER TABLE seals ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX seals_by_generation ON seals (version_id, generation);

-- A line for each parent that a sealed manifest names: another sealed version, or a source elsewhere.
CREATE TABLE version_parents (
    child_id TEXT NOT NULL,
    -- The parent's place in the manifest.
    ordinal INTEGER NOT NULL CHECK (ordinal >= 0),
    child_generation INTEGER NOT NULL,
    parent_id TEXT,
    parent_generation INTEGER,
    source_url TEXT,
    source_sha256 TEXT,
    -- The parent as the manifest names it: JSON.
    document TEXT NOT NULL,
    PRIMARY KEY (child_id, ordinal),
    UNIQUE (child_id, parent_id),
    UNIQUE (child_id, source_sha256),
    FOREIGN KEY (child_id, child_generation) REFERENCES seals (version_id, generation),
    FOREIGN KEY (parent_id, parent_generation) REFERENCES seals (version_id, generation),
    CHECK (parent_generation < child_generation),
    CHECK ((parent_id IS NULL) = (parent_generation IS NULL)),
    CHECK ((parent_id IS NULL) = (source_url IS NOT NULL OR source_sha256 IS NOT NULL))
);
CREATE INDEX version_parents_by_parent ON version_parents (parent_id, child_id);
CREATE INDEX version_parents_by_source ON version_parents (source_sha256, child_id);

-- Versions that were on the board at some time: those that others may name as parents.
CREATE TABLE offered_versions (
    version_id TEXT NOT NULL PRIMARY KEY REFERENCES seals (version_id),
    offered_at TIMESTAMP NOT NULL
);
INSERT INTO offered_versions (version_id, offered_at)
    SELECT version_id, MIN(created_at) FROM listings GROUP BY version_id;

-- What labs declared of their models, each in a statement of its own; never changed, only followed by another.
CREATE TABLE models (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    declared_use TEXT NOT NULL,
    -- Days: YYYY-MM-DD.
    trained_from TEXT,
    trained_to TEXT,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    statement_sha256 TEXT NOT NULL,
    declared_at TIMESTAMP NOT NULL,
    UNIQUE (organisation_id, statement_sha256)
);
CREATE INDEX models_by_lab ON models (organisation_id, id);

-- The versions that a declaration names.
CREATE TABLE model_versions (
    model_id TEXT NOT NULL REFERENCES models (id),
    ordinal INTEGER NOT NULL CHECK (ordinal >= 0),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    dataset_id TEXT NOT NULL REFERENCES datasets (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    -- Absent for a version of the lab itself.
    entitlement_id TEXT REFERENCES entitlements (id),
    PRIMARY KEY (model_id, ordinal),
    UNIQUE (model_id, version_id)
);
CREATE INDEX model_versions_by_version ON model_versions (version_id, model_id);
CREATE INDEX model_versions_by_dataset ON model_versions (dataset_id, model_id);
CREATE INDEX model_versions_by_provider ON model_versions (provider_id, model_id);
