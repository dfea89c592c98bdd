-- What privileged readers looked at.

CREATE TABLE audit_reads (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    query TEXT NOT NULL,
    read_at TIMESTAMP NOT NULL
);
