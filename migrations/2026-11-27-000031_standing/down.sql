ALTER TABLE ledger_accounts DROP COLUMN last_posting_id;
ALTER TABLE negotiations DROP COLUMN royalties;
ALTER TABLE orders DROP COLUMN royalties;
DROP INDEX sessions_standing;
DROP INDEX api_tokens_standing;
