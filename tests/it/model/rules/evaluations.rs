//! The rules of evaluations: a lab evaluates the corpus once, by its sample, for some days.

use corpex::error::Kind;

use super::Book;
use crate::model::steps::Step;

/// For how many days the terms let a lab evaluate the corpus.
pub const EVALUATION_DAYS: i64 = 14;

impl Book {
    /// What a step of an evaluation does, or why it is refused.
    pub(super) fn step_of_evaluation(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Evaluate { .. } if self.is_closed() => Err(Kind::WrongState),
            Step::Evaluate { lab } if self.evaluations[*lab].is_some() => Err(Kind::AlreadyExists),
            Step::Evaluate { lab } => {
                self.evaluations[*lab] = Some(self.day + EVALUATION_DAYS);
                Ok(())
            }
            Step::Sample { lab } => match self.evaluations[*lab] {
                Some(end) if end <= self.day => Err(Kind::NotEntitled),
                Some(_) if self.is_held() => Err(Kind::WrongState),
                // What was not granted cannot be asked for.
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
