-- An operator takes a payout up before the bank pays it, and only then records that it has: no payout is requested and paid in one
-- step any more. It has the bank's reference once it is paid, and not before. Until it is taken up, a dispute may stop it.

CREATE TABLE withdrawals_taken_up (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    source TEXT NOT NULL CHECK (source IN ('wallet', 'payable')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    -- The bank account, in the organisation's words.
    pay_to TEXT NOT NULL,
    -- The bank's, once it has paid.
    reference TEXT,
    state TEXT NOT NULL CHECK (state IN ('requested', 'awaiting_approval', 'processing', 'executed', 'refused', 'cancelled', 'stopped', 'reversing', 'reversed')),
    proposed_by TEXT NOT NULL REFERENCES users (id),
    requested_at TIMESTAMP NOT NULL,
    CHECK (reference IS NULL OR state IN ('executed', 'reversing', 'reversed'))
);
INSERT INTO withdrawals_taken_up (id, organisation_id, source, amount_minor, currency, pay_to, reference, state, proposed_by, requested_at)
    SELECT id, organisation_id, source, amount_minor, currency, pay_to,
        CASE WHEN state IN ('executed', 'reversing', 'reversed') THEN reference END, state, proposed_by, requested_at
    FROM withdrawals;
DROP TABLE withdrawals;
ALTER TABLE withdrawals_taken_up RENAME TO withdrawals;
CREATE UNIQUE INDEX withdrawals_by_reference ON withdrawals (reference);
CREATE INDEX withdrawals_by_organisation ON withdrawals (organisation_id, id);
-- Those of an organisation that are not taken up: how many it may have of them is bounded.
CREATE INDEX withdrawals_not_taken_up ON withdrawals (organisation_id, id) WHERE state IN ('requested', 'awaiting_approval');

DELETE FROM state_edges WHERE life = 'withdrawals' AND from_state IN ('requested', 'awaiting_approval') AND to_state = 'executed';
INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('withdrawals', 'requested', 'processing'),
    ('withdrawals', 'requested', 'stopped'),
    ('withdrawals', 'awaiting_approval', 'processing'),
    ('withdrawals', 'awaiting_approval', 'cancelled'),
    ('withdrawals', 'awaiting_approval', 'stopped'),
    ('withdrawals', 'processing', 'executed'),
    ('withdrawals', 'processing', 'reversing'),
    ('withdrawals', 'processing', 'reversed'),
    ('withdrawals', 'reversing', 'processing');

-- What an operator moved alone is summed for each day: a payout counts when it is taken up.
DROP INDEX transitions_of_operators;
CREATE INDEX transitions_of_operators ON transitions (actor, id) WHERE to_state IN ('posted', 'processing', 'reversed');
