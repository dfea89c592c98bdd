-- Who may download what, and what was handed out.

CREATE TABLE entitlements (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    -- Which of the version's shards, as JSON; all of them when absent.
    selection TEXT,
    terms_id TEXT NOT NULL REFERENCES terms (id),
    state TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'expired', 'revoked')),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    granted_at TIMESTAMP NOT NULL,
    -- Absent for a perpetual licence.
    expires_at TIMESTAMP,
    -- The end of which the licensee was told beforehand.
    announced_end_at TIMESTAMP
);
CREATE INDEX entitlements_by_holder ON entitlements (organisation_id, version_id);
CREATE INDEX entitlements_by_version ON entitlements (version_id, id);

-- What a subscription covers: the version that it was bought with, and those that joined it. What was withdrawn stays to be seen.
CREATE TABLE subscription_versions (
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    -- Under which it was on the board when it joined.
    listing_id TEXT NOT NULL REFERENCES listings (id),
    joined_at TIMESTAMP NOT NULL,
    withdrawn_at TIMESTAMP,
    PRIMARY KEY (entitlement_id, version_id)
);
CREATE INDEX subscription_versions_by_version ON subscription_versions (version_id, entitlement_id);

-- The API tokens that may use a licence, where its terms limit how many. A seat that was freed stays to be seen.
CREATE TABLE seats (
    id TEXT NOT NULL PRIMARY KEY,
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    token_id TEXT NOT NULL REFERENCES api_tokens (id),
    -- Whose token it is.
    user_id TEXT NOT NULL REFERENCES users (id),
    assigned_at TIMESTAMP NOT NULL,
    freed_at TIMESTAMP
);
CREATE UNIQUE INDEX seats_taken ON seats (entitlement_id, token_id) WHERE freed_at IS NULL;

-- Receipts that were committed together; the statement signs the root of their Merkle tree.
CREATE TABLE receipt_batches (
    id TEXT NOT NULL PRIMARY KEY,
    root_sha256 TEXT NOT NULL,
    receipt_count INTEGER NOT NULL CHECK (receipt_count > 0),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    committed_at TIMESTAMP NOT NULL
);

CREATE TABLE receipts (
    id TEXT NOT NULL PRIMARY KEY,
    batch_id TEXT NOT NULL REFERENCES receipt_batches (id),
    batch_index INTEGER NOT NULL,
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    user_id TEXT NOT NULL REFERENCES users (id),
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    -- The canonical JSON whose hash is a leaf of the batch.
    document TEXT NOT NULL,
    issued_at TIMESTAMP NOT NULL,
    UNIQUE (batch_id, batch_index)
);
CREATE INDEX receipts_by_entitlement ON receipts (entitlement_id, id);
CREATE INDEX receipts_by_sha256 ON receipts (sha256, id);
CREATE INDEX receipts_by_shard ON receipts (entitlement_id, version_id, path, issued_at);

-- How much was downloaded under each licence on each day: a shard counts once a day, however many links to it were given.
CREATE TABLE downloads (
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    -- In UTC, as 2026-01-31.
    day TEXT NOT NULL,
    -- Which process counted: no two write to the same row.
    desk TEXT NOT NULL,
    -- Who licensed it, from whom, and at which listing.
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    listing_id TEXT NOT NULL REFERENCES listings (id),
    shards BIGINT NOT NULL CHECK (shards > 0),
    bytes BIGINT NOT NULL CHECK (bytes >= 0),
    records BIGINT NOT NULL CHECK (records >= 0),
    PRIMARY KEY (entitlement_id, version_id, day, desk)
);
CREATE INDEX downloads_by_holder ON downloads (organisation_id, day);
CREATE INDEX downloads_by_provider ON downloads (provider_id, day);

-- The days on which the sides of a licence were told of more downloads than its terms expect.
CREATE TABLE download_excesses (
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    day TEXT NOT NULL,
    PRIMARY KEY (entitlement_id, version_id, day)
);

-- Who may evaluate which version by its sample, free of charge.
CREATE TABLE evaluations (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    version_id TEXT NOT NULL REFERENCES inspections (version_id),
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    terms_id TEXT NOT NULL REFERENCES terms (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    purpose TEXT NOT NULL,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    granted_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    UNIQUE (version_id, organisation_id),
    CHECK (organisation_id <> provider_id)
);
CREATE INDEX evaluations_by_holder ON evaluations (organisation_id, id);
CREATE INDEX evaluations_by_provider ON evaluations (provider_id, id);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('entitlements', '', 'active'),
    ('entitlements', 'active', 'suspended'),
    ('entitlements', 'active', 'expired'),
    ('entitlements', 'active', 'revoked'),
    ('entitlements', 'suspended', 'active'),
    ('entitlements', 'suspended', 'expired'),
    ('entitlements', 'suspended', 'revoked');
