//! The steps of the corpus itself, taken in the real exchange.

use std::collections::BTreeMap;

use corpex::compliance::takedowns::recalls::{self, RecallState};
use corpex::compliance::takedowns::{self, Ground, NewTakedown, TakedownState};
use corpex::db::Conn;
use corpex::error::Result;
use corpex::identity::{Caller, PlatformRole};
use corpex::market::listings::{self, ListingState, Withdrawal};
use corpex::types::{Instant, ListingId, OrganisationId, TakedownId};

use super::World;
use crate::model::rules::Book;
use crate::model::sql::ids;
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_corpus(&self, before: &Book, step: &Step, book: &mut Book, now: Instant) -> Result<()> {
        let keys = self.app.app().keys.clone();
        match step {
            Step::Pause => self.change(ListingState::Paused, now).await,
            Step::Resume => self.change(ListingState::Listed, now).await,
            Step::Delist => {
                let (caller, id) = (self.provider.caller.clone(), self.listing());
                let why = Withdrawal { reason: None, successor: None };
                self.write(move |c| listings::withdraw(c, &caller, &keys, id, &why, now).map(drop)).await
            }
            Step::Claim => {
                book.claimed(self.claim(now).await?);
                Ok(())
            }
            Step::Examine { case, to } => {
                let Some(case) = before.case(*case) else { return Ok(()) };
                let (officer, id, to) = (self.officer(), case.id, to.unwrap_or(case.onward()));
                let reason = "after a close look";
                self.write(move |c| takedowns::decide(c, &officer, &keys, id, to, reason, now).map(drop)).await
            }
            Step::Counter(case) => {
                let Some(id) = before.case(*case).map(|case| case.id) else { return Ok(()) };
                let (caller, answer) = (self.provider.caller.clone(), "these poems are a thousand years old");
                self.write(move |c| takedowns::counter(c, &caller, &keys, id, answer, now).map(drop)).await
            }
            Step::AnswerRecalls(case) => match before.case(*case).map(|case| case.id) {
                Some(id) => self.answer_recalls(id, now).await,
                None => Ok(()),
            },
            Step::MarkOverdue => recalls::mark_overdue(&self.on(before.day)).await,
            _ => Ok(()),
        }
    }

    pub(super) fn listing(&self) -> ListingId {
        self.offer().listing.parse().unwrap()
    }

    async fn change(&self, to: ListingState, now: Instant) -> Result<()> {
        let (caller, keys, id) = (self.provider.caller.clone(), self.app.app().keys.clone(), self.listing());
        self.write(move |c| listings::change(c, &caller, &keys, id, to, now).map(drop)).await
    }

    /// An officer of compliance.
    pub(super) fn officer(&self) -> Caller {
        let person = self.labs[0].caller.clone();
        Caller { platform_role: Some(PlatformRole::Compliance), memberships: Vec::new(), ..person }
    }

    async fn claim(&self, now: Instant) -> Result<TakedownId> {
        let (officer, keys) = (self.officer(), self.app.app().keys.clone());
        let claim = NewTakedown {
            dataset: self.offer().dataset,
            version: 1,
            claimant: "Li Qingzhao".to_string(),
            contact: "li@spring.example".to_string(),
            ground: Ground::Copyright,
            statement: "these are my poems".to_string(),
            shards: Vec::new(),
            evidence: Vec::new(),
        };
        let file = move |c: &mut Conn| {
            let filed = takedowns::file(c, &officer, &keys, &claim, now)?;
            let (to, reason) = (TakedownState::Triaged, "worth a close look");
            takedowns::decide(c, &officer, &keys, filed.id, to, reason, now).map(|case| case.id)
        };
        self.write(file).await
    }

    /// The licensees acknowledge what a case recalled, unless it is too late for that, and say what they trained.
    async fn answer_recalls(&self, case: TakedownId, now: Instant) -> Result<()> {
        let (officer, keys) = (self.officer(), self.app.app().keys.clone());
        let licensees: BTreeMap<OrganisationId, Caller> =
            self.labs.iter().map(|lab| (lab.organisation, lab.caller.clone())).collect();
        let answer = move |c: &mut Conn| -> Result<()> {
            let recalled = ids(c, &format!("SELECT id FROM recalls WHERE takedown_id = '{case}' ORDER BY id"))?;
            for id in recalled {
                let recall = recalls::recall(c, &officer, id)?;
                let licensee = &licensees[&recall.organisation_id];
                if recall.state == RecallState::Notified {
                    recalls::acknowledge(c, licensee, &keys, id, now)?;
                }
                recalls::declare_training(c, licensee, &keys, id, "a small language model", now)?;
            }
            Ok(())
        };
        self.write(answer).await
    }

    /// The listing of the corpus is where the book says.
    pub(super) async fn compare_listing(&self, book: &Book) -> Result<(), String> {
        let id = self.listing();
        let found = self.app.app().db.read(move |c| listings::listing(c, id)).await.unwrap().state;
        if found.as_str() != book.listing.state {
            return Err(format!("listing {id} is {found}, not {}", book.listing.state));
        }
        Ok(())
    }
}
