-- Drops what up.sql made.
DELETE FROM state_edges WHERE life = 'offers';
DROP TABLE offers;
