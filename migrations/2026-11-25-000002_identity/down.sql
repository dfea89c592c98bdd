-- Drops what up.sql made, newest first.
DROP TABLE device_logins;
DROP TABLE api_tokens;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE signing_keys;
DROP TABLE memberships;
DROP TABLE users;
DROP TABLE affiliations;
DROP TABLE organisations;
