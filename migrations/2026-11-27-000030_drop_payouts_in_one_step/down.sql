DROP INDEX transitions_of_operators;
CREATE INDEX transitions_of_operators ON transitions (actor, id) WHERE to_state IN ('posted', 'executed', 'reversed');

CREATE TABLE withdrawals_before (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    source TEXT NOT NULL CHECK (source IN ('wallet', 'payable')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    pay_to TEXT NOT NULL,
    reference TEXT,
    state TEXT NOT NULL CHECK (state IN ('requested', 'awaiting_approval', 'executed', 'refused', 'cancelled', 'reversing', 'reversed')),
    proposed_by TEXT NOT NULL REFERENCES users (id),
    requested_at TIMESTAMP NOT NULL
);
INSERT INTO withdrawals_before (id, organisation_id, source, amount_minor, currency, pay_to, reference, state, proposed_by, requested_at)
    SELECT id, organisation_id, source, amount_minor, currency, pay_to, reference,
        CASE WHEN state IN ('awaiting_approval', 'processing') OR (state = 'reversing' AND reference IS NULL) THEN 'requested'
            WHEN state = 'stopped' THEN 'cancelled' ELSE state END,
        proposed_by, requested_at
    FROM withdrawals;
DROP TABLE withdrawals;
ALTER TABLE withdrawals_before RENAME TO withdrawals;
CREATE UNIQUE INDEX withdrawals_by_reference ON withdrawals (reference) WHERE state <> 'refused';
CREATE INDEX withdrawals_by_organisation ON withdrawals (organisation_id, id);

DELETE FROM state_edges WHERE life = 'withdrawals' AND ('processing' IN (from_state, to_state) OR to_state = 'stopped');
DELETE FROM state_edges WHERE life = 'withdrawals' AND from_state = 'awaiting_approval' AND to_state = 'cancelled';
INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('withdrawals', 'requested', 'executed'),
    ('withdrawals', 'awaiting_approval', 'executed');
