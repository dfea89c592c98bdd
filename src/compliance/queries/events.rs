//! One page of each kind of record that a trace is made of, in the order of their creation.
//!
//! An identifier sorts by the moment it was made, so each source is read by its identifiers, from one to another, and
//! the page after begins where this one ended: no page costs more for what was read before it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::abouts::{THINGS, Thing};
use super::sql::Sql;
use crate::compliance::subject::Scope;
use crate::db::{Conn, MultiBackend};
use crate::types::{Digest, EntryId, Instant, StatementId};

/// One record.
#[derive(Debug, Clone, QueryableByName)]
#[diesel(check_for_backend(MultiBackend))]
pub(in crate::compliance) struct EventRow {
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) id: String,
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) kind: String,
    #[diesel(sql_type = Timestamp)]
    pub(in crate::compliance) at: Instant,
    /// The identifier of what it is about.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) about: Option<String>,
    /// Another thing that it is about.
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) other: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) path: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) sha256: Option<Digest>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) actor: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) detail: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) statement_id: Option<StatementId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) pae_sha256: Option<Digest>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(in crate::compliance) entry_id: Option<EntryId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(in crate::compliance) leaf_index: Option<i64>,
}

/// A table of records.
#[derive(Debug)]
pub(in crate::compliance) struct Source {
    /// The kind of its records; `None` where each has the kind of its statement.
    pub(in crate::compliance) kind: Option<&'static str>,
    /// The prefix of their identifiers.
    prefix: &'static str,
    /// The table itself, which has a column `id`.
    table: &'static str,
    select: &'static str,
    /// Which of them a scope opens; `None` for none of them.
    opened: fn(&Scope) -> Option<String>,
}

/// Where events come from. A join to the left of which the source stands keeps the source in front.
pub(in crate::compliance) const SOURCES: &[Source] = &[
    Source {
        kind: None,
        prefix: "statement",
        table: "statements",
        select: "SELECT statements.id, kind, recorded_at AS at, subject AS about, NULL AS other, NULL AS path, \
                 NULL AS sha256, NULL AS actor, NULL AS detail, statements.id AS statement_id, pae_sha256, \
                 statements.entry_id, leaf_index \
                 FROM statements LEFT JOIN log_sequence ON log_sequence.entry_id = statements.entry_id",
        opened: |scope| Some(format!("subject IN ({})", things(scope))),
    },
    Source {
        kind: Some("delivery"),
        prefix: "receipt",
        table: "receipts",
        select: "SELECT receipts.id, 'delivery' AS kind, issued_at AS at, entitlement_id AS about, batch_id AS other, path, \
                 sha256, user_id AS actor, NULL AS detail, statements.id AS statement_id, pae_sha256, \
                 statements.entry_id, leaf_index \
                 FROM receipts LEFT JOIN receipt_batches ON receipt_batches.id = batch_id \
                 LEFT JOIN statements ON statements.id = statement_id \
                 LEFT JOIN log_sequence ON log_sequence.entry_id = statements.entry_id",
        opened: receipts,
    },
    Source {
        kind: Some("first-seen"),
        prefix: "object",
        table: "objects",
        select: "SELECT objects.id, 'first-seen' AS kind, verified_at AS at, shards.version_id AS about, NULL AS other, \
                 shards.path, objects.sha256, NULL AS actor, NULL AS detail, NULL AS statement_id, NULL AS pae_sha256, \
                 NULL AS entry_id, CAST(NULL AS BIGINT) AS leaf_index \
                 FROM objects LEFT JOIN uploads ON uploads.storage_key = objects.storage_key \
                 LEFT JOIN shards ON shards.version_id = uploads.version_id AND shards.path = uploads.path \
                 AND shards.object_id = objects.id",
        opened: |scope| match scope {
            Scope::Bytes(_) => Some("objects.sha256 = ?".to_string()),
            _ => versions(scope).map(|versions| {
                format!("objects.id IN (SELECT object_id FROM shards WHERE shards.version_id IN ({versions}))")
            }),
        },
    },
    Source {
        kind: Some("transition"),
        prefix: "step",
        table: "transitions",
        select: "SELECT id, 'transition' AS kind, at, subject AS about, NULL AS other, NULL AS path, NULL AS sha256, actor, \
                 COALESCE(from_state || ' → ', '') || to_state || ': ' || reason AS detail, NULL AS statement_id, \
                 NULL AS pae_sha256, NULL AS entry_id, CAST(NULL AS BIGINT) AS leaf_index FROM transitions",
        opened: |scope| Some(format!("subject IN ({})", things(scope))),
    },
    Source {
        kind: Some("conflict"),
        prefix: "conflict",
        table: "conflicts",
        select: "SELECT id, 'conflict' AS kind, flagged_at AS at, later_version_id AS about, earlier_version_id AS other, \
                 path, sha256, 'exchange' AS actor, NULL AS detail, NULL AS statement_id, NULL AS pae_sha256, \
                 NULL AS entry_id, CAST(NULL AS BIGINT) AS leaf_index FROM conflicts",
        opened: |scope| match scope {
            Scope::Bytes(_) => Some("sha256 = ?".to_string()),
            _ => versions(scope)
                .map(|versions| format!("(later_version_id IN ({versions}) OR earlier_version_id IN ({versions}))")),
        },
    },
];

