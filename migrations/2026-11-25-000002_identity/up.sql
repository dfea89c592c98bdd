-- Organisations and the people, keys and credentials that act for them.

CREATE TABLE organisations (
    id TEXT NOT NULL PRIMARY KEY,
    handle TEXT NOT NULL,
    legal_name TEXT NOT NULL,
    registration_number TEXT NOT NULL,
    country TEXT NOT NULL,
    -- JSON array of handles: organisations this one declares to be affiliated with.
    affiliations TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('registered', 'verified', 'rejected')),
    created_at TIMESTAMP NOT NULL,
    verified_at TIMESTAMP,
    CHECK (state = 'verified' OR verified_at IS NULL)
);
CREATE INDEX organisations_by_handle ON organisations (handle);
-- A handle is the organisation's that registers it first, until it is rejected. A registration number is a claim that anybody
-- can make, until one that makes it is verified.
CREATE UNIQUE INDEX organisations_with_a_handle ON organisations (handle) WHERE state <> 'rejected';
CREATE UNIQUE INDEX organisations_with_a_number ON organisations (country, registration_number) WHERE state = 'verified';

-- The same declarations one by one, to be followed in both directions.
CREATE TABLE affiliations (
    handle TEXT NOT NULL,
    affiliate TEXT NOT NULL,
    PRIMARY KEY (handle, affiliate)
);
CREATE INDEX affiliations_by_affiliate ON affiliations (affiliate, handle);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    -- Argon2id in PHC form; absent for accounts that sign in with tokens only.
    password_phc TEXT,
    platform_role TEXT CHECK (platform_role IN ('operator', 'compliance')),
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE memberships (
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL CHECK (role IN ('admin', 'signer', 'trader', 'reader')),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (organisation_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

-- Public halves only: private keys never reach the exchange.
CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    key_id TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL,
    registered_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    compromised_at TIMESTAMP,
    CHECK (compromised_at IS NULL OR revoked_at IS NOT NULL)
);
CREATE INDEX signing_keys_by_organisation ON signing_keys (organisation_id, id);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP
);

-- Each refresh token is good once. A used one that comes back was stolen, by one side or the other.
CREATE TABLE refresh_tokens (
    token_sha256 TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    created_at TIMESTAMP NOT NULL,
    used_at TIMESTAMP
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE api_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    token_sha256 TEXT NOT NULL UNIQUE,
    -- 'read' may look and download; 'write' may also change things.
    scope TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id, id);

-- Programs that wait for a person to sign them in (RFC 8628). Rows that ended are deleted when the next one begins.
CREATE TABLE device_logins (
    device_code_sha256 TEXT NOT NULL PRIMARY KEY,
    user_code_sha256 TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    polled_at TIMESTAMP,
    -- Approved by this user, or denied by somebody.
    decided_at TIMESTAMP,
    user_id TEXT REFERENCES users (id),
    token_expires_at TIMESTAMP,
    spent_at TIMESTAMP,
    CHECK (user_id IS NULL OR decided_at IS NOT NULL),
    CHECK ((user_id IS NULL) = (token_expires_at IS NULL)),
    CHECK (spent_at IS NULL OR user_id IS NOT NULL)
);
CREATE INDEX device_logins_by_end ON device_logins (expires_at);
