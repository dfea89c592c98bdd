-- Drops what up.sql made, newest first.
DROP TABLE receipts;
DROP TABLE receipt_batches;
DROP TABLE entitlements;
