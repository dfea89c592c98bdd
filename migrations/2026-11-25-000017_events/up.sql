-- What organisations are told: the steps that concern them, numbered for each.

-- At most one dispatcher numbers at a time: whoever holds the row, until it lapses.
CREATE TABLE event_lease (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    leased_until TIMESTAMP NOT NULL
);

-- Append-only. Each organisation's events are numbered 1, 2, 3 … as they become readable, so that none ever appears
-- before one that was read. The id is that of the step, the same for everybody who is told of it.
CREATE TABLE events (
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    position BIGINT NOT NULL CHECK (position > 0),
    id TEXT NOT NULL REFERENCES transitions (id),
    event_type TEXT NOT NULL,
    subject TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    occurred_at TIMESTAMP NOT NULL,
    PRIMARY KEY (organisation_id, position),
    UNIQUE (id, organisation_id)
);
