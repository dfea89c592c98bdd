ALTER TABLE audit_records DROP COLUMN address;
DELETE FROM state_edges WHERE life = 'organisations';
