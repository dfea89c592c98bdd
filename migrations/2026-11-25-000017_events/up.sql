-- What organisations are told: the steps that concern them, numbered for each.

-- At most one dispatcher numbers at a time: whoever holds the row, until it lapses.
CREATE TABLE event_lease (
    name TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    leased_until TIMESTAMP NOT NULL
);

-- Rows never change, and are removed when they have been kept long enough. Each organisation's events are numbered
-- 1, 2, 3 … as they become readable, so that none ever appears before one that was read. The id is that of the step, the
-- same for everybody who is told of it.
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

CREATE INDEX events_by_time ON events (occurred_at);

-- Where organisations are sent their events, and how far each receiver has come. Its secret is derived, not kept.
CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    url TEXT NOT NULL,
    -- A JSON array; empty for all.
    types TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    overlap_until TIMESTAMP,
    position BIGINT NOT NULL CHECK (position >= 0),
    failures INTEGER NOT NULL CHECK (failures >= 0),
    -- When a courier comes next; null while nothing waits.
    due_at TIMESTAMP,
    disabled_at TIMESTAMP,
    disabled_because TEXT,
    created_at TIMESTAMP NOT NULL,
    CHECK (disabled_at IS NULL OR due_at IS NULL),
    CHECK ((disabled_at IS NULL) = (disabled_because IS NULL))
);
CREATE INDEX webhooks_by_organisation ON webhooks (organisation_id, id);
CREATE INDEX webhooks_by_time ON webhooks (due_at, id);

-- Every try to deliver an event, until the webhook is removed or the try has been kept long enough.
CREATE TABLE webhook_attempts (
    id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id),
    event_id TEXT NOT NULL REFERENCES transitions (id),
    status INTEGER,
    failure TEXT,
    attempted_at TIMESTAMP NOT NULL
);
CREATE INDEX webhook_attempts_by_webhook ON webhook_attempts (webhook_id, id);
