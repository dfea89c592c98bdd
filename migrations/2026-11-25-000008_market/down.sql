-- Drops what up.sql made, newest first.
DELETE FROM state_edges WHERE life = 'orders';
DELETE FROM state_edges WHERE life = 'objections';
DELETE FROM state_edges WHERE life = 'listings';
DROP TABLE contracts;
DROP TABLE orders;
DROP TABLE objections;
DROP TABLE board_changes;
DROP TABLE listings;
