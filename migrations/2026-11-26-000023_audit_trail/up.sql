-- The audit trail: what staff read, and who was turned away; and its days, once they are closed.

CREATE TABLE audit_records (
    id TEXT NOT NULL PRIMARY KEY,
    -- The day that it counts to, which is open when it is recorded.
    day TEXT NOT NULL,
    user_id TEXT REFERENCES users (id),
    outcome TEXT NOT NULL CHECK (outcome IN ('read', 'denied')),
    request TEXT NOT NULL,
    reason TEXT CHECK ((reason IS NULL) = (outcome = 'read')),
    times BIGINT NOT NULL CHECK (times > 0),
    recorded_at TIMESTAMP NOT NULL
);
CREATE INDEX audit_records_of_day ON audit_records (day, id);

CREATE TABLE audit_days (
    day TEXT NOT NULL PRIMARY KEY,
    records BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    closed_at TIMESTAMP NOT NULL
);

INSERT INTO audit_records (id, day, user_id, outcome, request, reason, times, recorded_at)
SELECT id, substr(CAST(read_at AS TEXT), 1, 10), user_id, 'read', query, NULL, 1, read_at FROM audit_reads;
-- No release has used it.
DROP TABLE audit_reads;
