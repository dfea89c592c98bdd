-- Negotiations, in the states of the Dataspace Protocol 2025-1.

CREATE TABLE negotiations (
    id TEXT NOT NULL PRIMARY KEY,
    listing_id TEXT NOT NULL REFERENCES listings (id),
    provider_id TEXT NOT NULL REFERENCES organisations (id),
    buyer_id TEXT NOT NULL REFERENCES organisations (id),
    state TEXT NOT NULL CHECK (state IN ('REQUESTED', 'OFFERED', 'ACCEPTED', 'AGREED', 'VERIFIED', 'FINALIZED', 'TERMINATED')),
    -- The last offer, by whichever side: what would be agreed on.
    offer_document TEXT NOT NULL,
    offer_sha256 TEXT NOT NULL,
    offer_statement_id TEXT NOT NULL REFERENCES statements (id),
    -- As the buyer declares it.
    permitted_use TEXT,
    purpose TEXT,
    -- The exact bytes that both sides sign, once the provider may agree.
    contract_document TEXT,
    -- Those bytes in an envelope, with the signatures so far.
    agreement TEXT,
    order_id TEXT UNIQUE REFERENCES orders (id),
    termination_code TEXT,
    termination_reason TEXT,
    -- Until when the next message may come; then the exchange terminates it.
    due_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    CHECK (buyer_id <> provider_id)
);
CREATE INDEX negotiations_by_buyer ON negotiations (buyer_id, id);
CREATE INDEX negotiations_by_provider ON negotiations (provider_id, id);
CREATE INDEX negotiations_by_deadline ON negotiations (due_at);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('negotiations', '', 'REQUESTED'),
    ('negotiations', '', 'OFFERED'),
    ('negotiations', 'REQUESTED', 'OFFERED'),
    ('negotiations', 'REQUESTED', 'AGREED'),
    ('negotiations', 'REQUESTED', 'TERMINATED'),
    ('negotiations', 'OFFERED', 'REQUESTED'),
    ('negotiations', 'OFFERED', 'ACCEPTED'),
    ('negotiations', 'OFFERED', 'TERMINATED'),
    ('negotiations', 'ACCEPTED', 'AGREED'),
    ('negotiations', 'ACCEPTED', 'TERMINATED'),
    ('negotiations', 'AGREED', 'VERIFIED'),
    ('negotiations', 'AGREED', 'TERMINATED'),
    ('negotiations', 'VERIFIED', 'FINALIZED'),
    ('negotiations', 'VERIFIED', 'TERMINATED');
