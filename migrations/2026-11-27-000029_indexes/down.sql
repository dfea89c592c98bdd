DROP INDEX audit_records_by_outcome;
DROP INDEX webhooks_by_time;
CREATE INDEX webhooks_by_time ON webhooks (due_at, id);
DROP INDEX uploads_by_version;
CREATE INDEX uploads_by_version ON uploads (version_id, path);
DROP INDEX jobs_by_time;
CREATE INDEX jobs_by_time ON jobs (state, run_at);
