-- Drops what up.sql made, newest first.
DROP TABLE statements;
DROP TABLE log_lease;
DROP TABLE log_checkpoints;
DROP TABLE log_tiles;
DROP TABLE log_sequence;
DROP TABLE log_queue;
DROP TABLE log_entries;
