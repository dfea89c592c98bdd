-- What every domain stands on: queued work, answers kept for repeated requests, and histories.

-- Work that a transaction promised. A leased job belongs to one worker until the lease ends.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    payload TEXT NOT NULL,
    -- Whether it may take hours: not every lane of a worker takes such a job.
    is_long BOOLEAN NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'dead')),
    run_at TIMESTAMP NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT,
    leased_until TIMESTAMP,
    last_error TEXT,
    created_at TIMESTAMP NOT NULL
);
CREATE INDEX jobs_by_time ON jobs (state, run_at);

-- The answer to an effect, kept under the caller's key so that a repeated request gets it again.
CREATE TABLE idempotency_keys (
    principal TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (principal, idempotency_key)
);

-- Every step in the life of a version, listing, order or entitlement. Append-only.
CREATE TABLE transitions (
    id TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
CREATE INDEX transitions_by_subject ON transitions (subject, id);

-- The steps that nobody was told of yet. Written with the step, removed when the organisations it concerns are told.
CREATE TABLE outbox (
    transition_id TEXT NOT NULL PRIMARY KEY REFERENCES transitions (id)
);

-- The edges along which rows move through the states of their lives; '' is where a new row comes from.
CREATE TABLE state_edges (
    -- The table that the rows are in.
    life TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (life, from_state, to_state)
);
