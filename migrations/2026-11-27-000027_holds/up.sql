-- Since when it is on record of a subscription that a claim about this version holds it; that it is held, `holds` says.
ALTER TABLE subscription_versions ADD COLUMN held_at TIMESTAMP;
UPDATE subscription_versions SET held_at = (SELECT MIN(placed_at) FROM holds WHERE holds.version_id = subscription_versions.version_id);
