-- Drops what up.sql made, newest first.
DROP TABLE voucher_movements;
DROP TABLE voucher_programmes;
