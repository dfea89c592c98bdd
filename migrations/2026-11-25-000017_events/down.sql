DROP TABLE webhook_attempts;
DROP TABLE webhooks;
DROP TABLE events;
DROP TABLE event_lease;
