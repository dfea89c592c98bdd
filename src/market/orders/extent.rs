//! The extent of an order: the whole version, or the part that the buyer selects where the terms allow it.

use crate::catalog::{self, Measure, Part, Selection};
use crate::db::Conn;
use crate::error::Result;
use crate::types::VersionId;

/// The measure of a selection of a version, and the part that it selects; without a selection, the measure of the whole version.
pub(super) fn extent(
    c: &mut Conn,
    version: VersionId,
    selection: Option<&Selection>,
) -> Result<(Measure, Option<Part>)> {
    match selection {
        None => Ok((catalog::seal_of(c, version)?.measure(), None)),
        Some(selection) => {
            let (measure, part) = catalog::choose(c, version, selection)?;
            Ok((measure, Some(part)))
        }
    }
}
