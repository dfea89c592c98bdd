-- Disputes over what becomes of an order's money.

CREATE TABLE disputes (
    id TEXT NOT NULL PRIMARY KEY,
    -- One for each order, ever.
    order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
    opened_by TEXT NOT NULL REFERENCES organisations (id),
    reason TEXT NOT NULL,
    -- Documents by their digests, as JSON.
    evidence TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'decided', 'appealed', 'final')),
    outcome TEXT CHECK (outcome IN ('buyer', 'provider', 'split')),
    -- What a split gives back.
    refund_minor BIGINT CHECK (refund_minor > 0),
    -- Of a dispute over what was settled, once it is final: what went back to the buyer, and as JSON who still owes it what.
    recovered_minor BIGINT CHECK (recovered_minor >= 0),
    claims TEXT,
    -- Until when a side may appeal.
    due_at TIMESTAMP,
    opened_at TIMESTAMP NOT NULL
);
CREATE INDEX disputes_by_deadline ON disputes (due_at);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('disputes', '', 'open'),
    ('disputes', 'open', 'decided'),
    ('disputes', 'decided', 'appealed'),
    ('disputes', 'decided', 'final'),
    ('disputes', 'appealed', 'final'),
    ('orders', 'escrowed', 'disputed'),
    ('orders', 'delivering', 'disputed'),
    ('orders', 'delivered', 'disputed'),
    ('orders', 'rejected', 'disputed'),
    ('orders', 'curing', 'disputed'),
    ('orders', 'disputed', 'accepted'),
    ('orders', 'disputed', 'refunded'),
    ('orders', 'certificated', 'refunded');
