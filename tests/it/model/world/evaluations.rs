//! The steps of evaluations, taken in the real exchange.

use corpex::delivery::evaluations::{self, Evaluation, NewEvaluation};
use corpex::error::Result;
use corpex::types::Instant;

use super::{HOUR, World};
use crate::model::sql::ids;
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_evaluation(&self, step: &Step, now: Instant) -> Result<()> {
        let keys = self.app.app().keys.clone();
        match step {
            Step::Evaluate { lab } => {
                let caller = self.labs[*lab].caller.clone();
                let wanted = NewEvaluation {
                    listing_id: self.listing(),
                    organisation: self.labs[*lab].handle.clone(),
                    purpose: "to see whether the verse scans".to_string(),
                };
                self.write(move |c| evaluations::grant(c, &caller, &keys, &wanted, now).map(drop)).await
            }
            Step::Sample { lab } => {
                let Some(id) = self.evaluation(*lab).await.map(|evaluation| evaluation.id) else { return Ok(()) };
                let caller = self.labs[*lab].caller.clone();
                self.write(move |c| evaluations::release(c, &caller, &keys, id, now).map(drop)).await
            }
            _ => Ok(()),
        }
    }

    /// The evaluation of the corpus that a lab was granted, if it was.
    async fn evaluation(&self, lab: usize) -> Option<Evaluation> {
        let (listing, organisation) = (self.listing(), self.labs[lab].organisation);
        let sql =
            format!("SELECT id FROM evaluations WHERE listing_id = '{listing}' AND organisation_id = '{organisation}'");
        let caller = self.labs[lab].caller.clone();
        let granted = self.app.app().db.read(move |c| match ids(c, &sql)?.pop() {
            Some(id) => evaluations::evaluation(c, &caller, id).map(Some),
            None => Ok(None),
        });
        granted.await.unwrap()
    }

    /// The day from which on each lab's evaluation of the corpus is over, if it was granted one.
    pub(super) async fn evaluations(&self) -> Vec<Option<i64>> {
        let mut ends = Vec::new();
        for lab in 0..self.labs.len() {
            let end = self.evaluation(lab).await.map(|evaluation| evaluation.expires_at.unix_micros());
            ends.push(end.map(|end| (end - self.begun_at().unix_micros()) / (24 * HOUR)));
        }
        ends
    }
}
