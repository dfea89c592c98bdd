-- What of a user's tokens and sessions may still be used is counted before there is one more, however many there ever were.
CREATE INDEX api_tokens_standing ON api_tokens (user_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX sessions_standing ON sessions (user_id, expires_at) WHERE revoked_at IS NULL;

-- What an order owes the providers of what the version was made from, as JSON; as it was when the contract was made out.
ALTER TABLE orders ADD COLUMN royalties TEXT NOT NULL DEFAULT '[]';
ALTER TABLE negotiations ADD COLUMN royalties TEXT;

-- The posting after which an account holds the balance that is kept: the next one sorts after it, whatever the clock says.
ALTER TABLE ledger_accounts ADD COLUMN last_posting_id TEXT;
