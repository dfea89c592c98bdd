-- The chain of a version asks which claims were made against it.
CREATE INDEX takedowns_by_version ON takedowns (version_id, id);