/// The versions whose lives a scope opens, as a subquery about the parameter `?`.
pub(super) fn versions(scope: &Scope) -> Option<&'static str> {
    match scope {
        Scope::Thing(_) => None,
        Scope::Bytes(_) => Some("SELECT version_id FROM shards WHERE sha256 = ?"),
        Scope::Version(_) => Some("SELECT CAST(? AS TEXT)"),
        Scope::Dataset(_) => Some("SELECT id FROM versions WHERE dataset_id = ?"),
        Scope::Organisation(_) => {
            Some("SELECT versions.id FROM versions JOIN datasets ON datasets.id = dataset_id WHERE organisation_id = ?")
        }
        Scope::Order(_) => Some("SELECT version_id FROM orders WHERE id = ?"),
    }
}

/// Everything that belongs to a scope and that statements and steps are about, as a subquery.
fn things(scope: &Scope) -> String {
    let Some(versions) = versions(scope) else {
        return "SELECT CAST(? AS TEXT)".to_string();
    };
    let derived = descendants(scope, versions);
    let mut parts = Vec::new();
    for Thing { id, from, version, order, owner, party, .. } in THINGS {
        let of = |condition: String| format!("SELECT {id} FROM {from} WHERE {condition}");
        let of_version = version.map(|column| of(format!("{column} IN ({versions})")));
        let own = |column: Option<&str>| column.map(|column| of(format!("{column} = ?")));
        match scope {
            // Of the life of what was bought nothing that is another buyer's.
            Scope::Order(_) => parts.extend(own(*order).or(of_version.filter(|_| party.is_none()))),
            Scope::Organisation(_) => parts.extend([of_version, own(*owner), own(*party)].into_iter().flatten()),
            _ => parts.extend(of_version),
        }
    }
    parts.push(format!("SELECT model_id FROM model_versions WHERE version_id IN ({versions} UNION ALL {derived})"));
    parts.push(derived);
    match scope {
        Scope::Order(_) => parts.extend(
            [
                "SELECT terms_id FROM orders WHERE id = ?",
                "SELECT recalls.id FROM recalls JOIN entitlements ON entitlements.id = entitlement_id WHERE order_id = ?",
            ]
            .map(str::to_string),
        ),
        _ => parts.extend([
            format!("SELECT terms_id FROM listings WHERE version_id IN ({versions})"),
            format!("SELECT entitlement_id FROM subscription_versions WHERE version_id IN ({versions})"),
        ]),
    }
    parts.join(" UNION ALL ")
}

