-- Double-entry money. A posting above zero is a credit to the account, below zero a debit;
-- the postings of a transaction sum to zero per currency.

CREATE TABLE ledger_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    -- Absent for the exchange's own accounts.
    organisation_id TEXT REFERENCES organisations (id),
    -- The programme whose pool it is.
    programme_id TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('bank', 'wallet', 'held', 'payable', 'frozen', 'escrow', 'fees', 'tax', 'vouchers')),
    currency TEXT NOT NULL,
    -- Kept where it gates what an organisation spends or is paid out; elsewhere the balance is the sum of the postings,
    -- so that no row is written by every trade.
    gated_balance_minor BIGINT CHECK (gated_balance_minor >= 0),
    created_at TIMESTAMP NOT NULL,
    CHECK ((kind IN ('wallet', 'held', 'vouchers')) = (gated_balance_minor IS NOT NULL)),
    CHECK ((kind = 'vouchers') = (programme_id IS NOT NULL))
);
CREATE UNIQUE INDEX ledger_accounts_of_organisations ON ledger_accounts (organisation_id, kind, currency) WHERE organisation_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_accounts_of_exchange ON ledger_accounts (kind, currency) WHERE organisation_id IS NULL AND programme_id IS NULL;
CREATE UNIQUE INDEX ledger_accounts_of_programmes ON ledger_accounts (programme_id, currency) WHERE programme_id IS NOT NULL;

CREATE TABLE ledger_transactions (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('deposit', 'withdrawal_hold', 'withdrawal_release', 'withdrawal', 'reversal', 'voucher_funding', 'voucher_return', 'payment', 'settlement', 'refund', 'freeze', 'recovery')),
    -- What it is for: a bank reference, an order, a withdrawal or a reversed transaction. One transaction of a kind per reference, ever.
    reference TEXT NOT NULL,
    posted_at TIMESTAMP NOT NULL,
    UNIQUE (kind, reference)
);

CREATE TABLE ledger_postings (
    id TEXT NOT NULL PRIMARY KEY,
    transaction_id TEXT NOT NULL REFERENCES ledger_transactions (id),
    account_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor <> 0)
);
CREATE INDEX ledger_postings_by_account ON ledger_postings (account_id, id);
CREATE INDEX ledger_postings_by_transaction ON ledger_postings (transaction_id);

-- What an account held after one of its postings, where its balance is not kept: who asks sums what came after.
CREATE TABLE ledger_closings (
    account_id TEXT NOT NULL REFERENCES ledger_accounts (id),
    last_posting_id TEXT NOT NULL REFERENCES ledger_postings (id),
    balance_minor BIGINT NOT NULL,
    closed_at TIMESTAMP NOT NULL,
    PRIMARY KEY (account_id, last_posting_id)
);

-- Money that arrived at the bank. What waits for a second operator has not moved yet.
CREATE TABLE deposits (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    -- The bank's.
    reference TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('awaiting_approval', 'posted', 'refused', 'reversing', 'reversed')),
    -- The operator whose step waits for another, or who took the last one.
    proposed_by TEXT NOT NULL REFERENCES users (id),
    recorded_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX deposits_by_reference ON deposits (reference) WHERE state <> 'refused';
CREATE INDEX deposits_by_organisation ON deposits (organisation_id, id);

-- Money that an organisation has paid out to its bank account.
CREATE TABLE withdrawals (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    source TEXT NOT NULL CHECK (source IN ('wallet', 'payable')),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    -- The bank account, in the organisation's words.
    pay_to TEXT NOT NULL,
    -- The bank's, once it has paid.
    reference TEXT,
    state TEXT NOT NULL CHECK (state IN ('requested', 'awaiting_approval', 'executed', 'refused', 'cancelled', 'reversing', 'reversed')),
    proposed_by TEXT NOT NULL REFERENCES users (id),
    requested_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX withdrawals_by_reference ON withdrawals (reference) WHERE state <> 'refused';
CREATE INDEX withdrawals_by_organisation ON withdrawals (organisation_id, id);

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('deposits', '', 'awaiting_approval'),
    ('deposits', '', 'posted'),
    ('deposits', 'awaiting_approval', 'posted'),
    ('deposits', 'awaiting_approval', 'refused'),
    ('deposits', 'posted', 'reversing'),
    ('deposits', 'posted', 'reversed'),
    ('deposits', 'reversing', 'posted'),
    ('deposits', 'reversing', 'reversed');

INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('withdrawals', '', 'requested'),
    ('withdrawals', 'requested', 'awaiting_approval'),
    ('withdrawals', 'requested', 'executed'),
    ('withdrawals', 'requested', 'refused'),
    ('withdrawals', 'requested', 'cancelled'),
    ('withdrawals', 'awaiting_approval', 'executed'),
    ('withdrawals', 'awaiting_approval', 'refused'),
    ('withdrawals', 'executed', 'reversing'),
    ('withdrawals', 'executed', 'reversed'),
    ('withdrawals', 'reversing', 'executed'),
    ('withdrawals', 'reversing', 'reversed');
