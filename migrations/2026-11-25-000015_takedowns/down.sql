-- Drops what up.sql made, newest first.
DROP INDEX entitlements_by_end;
DROP TABLE recalls;
DROP TABLE holds;
DROP TABLE takedowns;
