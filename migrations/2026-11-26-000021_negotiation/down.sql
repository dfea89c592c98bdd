-- Drops what up.sql made.
DELETE FROM state_edges WHERE life = 'negotiations';
DROP TABLE negotiations;
