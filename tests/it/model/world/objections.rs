//! The steps of the public notice, taken in the real exchange.

use corpex::error::Result;
use corpex::market;
use corpex::market::objections::{self, NewObjection, ObjectionState};
use corpex::types::Instant;

use super::World;
use crate::model::rules::Book;
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_notice(&self, before: &Book, step: &Step, book: &mut Book, now: Instant) -> Result<()> {
        let keys = self.app.app().keys.clone();
        match step {
            Step::Object { lab } => {
                let (caller, id) = (self.labs[*lab].caller.clone(), self.listing());
                let objection = NewObjection {
                    organisation: self.labs[*lab].handle.clone(),
                    reason: "these are our poems".to_string(),
                    evidence: Vec::new(),
                };
                let filed = self.write(move |c| objections::object(c, &caller, &keys, id, &objection, now)).await?;
                book.objected(filed.id, *lab);
                Ok(())
            }
            Step::DecideObjection { objection, is_upheld } => {
                let Some(id) = before.objection(*objection).map(|objection| objection.id) else { return Ok(()) };
                let to = if *is_upheld { ObjectionState::Upheld } else { ObjectionState::Dismissed };
                let (officer, reason) = (self.officer(), "after a close look");
                self.write(move |c| objections::decide(c, &officer, &keys, id, to, reason, now).map(drop)).await
            }
            Step::Review => market::review_due_listings(&self.on(before.day)).await,
            _ => Ok(()),
        }
    }
}
