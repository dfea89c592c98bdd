DROP INDEX entitlements_of_holder;
