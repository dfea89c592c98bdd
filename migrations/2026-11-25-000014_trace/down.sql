-- Drops what up.sql made, newest first.
DROP INDEX orders_by_version;
DROP TABLE conflicts;
