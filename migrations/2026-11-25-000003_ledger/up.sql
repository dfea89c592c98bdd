-- Double-entry money. A posting above zero is a credit to the account, below zero a debit;
-- the postings of a transaction sum to zero per currency.

CREATE TABLE ledger_accounts (
    id TEXT NOT NULL PRIMARY KEY,
    -- Absent for the exchange's own accounts.
    organisation_id TEXT REFERENCES organisations (id),
    kind TEXT NOT NULL CHECK (kind IN ('bank', 'wallet', 'payable', 'escrow', 'fees')),
    currency TEXT NOT NULL,
    -- Kept for wallets only, where it gates spending; elsewhere the balance is the sum of the postings,
    -- so that no row is written by every trade.
    gated_balance_minor BIGINT CHECK (gated_balance_minor >= 0),
    created_at TIMESTAMP NOT NULL,
    CHECK ((kind = 'wallet') = (gated_balance_minor IS NOT NULL))
);
CREATE UNIQUE INDEX ledger_accounts_of_organisations ON ledger_accounts (organisation_id, kind, currency) WHERE organisation_id IS NOT NULL;
CREATE UNIQUE INDEX ledger_accounts_of_exchange ON ledger_accounts (kind, currency) WHERE organisation_id IS NULL;

CREATE TABLE ledger_transactions (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('deposit', 'payment', 'settlement', 'refund')),
    -- What it is for: a bank reference or an order. One transaction of a kind per reference, ever.
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
