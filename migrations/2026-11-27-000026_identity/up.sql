-- What an operator moved alone is summed for each day.
CREATE INDEX transitions_of_operators ON transitions (actor, id) WHERE to_state IN ('posted', 'executed', 'reversed');

-- A trace follows offers and negotiations from what is listed, and recalls from what was licensed.
CREATE INDEX offers_by_listing ON offers (listing_id, id);
CREATE INDEX negotiations_by_listing ON negotiations (listing_id, id);
CREATE INDEX recalls_by_entitlement ON recalls (entitlement_id);

-- The session or API token with which a token was asked for, or a program's sign-in approved: what is revoked as stolen
-- takes along what was made with it.
ALTER TABLE api_tokens ADD COLUMN minted_by TEXT;
CREATE INDEX api_tokens_by_minter ON api_tokens (minted_by);
ALTER TABLE device_logins ADD COLUMN approved_with TEXT;

-- Places among the members of organisations that wait for whoever shows the code. Rows that were accepted, withdrawn or ended
-- are deleted.
CREATE TABLE invitations (
    id TEXT NOT NULL PRIMARY KEY,
    organisation_id TEXT NOT NULL REFERENCES organisations (id),
    code_sha256 TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'signer', 'trader', 'reader')),
    invited_by TEXT NOT NULL REFERENCES users (id),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
CREATE INDEX invitations_of_organisations ON invitations (organisation_id, id);
