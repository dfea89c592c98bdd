-- Indexes for what is asked for again and again, however many rows there are.

-- The next job of a lane is the first of its kinds.
DROP INDEX jobs_by_time;
CREATE INDEX jobs_by_time ON jobs (state, is_long, run_at, id);

-- What was uploaded into a path later: without the last column, SQLite would look among all of a version that is verified.
DROP INDEX uploads_by_version;
CREATE INDEX uploads_by_version ON uploads (version_id, path, id);

-- Only webhooks that wait for a courier: those of an organisation that wait for nothing are found by the organisation.
DROP INDEX webhooks_by_time;
CREATE INDEX webhooks_by_time ON webhooks (due_at, id) WHERE due_at IS NOT NULL;

-- Staff page through what was denied, among all that was read.
CREATE INDEX audit_records_by_outcome ON audit_records (outcome, id);
