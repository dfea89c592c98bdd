-- Drops what up.sql made, newest first.
DROP TABLE contracts;
DROP TABLE orders;
DROP TABLE listings;
