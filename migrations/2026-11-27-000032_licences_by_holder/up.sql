-- A holder's licences, page by page, oldest first. The index by version serves who asks for those to one corpus.
CREATE INDEX entitlements_of_holder ON entitlements (organisation_id, id);
