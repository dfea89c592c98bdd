//! What the statements say of the licence itself: that it may be used, or since when and why not; and the same of single
//! versions of a subscription.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::verify::Opened;
use crate::provenance::statement::StatementKind;

/// The last change of the licence that the passport carries. A revoked licence is still proof of what was held until
/// then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// `active`, `suspended`, `expired` or `revoked`.
    pub state: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// A version of a subscription to which no links are given, though the licence itself may be active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NarrowedVersion {
    /// The dataset and the number, as `organisation/name@number`.
    pub version: String,
    /// `held`, for now, or `withdrawn`, for ever.
    pub scope: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// The change with the last place in the log; none where the licence is as it was granted.
pub(super) fn last_change(opened: &[Opened]) -> Option<Standing> {
    let last = changes(opened).max_by_key(|document| document.log_index)?;
    let [state, since, reason] = ["state", "changed_at", "reason"].map(|member| text(last, member));
    Some(Standing { state, since, reason })
}

/// The versions of which the change with the last place in the log says that they are held or withdrawn.
pub(super) fn narrowed(opened: &[Opened]) -> Vec<NarrowedVersion> {
    let mut last: BTreeMap<String, &Opened> = BTreeMap::new();
    for change in changes(opened).filter(|change| change.statement.predicate.get("scope").is_some()) {
        let known = last.entry(text(change, "manifest_sha256")).or_insert(change);
        if known.log_index < change.log_index {
            *known = change;
        }
    }
    let narrowed = |change: &Opened| {
        let [dataset, scope, since, reason] =
            ["dataset", "scope", "changed_at", "reason"].map(|said| text(change, said));
        let number = change.statement.predicate.get("version").and_then(Value::as_u64).unwrap_or_default();
        NarrowedVersion { version: format!("{dataset}@{number}"), scope, since, reason }
    };
    let all = last.into_values().map(narrowed);
    all.filter(|version| matches!(version.scope.as_str(), "held" | "withdrawn")).collect()
}

fn changes(opened: &[Opened]) -> impl Iterator<Item = &Opened> {
    opened.iter().filter(|document| document.kind == StatementKind::EntitlementChange)
}

/// A member of a statement that is text; empty where there is none.
fn text(of: &Opened, member: &str) -> String {
    of.statement.predicate.get(member).and_then(Value::as_str).unwrap_or_default().to_string()
}
