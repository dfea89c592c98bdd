DROP TABLE invitations;
ALTER TABLE device_logins DROP COLUMN approved_with;
DROP INDEX api_tokens_by_minter;
ALTER TABLE api_tokens DROP COLUMN minted_by;
DROP INDEX recalls_by_entitlement;
DROP INDEX negotiations_by_listing;
DROP INDEX offers_by_listing;
DROP INDEX transitions_of_operators;
