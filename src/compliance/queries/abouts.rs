//! What a thing belongs to: from the identifier that a statement or a step names to dataset, version and parties.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable, Text};

use super::sql::Sql;
use crate::db::{Conn, MultiBackend};
use crate::types::{OrderId, VersionId};

/// For the prefix of an identifier: how to find the version and the purchase, or the owner, and the other party.
const THINGS: &[(&str, &str)] = &[
    ("version", "SELECT id, id AS version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM versions"),
    ("assessment", "SELECT id, version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM assessments"),
    ("certificate", "SELECT id, version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM certificates"),
    ("listing", "SELECT id, version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM listings"),
    (
        "objection",
        "SELECT objections.id, version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id \
         FROM objections JOIN listings ON listings.id = listing_id",
    ),
    (
        "terms",
        "SELECT id, NULL AS version_id, NULL AS order_id, organisation_id AS owner_id, NULL AS party_id FROM terms",
    ),
    (
        "offer",
        "SELECT offers.id, version_id, order_id, NULL AS owner_id, buyer_id AS party_id \
         FROM offers JOIN listings ON listings.id = listing_id",
    ),
    (
        "negotiation",
        "SELECT negotiations.id, version_id, order_id, NULL AS owner_id, buyer_id AS party_id \
         FROM negotiations JOIN listings ON listings.id = listing_id",
    ),
    ("order", "SELECT id, version_id, id AS order_id, NULL AS owner_id, buyer_id AS party_id FROM orders"),
    (
        "contract",
        "SELECT contracts.id, version_id, order_id, NULL AS owner_id, buyer_id AS party_id \
         FROM contracts JOIN orders ON orders.id = order_id",
    ),
    ("entitlement", "SELECT id, version_id, order_id, NULL AS owner_id, organisation_id AS party_id FROM entitlements"),
    (
        "evaluation",
        "SELECT id, version_id, NULL AS order_id, NULL AS owner_id, organisation_id AS party_id FROM evaluations",
    ),
    (
        "key",
        "SELECT id, NULL AS version_id, NULL AS order_id, organisation_id AS owner_id, NULL AS party_id FROM signing_keys",
    ),
    (
        "batch",
        "SELECT id, NULL AS version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM receipt_batches",
    ),
    (
        "model",
        "SELECT id, NULL AS version_id, NULL AS order_id, organisation_id AS owner_id, NULL AS party_id FROM models",
    ),
    ("takedown", "SELECT id, version_id, NULL AS order_id, NULL AS owner_id, NULL AS party_id FROM takedowns"),
    (
        "recall",
        "SELECT recalls.id, version_id, NULL AS order_id, NULL AS owner_id, organisation_id AS party_id \
         FROM recalls JOIN takedowns ON takedowns.id = takedown_id",
    ),
    ("org", "SELECT id, NULL AS version_id, NULL AS order_id, id AS owner_id, NULL AS party_id FROM organisations"),
];

/// True if identifiers with this prefix name something that statements or steps are about.
pub(in crate::compliance) fn is_thing(prefix: &str) -> bool {
    THINGS.iter().any(|(known, _)| *known == prefix)
}

/// What a thing belongs to.
#[derive(Debug, Clone, QueryableByName)]
#[diesel(check_for_backend(MultiBackend))]
pub(in crate::compliance) struct About {
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) thing: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) version_id: Option<VersionId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) order_id: Option<OrderId>,
    /// The name of the dataset, within its owner's.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) name: Option<String>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub(in crate::compliance) number: Option<i32>,
    /// The handle of whoever published it.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) owner: Option<String>,
    /// The handle of whoever licensed it.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) party: Option<String>,
}

/// What these things belong to; nothing of those that do not exist.
pub(in crate::compliance) fn list_abouts(c: &mut Conn, things: &[&str]) -> QueryResult<Vec<About>> {
    let mut found = Vec::new();
    for (prefix, select) in THINGS {
        let of_kind = |thing: &&&str| thing.split_once('_').is_some_and(|(kind, _)| kind == *prefix);
        let wanted: Vec<&&str> = things.iter().filter(of_kind).collect();
        if wanted.is_empty() {
            continue;
        }
        let mut sql = Sql::new(format!(
            "SELECT t.id AS thing, t.version_id, t.order_id, d.name, v.number, o.handle AS owner, p.handle AS party \
             FROM ({select}) t LEFT JOIN versions v ON v.id = t.version_id LEFT JOIN datasets d ON d.id = v.dataset_id \
             LEFT JOIN organisations o ON o.id = COALESCE(d.organisation_id, t.owner_id) \
             LEFT JOIN organisations p ON p.id = t.party_id WHERE t.id IN "
        ));
        sql.push_list(&wanted);
        found.extend(sql.load(c)?);
    }
    Ok(found)
}
