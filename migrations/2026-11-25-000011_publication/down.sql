ALTER TABLE log_lease DROP COLUMN problem;
DROP TABLE log_publications;
