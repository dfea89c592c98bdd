//! The rules of public notice: before the corpus comes on the board labs may object, and what is upheld keeps it off for ever.

use corpex::error::Kind;
use corpex::types::ObjectionId;
use proptest::sample::Index;

use super::{Book, meant};
use crate::model::steps::Step;

/// How long the public notice runs, where one is kept.
pub const NOTICE_DAYS: i32 = 7;

/// What a lab has against the listing.
#[derive(Debug, Clone)]
pub struct Objection {
    pub id: ObjectionId,
    pub state: &'static str,
    lab: usize,
}

impl Book {
    /// Notes an objection of a lab.
    pub fn objected(&mut self, id: ObjectionId, lab: usize) {
        self.objections.push(Objection { id, state: "open", lab });
    }
    pub fn objection(&self, objection: Index) -> Option<&Objection> {
        meant(&self.objections, objection)
    }

    /// What a step of the public notice does, or why it is refused; an objection that is filed is added by [`Book::objected`].
    pub(super) fn step_of_notice(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Object { .. } if !self.listing.is_on_notice() || self.is_notice_over() => Err(Kind::WrongState),
            Step::Object { lab } if self.objections.iter().any(|objection| objection.lab == *lab) => {
                Err(Kind::AlreadyExists)
            }
            Step::DecideObjection { objection, is_upheld } if !self.objections.is_empty() => {
                let number = objection.index(self.objections.len());
                let objection = &mut self.objections[number];
                if objection.state != "open" {
                    return Err(Kind::WrongState);
                }
                objection.state = if *is_upheld { "upheld" } else { "dismissed" };
                if *is_upheld {
                    self.listing.state = "delisted";
                } else {
                    self.review();
                }
                Ok(())
            }
            Step::Review => {
                self.review();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_notice_over(&self) -> bool {
        i64::from(NOTICE_DAYS) <= self.day
    }

    /// The listing comes on the board when its notice is over and nothing stands in its way.
    pub(super) fn review(&mut self) {
        let is_opposed = self.objections.iter().any(|objection| objection.state == "open");
        if self.listing.is_on_notice() && self.is_notice_over() && !is_opposed && !self.is_held() {
            self.listing.state = "listed";
        }
    }
}
