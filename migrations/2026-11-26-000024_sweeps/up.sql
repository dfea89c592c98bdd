-- When everything that time ends was gone through last. One row for each name.

CREATE TABLE sweeps (
    name TEXT NOT NULL PRIMARY KEY,
    swept_at TIMESTAMP NOT NULL
);
