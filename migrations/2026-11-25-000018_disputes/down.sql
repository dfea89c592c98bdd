-- Drops what up.sql made.
DELETE FROM state_edges WHERE life = 'orders' AND (from_state = 'disputed' OR to_state = 'disputed');
DELETE FROM state_edges WHERE life = 'disputes';
DROP TABLE disputes;
