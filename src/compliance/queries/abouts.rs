//! From the identifier that a statement or a step names to the dataset, version and parties that it belongs to.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable, Text};

use super::sql::Sql;
use crate::db::{Conn, MultiBackend};
use crate::types::{OrderId, VersionId};

/// What statements and steps are about, and by which columns its version, purchase and parties are found.
#[derive(Debug)]
pub(super) struct Thing {
    /// The prefix of its identifiers.
    prefix: &'static str,
    /// The column of its identifier.
    pub(super) id: &'static str,
    /// Where it is kept, and what must be joined for the columns below.
    pub(super) from: &'static str,
    /// The version that it is about.
    pub(super) version: Option<&'static str>,
    /// The purchase that it belongs to.
    pub(super) order: Option<&'static str>,
    /// Whose it is, where no version says so.
    pub(super) owner: Option<&'static str>,
    /// The other party.
    pub(super) party: Option<&'static str>,
}

const NOTHING: Thing = Thing { prefix: "", id: "", from: "", version: None, order: None, owner: None, party: None };

pub(super) const THINGS: &[Thing] = &[
    Thing { prefix: "version", id: "id", from: "versions", version: Some("id"), ..NOTHING },
    Thing { prefix: "assessment", id: "id", from: "assessments", version: Some("version_id"), ..NOTHING },
    Thing { prefix: "certificate", id: "id", from: "certificates", version: Some("version_id"), ..NOTHING },
    Thing { prefix: "listing", id: "id", from: "listings", version: Some("version_id"), ..NOTHING },
    Thing {
        prefix: "objection",
        id: "objections.id",
        from: "objections JOIN listings ON listings.id = listing_id",
        version: Some("version_id"),
        ..NOTHING
    },
    Thing { prefix: "terms", id: "id", from: "terms", owner: Some("organisation_id"), ..NOTHING },
    Thing {
        prefix: "offer",
        id: "offers.id",
        from: "offers JOIN listings ON listings.id = listing_id",
        version: Some("version_id"),
        order: Some("order_id"),
        party: Some("buyer_id"),
        ..NOTHING
    },
    Thing {
        prefix: "negotiation",
        id: "negotiations.id",
        from: "negotiations JOIN listings ON listings.id = listing_id",
        version: Some("version_id"),
        order: Some("order_id"),
        party: Some("buyer_id"),
        ..NOTHING
    },
    Thing {
        prefix: "order",
        id: "id",
        from: "orders",
        version: Some("version_id"),
        order: Some("id"),
        party: Some("buyer_id"),
        ..NOTHING
    },
    Thing {
        prefix: "contract",
        id: "contracts.id",
        from: "contracts JOIN orders ON orders.id = order_id",
        version: Some("version_id"),
        order: Some("order_id"),
        party: Some("buyer_id"),
        ..NOTHING
    },
    Thing {
        prefix: "dispute",
        id: "disputes.id",
        from: "disputes JOIN orders ON orders.id = order_id",
        version: Some("version_id"),
        order: Some("order_id"),
        party: Some("buyer_id"),
        ..NOTHING
    },
    Thing {
        prefix: "entitlement",
        id: "id",
        from: "entitlements",
        version: Some("version_id"),
        order: Some("order_id"),
        party: Some("organisation_id"),
        ..NOTHING
    },
    Thing {
        prefix: "evaluation",
        id: "id",
        from: "evaluations",
        version: Some("version_id"),
        party: Some("organisation_id"),
        ..NOTHING
    },
    Thing { prefix: "key", id: "id", from: "signing_keys", owner: Some("organisation_id"), ..NOTHING },
    Thing { prefix: "batch", id: "id", from: "receipt_batches", ..NOTHING },
    Thing { prefix: "model", id: "id", from: "models", owner: Some("organisation_id"), ..NOTHING },
    Thing { prefix: "takedown", id: "id", from: "takedowns", version: Some("version_id"), ..NOTHING },
    Thing {
        prefix: "recall",
        id: "recalls.id",
        from: "recalls JOIN takedowns ON takedowns.id = takedown_id",
        version: Some("version_id"),
        party: Some("organisation_id"),
        ..NOTHING
    },
    Thing { prefix: "org", id: "id", from: "organisations", owner: Some("id"), ..NOTHING },
];

/// True if identifiers with this prefix name something that statements or steps are about.
pub(in crate::compliance) fn is_thing(prefix: &str) -> bool {
    THINGS.iter().any(|thing| thing.prefix == prefix)
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
    for Thing { prefix, id, from, version, order, owner, party } in THINGS {
        let of_kind = |thing: &&&str| thing.split_once('_').is_some_and(|(kind, _)| kind == *prefix);
        let wanted: Vec<&&str> = things.iter().filter(of_kind).collect();
        if wanted.is_empty() {
            continue;
        }
        let [version, order, owner, party] = [version, order, owner, party].map(|column| column.unwrap_or("NULL"));
        let mut sql = Sql::new(format!(
            "SELECT t.id AS thing, t.version_id, t.order_id, d.name, v.number, o.handle AS owner, p.handle AS party \
             FROM (SELECT {id} AS id, {version} AS version_id, {order} AS order_id, {owner} AS owner_id, {party} AS party_id \
             FROM {from}) t LEFT JOIN versions v ON v.id = t.version_id LEFT JOIN datasets d ON d.id = v.dataset_id \
             LEFT JOIN organisations o ON o.id = COALESCE(d.organisation_id, t.owner_id) \
             LEFT JOIN organisations p ON p.id = t.party_id WHERE t.id IN "
        ));
        sql.push_list(&wanted);
        found.extend(sql.load(c)?);
    }
    Ok(found)
}
