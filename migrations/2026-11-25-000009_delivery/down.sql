-- Drops what up.sql made, newest first.
DELETE FROM state_edges WHERE life = 'entitlements';
DROP TABLE evaluations;
DROP TABLE download_excesses;
DROP TABLE downloads;
DROP TABLE receipts;
DROP TABLE receipt_batches;
DROP TABLE seats;
DROP TABLE subscription_versions;
DROP TABLE entitlements;
