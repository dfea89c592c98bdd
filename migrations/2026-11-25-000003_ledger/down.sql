-- Drops what up.sql made, newest first.
DELETE FROM state_edges WHERE life = 'withdrawals';
DELETE FROM state_edges WHERE life = 'deposits';
DROP TABLE withdrawals;
DROP TABLE deposits;
DROP TABLE ledger_closings;
DROP TABLE ledger_postings;
DROP TABLE ledger_transactions;
DROP TABLE ledger_accounts;
