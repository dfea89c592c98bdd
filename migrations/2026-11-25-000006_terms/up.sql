-- Licence terms: documents that a provider signed. A changed document is another document.

CREATE TABLE terms (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    sha256 TEXT NOT NULL,
    document TEXT NOT NULL,
    statement_id TEXT NOT NULL REFERENCES statements (id),
    published_at TIMESTAMP NOT NULL,
    UNIQUE (organisation_id, sha256)
);
