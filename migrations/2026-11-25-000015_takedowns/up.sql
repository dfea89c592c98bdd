-- Claims against versions, what they hold up, and the recalls that follow one that was upheld.

CREATE TABLE takedowns (
    id TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    filed_by TEXT NOT NULL REFERENCES users (id),
    -- Who claims what, with a salt; statements give the digest of its canonical JSON only.
    claim TEXT NOT NULL,
    claim_sha256 TEXT NOT NULL,
    -- The provider's answer.
    counter TEXT,
    state TEXT NOT NULL CHECK (state IN ('received', 'triaged', 'rejected', 'interim_blocked', 'provider_notified', 'countered', 'reinstated', 'upheld', 'recall_issued', 'closed')),
    filed_at TIMESTAMP NOT NULL
);
CREATE INDEX takedowns_by_provider ON takedowns (provider_id, id);
CREATE INDEX takedowns_by_filer ON takedowns (filed_by, id);

-- Versions that nobody trades while the case stands, or ever again.
CREATE TABLE holds (
    cause TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    placed_at TIMESTAMP NOT NULL
);
CREATE INDEX holds_by_version ON holds (version_id);

-- One for each licence to a recalled version.
CREATE TABLE recalls (
    id TEXT NOT NULL PRIMARY KEY,
    takedown_id TEXT NOT NULL REFERENCES takedowns (id),
    entitlement_id TEXT NOT NULL REFERENCES entitlements (id),
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    state TEXT NOT NULL CHECK (state IN ('notified', 'acknowledged', 'deletion_attested', 'training_declared', 'overdue')),
    due_at TIMESTAMP NOT NULL,
    -- What was trained, in the licensee's words.
    declaration TEXT,
    -- The licensee's signed word that the bytes are gone.
    attestation_id TEXT REFERENCES statements (id),
    issued_at TIMESTAMP NOT NULL,
    UNIQUE (takedown_id, entitlement_id)
);
CREATE INDEX recalls_by_holder ON recalls (organisation_id, id);
CREATE INDEX recalls_by_due ON recalls (state, due_at);

-- Licences whose term ended are looked for now and then.
CREATE INDEX entitlements_by_end ON entitlements (state, expires_at);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('takedowns', '', 'received'),
    ('takedowns', 'received', 'triaged'),
    ('takedowns', 'triaged', 'rejected'),
    ('takedowns', 'triaged', 'interim_blocked'),
    ('takedowns', 'interim_blocked', 'provider_notified'),
    ('takedowns', 'provider_notified', 'countered'),
    ('takedowns', 'provider_notified', 'reinstated'),
    ('takedowns', 'provider_notified', 'upheld'),
    ('takedowns', 'countered', 'reinstated'),
    ('takedowns', 'countered', 'upheld'),
    ('takedowns', 'upheld', 'recall_issued'),
    ('takedowns', 'recall_issued', 'closed');

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('recalls', '', 'notified'),
    ('recalls', 'notified', 'acknowledged'),
    ('recalls', 'notified', 'overdue'),
    ('recalls', 'acknowledged', 'deletion_attested'),
    ('recalls', 'acknowledged', 'training_declared'),
    ('recalls', 'acknowledged', 'overdue'),
    ('recalls', 'overdue', 'deletion_attested'),
    ('recalls', 'overdue', 'training_declared');
