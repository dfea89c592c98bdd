-- Drops what up.sql made, newest first, and puts the reads back where they were.
CREATE TABLE audit_reads (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    query TEXT NOT NULL,
    read_at TIMESTAMP NOT NULL
);
INSERT INTO audit_reads (id, user_id, query, read_at)
SELECT id, user_id, request, recorded_at FROM audit_records WHERE outcome = 'read';
DROP TABLE audit_days;
DROP TABLE audit_records;