/// What was made from a scope's versions, and from that, and so on; each version once, however it is reached.
fn descendants(scope: &Scope, versions: &str) -> String {
    let source = if let Scope::Bytes(_) = scope { " OR source_sha256 = ?" } else { "" };
    format!(
        "SELECT id FROM (WITH RECURSIVE derived(id) AS (SELECT child_id FROM version_parents \
         WHERE parent_id IN ({versions}){source} UNION SELECT child_id FROM version_parents JOIN derived \
         ON parent_id = derived.id) SELECT id FROM derived) made"
    )
}

fn receipts(scope: &Scope) -> Option<String> {
    let under = |entitlements: &str| format!("entitlement_id IN (SELECT id FROM entitlements WHERE {entitlements})");
    match scope {
        Scope::Bytes(_) => Some("receipts.sha256 = ?".to_string()),
        Scope::Order(_) => Some(under("order_id = ?")),
        Scope::Thing(_) => Some("batch_id = ?".to_string()),
        Scope::Organisation(_) => {
            versions(scope).map(|versions| under(&format!("organisation_id = ? UNION ALL {}", covering(versions))))
        }
        _ => versions(scope).map(|versions| {
            format!("entitlement_id IN ({}) AND receipts.version_id IN ({versions})", covering(versions))
        }),
    }
}

/// The licences to some versions, as a subquery.
fn covering(versions: &str) -> String {
    format!(
        "SELECT id FROM entitlements WHERE version_id IN ({versions}) \
         UNION ALL SELECT entitlement_id FROM subscription_versions WHERE version_id IN ({versions})"
    )
}

/// Which events are wanted.
#[derive(Debug)]
pub(in crate::compliance) struct Window<'a> {
    /// Each must open an event for it to be seen.
    pub(in crate::compliance) scopes: &'a [Scope],
    /// The kind of statements, where only one is wanted.
    pub(in crate::compliance) statements: Option<&'a str>,
    /// What follows the prefix of identifiers: those after this one, …
    pub(in crate::compliance) after: &'a str,
    /// … and before this one.
    pub(in crate::compliance) before: &'a str,
    /// The most rows wanted of each source.
    pub(in crate::compliance) limit: i64,
}

/// A page of one source. What a scope opens may be millions of records: which of them are on the page is found by indexes, and no
/// others are read.
pub(in crate::compliance) fn list_events(
    c: &mut Conn,
    source: &Source,
    window: &Window<'_>,
) -> QueryResult<Vec<EventRow>> {
    let (id, prefix) = (format!("{}.id", source.table), source.prefix);
    let mut sql = Sql::new(format!("{} WHERE {id} IN (SELECT {id} FROM {}", source.select, source.table));
    sql.push_with(&format!(" WHERE {id} > ?"), format_args!("{prefix}_{}", window.after));
    sql.push_with(&format!(" AND {id} < ?"), format_args!("{prefix}_{}", window.before));
    if let (None, Some(kind)) = (source.kind, window.statements) {
        sql.push_with(" AND kind = ?", kind);
    }
    for scope in window.scopes {
        let Some(condition) = (source.opened)(scope) else { return Ok(Vec::new()) };
        sql.push_with(&format!(" AND {condition}"), parameter(scope));
    }
    sql.push_number(&format!(" ORDER BY {id} LIMIT ?) ORDER BY {id}"), window.limit);
    sql.load(c)
}

/// By what a scope is found.
pub(super) fn parameter(scope: &Scope) -> String {
    match scope {
        Scope::Bytes(sha256) => sha256.to_string(),
        Scope::Version(id) => id.to_string(),
        Scope::Dataset(id) => id.to_string(),
        Scope::Organisation(id) => id.to_string(),
        Scope::Order(id) => id.to_string(),
        Scope::Thing(id) => id.clone(),
    }
}
