-- Listings, orders and the contracts they rest on.

CREATE TABLE listings (
    id TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    terms_id TEXT NOT NULL REFERENCES terms (id),
    assessment_id TEXT NOT NULL REFERENCES assessments (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    state TEXT NOT NULL CHECK (state IN ('draft', 'public_notice', 'listed', 'paused', 'suspended', 'delisted')),
    created_at TIMESTAMP NOT NULL,
    UNIQUE (version_id, terms_id)
);

CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    buyer_id TEXT NOT NULL REFERENCES organisations (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    terms_id TEXT NOT NULL REFERENCES terms (id),
    permitted_use TEXT NOT NULL,
    purpose TEXT NOT NULL,
    price_minor BIGINT NOT NULL CHECK (price_minor >= 0),
    fee_minor BIGINT NOT NULL CHECK (fee_minor >= 0 AND fee_minor <= price_minor),
    currency TEXT NOT NULL,
    -- The exact bytes both sides sign, as canonical JSON.
    contract_document TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('awaiting_signature', 'awaiting_payment', 'escrowed', 'delivering', 'delivered', 'accepted', 'settled')),
    created_at TIMESTAMP NOT NULL,
    CHECK (buyer_id <> provider_id)
);
CREATE INDEX orders_by_buyer ON orders (buyer_id, id);
CREATE INDEX orders_by_provider ON orders (provider_id, id);

CREATE TABLE contracts (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
    sha256 TEXT NOT NULL,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    agreed_at TIMESTAMP NOT NULL
);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('listings', '', 'listed'),
    ('listings', 'listed', 'paused'),
    ('listings', 'listed', 'suspended'),
    ('listings', 'listed', 'delisted'),
    ('listings', 'public_notice', 'listed'),
    ('listings', 'public_notice', 'delisted'),
    ('listings', 'draft', 'public_notice'),
    ('listings', 'paused', 'listed'),
    ('listings', 'paused', 'suspended'),
    ('listings', 'paused', 'delisted'),
    ('listings', 'suspended', 'listed'),
    ('listings', 'suspended', 'paused'),
    ('listings', 'suspended', 'delisted');

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('orders', '', 'awaiting_signature'),
    ('orders', 'awaiting_signature', 'awaiting_payment'),
    ('orders', 'awaiting_payment', 'escrowed'),
    ('orders', 'escrowed', 'delivering'),
    ('orders', 'delivering', 'delivered'),
    ('orders', 'delivering', 'accepted'),
    ('orders', 'delivered', 'accepted'),
    ('orders', 'accepted', 'settled');
