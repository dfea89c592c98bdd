-- Drops what up.sql made, newest first.
DROP TABLE audit_reads;
