-- Drops what up.sql made.
DELETE FROM state_edges WHERE life = 'orders' AND (from_state IN ('disputed', 'certificated') AND to_state = 'refunded' OR 'disputed' IN (from_state, to_state));
DELETE FROM state_edges WHERE life = 'disputes';
DROP TABLE disputes;
