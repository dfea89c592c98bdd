ALTER TABLE subscription_versions DROP COLUMN held_at;
