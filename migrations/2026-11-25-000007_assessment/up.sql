-- Compliance assessments of sealed versions, and the certificates that registration gives.

CREATE TABLE assessments (
    id TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL REFERENCES seals (version_id),
    checklist TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('passed', 'failed')),
    assessor_id TEXT NOT NULL REFERENCES users (id),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    assessed_at TIMESTAMP NOT NULL,
    valid_until TIMESTAMP NOT NULL
);
CREATE INDEX assessments_by_version ON assessments (version_id, id);

CREATE TABLE certificates (
    id TEXT NOT NULL PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    version_id TEXT NOT NULL UNIQUE REFERENCES seals (version_id),
    assessment_id TEXT NOT NULL REFERENCES assessments (id),
    statement_id TEXT NOT NULL REFERENCES statements (id),
    issued_at TIMESTAMP NOT NULL
);
