-- Drops what up.sql made, newest first.
DROP TABLE certificates;
DROP TABLE assessments;
