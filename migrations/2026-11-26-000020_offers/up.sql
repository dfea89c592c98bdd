-- Private offers: what a provider offers to one buyer.

CREATE TABLE offers (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    buyer_id TEXT NOT NULL REFERENCES organisations (id),
    -- Of the signed document; the same document is offered once.
    sha256 TEXT NOT NULL UNIQUE,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    -- A JSON array.
    uses TEXT NOT NULL,
    price_minor BIGINT NOT NULL CHECK (price_minor >= 0),
    currency TEXT NOT NULL,
    valid_from TIMESTAMP NOT NULL,
    valid_until TIMESTAMP NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('offered', 'accepted', 'withdrawn', 'expired')),
    -- The one order that was placed at it, ever.
    order_id TEXT UNIQUE REFERENCES orders (id),
    created_at TIMESTAMP NOT NULL,
    CHECK (buyer_id <> provider_id),
    CHECK (valid_from < valid_until),
    CHECK (order_id IS NULL OR state = 'accepted')
);
CREATE INDEX offers_by_buyer ON offers (buyer_id, id);
CREATE INDEX offers_by_provider ON offers (provider_id, id);
CREATE INDEX offers_by_end ON offers (state, valid_until);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('offers', '', 'offered'),
    ('offers', 'offered', 'accepted'),
    ('offers', 'offered', 'withdrawn'),
    ('offers', 'offered', 'expired');
