//! What the statements say of the licence itself: that it may be used, or since when and why not.

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

/// The change with the last place in the log; none where the licence is as it was granted.
pub(super) fn last_change(opened: &[Opened]) -> Option<Standing> {
    let changes = opened.iter().filter(|document| document.kind == StatementKind::EntitlementChange);
    let last = changes.max_by_key(|document| document.log_index)?;
    let text =
        |member: &str| last.statement.predicate.get(member).and_then(Value::as_str).unwrap_or_default().to_string();
    Some(Standing { state: text("state"), since: text("changed_at"), reason: text("reason") })
}
