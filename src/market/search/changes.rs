//! The changes of the board, in an order that every instance can follow without missing one.
//!
//! Listings are put on the board, and taken off it, in transactions that run at the same time and may commit in another order
//! than they began in. Each leaves its step in the outbox. The dispatcher of events, of which one runs at a time, takes
//! steps from there and numbers those that concern the board here, in the transaction that takes them.
//!
//! Why none can be missed: a transaction numbers from the last number that it sees, and the number is the primary key. Of
//! two that see the same last number one fails. So what has the number *n* + 1 saw *n* committed: whoever reads on from *n*
//! finds everything that is numbered afterwards, and nothing ever appears below *n*. A step that is not numbered yet is
//! still in the outbox, and gets a larger number.
//!
//! No trade writes a row here: only steps of listings and of versions do, and only after the trade.

use super::queries;
use crate::catalog::VersionState;
use crate::catalog::inspection::INSPECTED;
use crate::db::{Append as _, Conn, MultiBackend};
use crate::error::Result;
use crate::history::Unsent;
use crate::types::{DatasetId, TransitionId};

/// A step that concerns the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::board_changes, check_for_backend(MultiBackend))]
pub struct Change {
    /// 1, 2, 3 …
    pub position: i64,
    /// The step.
    pub step_id: TransitionId,
    /// The dataset whose listings are to be looked at again.
    pub dataset_id: DatasetId,
}

/// The dataset whose listings a step may have put on the board, taken off it, or changed in the assessment or the inspection by
/// which they are found.
pub fn dataset_concerned(c: &mut Conn, step: &Unsent) -> Result<Option<DatasetId>> {
    let kind = step.subject.split_once('_').map(|(kind, _)| kind);
    let found_otherwise = [VersionState::Assessed.as_str(), INSPECTED];
    Ok(match (kind, step.subject.parse(), step.subject.parse()) {
        (Some("listing"), Ok(listing), _) => queries::find_dataset_of_listing(c, listing)?,
        (Some("version"), _, Ok(version)) if found_otherwise.contains(&step.to_state.as_str()) => {
            queries::find_dataset_of(c, version)?
        }
        _ => None,
    })
}

/// Numbers steps that concern the board, each with its dataset, in the transaction that takes them from the outbox.
pub fn number(c: &mut Conn, steps: &[(TransitionId, DatasetId)]) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let last = queries::find_last_change(c)?.map_or(0, |change| change.position);
    let change = |(position, (step_id, dataset_id)): (i64, &(TransitionId, DatasetId))| Change {
        position,
        step_id: *step_id,
        dataset_id: *dataset_id,
    };
    let changes: Vec<Change> = (last..).skip(1).zip(steps).map(change).collect();
    Change::insert(&changes, c)?;
    Ok(())
}
