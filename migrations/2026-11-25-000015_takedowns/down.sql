-- Drops what up.sql made, newest first.
DELETE FROM state_edges WHERE life = 'recalls';
DELETE FROM state_edges WHERE life = 'takedowns';
DROP INDEX entitlements_by_end;
DROP TABLE recalls;
DROP TABLE holds;
DROP TABLE takedowns;
