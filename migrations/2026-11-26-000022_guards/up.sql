-- Which guards (triggers that refuse) were drawn last, by the digest of their text: drawing them takes locks that a fleet at
-- work should meet once for each change of theirs, and not at every start.
CREATE TABLE drawn_guards (
    sha256 TEXT NOT NULL PRIMARY KEY
);
