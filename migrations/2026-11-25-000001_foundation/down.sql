DROP TABLE state_edges;
-- Drops what up.sql made, newest first.
DROP TABLE outbox;
DROP TABLE transitions;
DROP TABLE idempotency_keys;
DROP TABLE jobs;
