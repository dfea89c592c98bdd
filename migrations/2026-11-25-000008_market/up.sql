-- Listings, objections to them, orders and the contracts they rest on.

CREATE TABLE listings (
    id TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    terms_id TEXT NOT NULL REFERENCES terms (id),
    assessment_id TEXT NOT NULL REFERENCES assessments (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    state TEXT NOT NULL CHECK (state IN ('public_notice', 'listed', 'paused', 'suspended', 'delisted')),
    -- Until then others may object; it goes on the board afterwards.
    notice_ends_at TIMESTAMP NOT NULL,
    -- When the exchange looks at it next: at the end of the notice, or of the assessment.
    review_at TIMESTAMP,
    -- What its provider named in its place when it withdrew it.
    successor_id TEXT REFERENCES listings (id),
    created_at TIMESTAMP NOT NULL,
    UNIQUE (version_id, terms_id)
);
CREATE INDEX listings_by_review ON listings (review_at);

-- What happened on the board, numbered 1, 2, 3 … in the order in which it can be read: the search indexes follow it.
CREATE TABLE board_changes (
    position BIGINT NOT NULL PRIMARY KEY CHECK (position > 0),
    step_id TEXT NOT NULL UNIQUE REFERENCES transitions (id),
    -- Whose listings are to be looked at again.
    dataset_id TEXT NOT NULL REFERENCES datasets (id)
);

CREATE TABLE objections (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    objector_id TEXT NOT NULL REFERENCES organisations (id),
    filed_by TEXT NOT NULL REFERENCES users (id),
    -- Who objects why, with a salt; statements give the digest of its canonical JSON only.
    document TEXT NOT NULL,
    document_sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'upheld', 'dismissed')),
    filed_at TIMESTAMP NOT NULL,
    UNIQUE (listing_id, objector_id)
);

CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    buyer_id TEXT NOT NULL REFERENCES organisations (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    terms_id TEXT NOT NULL REFERENCES terms (id),
    -- Which of the version's shards, as JSON; all of them when absent.
    selection TEXT,
    shard_count BIGINT NOT NULL CHECK (shard_count > 0),
    permitted_use TEXT NOT NULL,
    purpose TEXT NOT NULL,
    price_minor BIGINT NOT NULL CHECK (price_minor >= 0),
    fee_minor BIGINT NOT NULL CHECK (fee_minor >= 0 AND fee_minor <= price_minor),
    -- The tax in the fee.
    tax_minor BIGINT NOT NULL DEFAULT 0 CHECK (tax_minor >= 0 AND tax_minor <= fee_minor),
    currency TEXT NOT NULL,
    -- The exact bytes both sides sign, as canonical JSON.
    contract_document TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('awaiting_signature', 'awaiting_payment', 'escrowed', 'delivering', 'delivered', 'accepted', 'settled', 'certificated', 'cancelled', 'expired', 'rejected', 'curing', 'disputed', 'refunded')),
    -- How long the buyer may take to begin the download and to accept, and the provider to cure: as it was when the order
    -- was placed.
    download_days INTEGER NOT NULL CHECK (download_days > 0),
    acceptance_days INTEGER NOT NULL CHECK (acceptance_days > 0),
    cure_days INTEGER NOT NULL CHECK (cure_days > 0),
    -- How long after the settlement either side may open a dispute, and until when that is.
    dispute_days INTEGER NOT NULL CHECK (dispute_days > 0),
    dispute_until TIMESTAMP,
    -- Until when it may stay in its state; then the exchange moves it on.
    due_at TIMESTAMP,
    -- The deadline of which both sides were told beforehand.
    announced_due_at TIMESTAMP,
    -- Offered while the provider cures; given back at the end.
    refund_minor BIGINT CHECK (refund_minor >= 0 AND refund_minor <= price_minor),
    -- The order whose licence it renews.
    renews TEXT REFERENCES orders (id),
    created_at TIMESTAMP NOT NULL,
    CHECK (buyer_id <> provider_id)
);
CREATE INDEX orders_by_buyer ON orders (buyer_id, id);
CREATE INDEX orders_by_deadline ON orders (due_at);
CREATE INDEX orders_by_provider ON orders (provider_id, id);
CREATE INDEX orders_by_renewed ON orders (renews, id) WHERE renews IS NOT NULL;

CREATE TABLE contracts (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
    sha256 TEXT NOT NULL,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    agreed_at TIMESTAMP NOT NULL
);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('listings', '', 'public_notice'),
    ('listings', 'listed', 'paused'),
    ('listings', 'listed', 'suspended'),
    ('listings', 'listed', 'delisted'),
    ('listings', 'public_notice', 'listed'),
    ('listings', 'public_notice', 'delisted'),
    ('listings', 'paused', 'listed'),
    ('listings', 'paused', 'suspended'),
    ('listings', 'paused', 'delisted'),
    ('listings', 'suspended', 'listed'),
    ('listings', 'suspended', 'paused'),
    ('listings', 'suspended', 'delisted');

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('objections', '', 'open'),
    ('objections', 'open', 'upheld'),
    ('objections', 'open', 'dismissed');

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('orders', '', 'awaiting_signature'),
    ('orders', '', 'escrowed'),
    ('orders', 'awaiting_signature', 'awaiting_payment'),
    ('orders', 'awaiting_signature', 'cancelled'),
    ('orders', 'awaiting_signature', 'expired'),
    ('orders', 'awaiting_payment', 'escrowed'),
    ('orders', 'awaiting_payment', 'cancelled'),
    ('orders', 'awaiting_payment', 'expired'),
    ('orders', 'escrowed', 'delivering'),
    ('orders', 'escrowed', 'accepted'),
    ('orders', 'escrowed', 'refunded'),
    ('orders', 'delivering', 'refunded'),
    ('orders', 'delivered', 'refunded'),
    ('orders', 'delivering', 'delivered'),
    ('orders', 'delivering', 'accepted'),
    ('orders', 'delivering', 'rejected'),
    ('orders', 'delivered', 'accepted'),
    ('orders', 'delivered', 'rejected'),
    ('orders', 'rejected', 'curing'),
    ('orders', 'rejected', 'refunded'),
    ('orders', 'curing', 'delivering'),
    ('orders', 'curing', 'rejected'),
    ('orders', 'curing', 'accepted'),
    ('orders', 'curing', 'refunded'),
    ('orders', 'settled', 'certificated'),
    ('orders', 'accepted', 'settled');
