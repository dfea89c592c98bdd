DROP INDEX takedowns_by_version;
