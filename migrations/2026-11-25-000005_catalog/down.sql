-- Drops what up.sql made, newest first.
DELETE FROM state_edges WHERE life = 'versions';
DROP TABLE inspections;
DROP TABLE seals;
DROP TABLE shards;
DROP TABLE uploads;
DROP TABLE objects;
DROP TABLE versions;
DROP TABLE datasets;
