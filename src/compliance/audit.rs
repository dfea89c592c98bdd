//! Recomputes what the records must agree on.

use super::reconcile;
use crate::db::Conn;
use crate::error::Result;
use crate::{delivery, history, identity};

/// Everything in the records that contradicts another record: the books, the states and the steps that led to them, licences
/// and trades, signing keys and the statements about them, the audit trail and its days. What lies outside of the database (the log's signatures, the stored bytes) is not looked at. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn) -> Result<Vec<String>> {
    let mut found: Vec<_> = reconcile(c)?.iter().map(ToString::to_string).collect();
    found.extend(history::audit(c)?);
    found.extend(delivery::audit(c)?);
    found.extend(identity::audit_keys(c)?);
    found.extend(identity::audit_trail(c)?);
    Ok(found)
}
