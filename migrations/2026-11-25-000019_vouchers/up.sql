-- Vouchers: public programmes that pay a part of purchases.

CREATE TABLE voucher_programmes (
    id TEXT NOT NULL PRIMARY KEY,
    funder_id TEXT NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    -- Of each price.
    rate_basis_points BIGINT NOT NULL CHECK (rate_basis_points BETWEEN 1 AND 3000),
    -- The most that one buyer gets.
    cap_minor BIGINT NOT NULL CHECK (cap_minor > 0),
    -- JSON array: what a corpus must be about.
    domains TEXT NOT NULL,
    starts_at TIMESTAMP NOT NULL,
    ends_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    CHECK (starts_at < ends_at)
);

-- Everything that a pool received and gave. Append-only.
CREATE TABLE voucher_movements (
    id TEXT NOT NULL PRIMARY KEY,
    programme_id TEXT NOT NULL REFERENCES voucher_programmes (id),
    kind TEXT NOT NULL CHECK (kind IN ('funding', 'use', 'clawback', 'return')),
    order_id TEXT REFERENCES orders (id),
    buyer_id TEXT REFERENCES organisations (id),
    -- Above zero: into the pool; below zero: out of it.
    amount_minor BIGINT NOT NULL CHECK (amount_minor <> 0),
    moved_at TIMESTAMP NOT NULL,
    CHECK ((kind IN ('use', 'clawback')) = (order_id IS NOT NULL AND buyer_id IS NOT NULL)),
    CHECK ((kind IN ('funding', 'clawback')) = (amount_minor > 0))
);
CREATE INDEX voucher_movements_by_programme ON voucher_movements (programme_id, id);
CREATE INDEX voucher_movements_by_buyer ON voucher_movements (programme_id, buyer_id);
-- One voucher for each order.
CREATE UNIQUE INDEX voucher_uses ON voucher_movements (order_id) WHERE kind = 'use';
CREATE INDEX voucher_movements_by_order ON voucher_movements (order_id);
