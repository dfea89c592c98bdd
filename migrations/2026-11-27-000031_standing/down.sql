ALTER TABLE ledger_accounts DROP COLUMN last_posting_id;
ALTER TABLE negotiations DROP COLUMN royalties;
ALTER TABLE orders DROP COLUMN royalties;
DROP INDEX sessions_standing;
CREATE INDEX sessions_by_user ON sessions (user_id, id);
DROP INDEX api_tokens_standing;
