-- Anybody registers an organisation; an operator verifies or rejects it, once and for good.
INSERT INTO state_edges (life, from_state, to_state) VALUES
    ('organisations', '', 'registered'),
    ('organisations', 'registered', 'verified'),
    ('organisations', 'registered', 'rejected');

-- From where somebody was turned away of whom nothing else is known.
ALTER TABLE audit_records ADD COLUMN address TEXT;
