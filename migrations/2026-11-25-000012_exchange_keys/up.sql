-- The exchange's own signing keys over time, public halves only: which was good when, and which took over from which.

CREATE TABLE exchange_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('statement', 'log')),
    public_key TEXT NOT NULL,
    -- The key it takes over from; absent for the first key of a role, which is good from the log's beginning.
    replaces TEXT UNIQUE REFERENCES exchange_keys (key_id),
    activated_at TIMESTAMP,
    retired_at TIMESTAMP,
    CHECK ((replaces IS NULL) = (activated_at IS NULL))
);
CREATE INDEX exchange_keys_by_role ON exchange_keys (role, key_id);
