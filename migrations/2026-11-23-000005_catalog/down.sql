-- Drops what up.sql made, newest first.
DROP TABLE seals;
DROP TABLE shards;
DROP TABLE uploads;
DROP TABLE objects;
DROP TABLE versions;
DROP TABLE datasets;
