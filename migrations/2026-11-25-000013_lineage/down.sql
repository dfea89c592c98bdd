-- Drops what up.sql made, newest first.
DROP TABLE model_versions;
DROP TABLE models;
DROP TABLE offered_versions;
DROP TABLE version_parents;
DROP INDEX seals_by_generation;
ALTER TABLE seals DROP COLUMN generation;
