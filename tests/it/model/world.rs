//! A real exchange in which the steps are taken, and where to look for what they did.

mod claims;
mod corpora;
mod evaluations;
mod lives;
mod negotiations;
mod objections;
mod offers;
mod payouts;
mod races;
mod records;
mod renewals;
mod trades;
mod vouchers;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use corpex::app::App;
use corpex::config::Config;
use corpex::db::Conn;
use corpex::delivery;
use corpex::error::Error;
use corpex::identity::Caller;
use corpex::jobs::{self, Lane};
use corpex::ledger::{self, AccountRef, TransactionKind};
use corpex::signing::SecretKey;
use corpex::types::{Clock, Currency, DAY, Instant, Money, OrganisationId};

use super::rules::claims::Listing;
use super::rules::settlement::{PAYEES, Payee};
use super::rules::{Book, CO_BUILDERS_LAB, DOWNLOAD_DAYS};
use super::steps::Step;
use crate::support::{Actor, Offer, TestApp};
use corpora::Corpus;
use trades::Standing;

const HOUR: i64 = 3_600_000_000;

fn time(days: i64) -> Duration {
    DAY * u32::try_from(days.unsigned_abs()).unwrap()
}

/// A party to trades.
struct Party {
    organisation: OrganisationId,
    caller: Caller,
    handle: String,
    key: SecretKey,
}

impl Party {
    async fn of(actor: &Actor) -> Self {
        let caller = actor.caller().await;
        let organisation = caller.memberships[0].organisation_id;
        Self { organisation, caller, handle: actor.handle.clone(), key: actor.key.clone() }
    }
}

pub struct World {
    app: TestApp,
    corpus: Mutex<Corpus>,
    subscription: Offer,
    verses: Offer,
    house: Actor,
    provider: Party,
    co_builder: Party,
    labs: Vec<Party>,
    reached: Mutex<BTreeMap<String, usize>>,
}

fn lab(number: usize) -> String {
    format!("lab-{number}")
}

impl World {
    pub async fn begin(labs: usize) -> Self {
        let settings = |config: &mut Config| {
            config.download_window_days = DOWNLOAD_DAYS;
            // However many sequences run, one operator moves what all of them have paid out.
            config.approval_above = i64::MAX;
        };
        let mut app = TestApp::start_with(settings).await;
        let house = app.provider().await;
        let mut parties = Vec::new();
        for number in 0..labs {
            parties.push(Party::of(&app.lab(&lab(number), 0).await).await);
        }
        let co_builder = app.affiliate("print-house", &[&lab(CO_BUILDERS_LAB)]).await;
        let offer = corpora::corpus(&app, &house, &co_builder).await;
        let verses = corpora::verses(&app, &house).await;
        let subscription = corpora::subscription(&app, &house).await;
        let (provider, co_builder) = (Party::of(&house).await, Party::of(&co_builder).await);
        // What a worker does, it does at the steps' own time.
        app.restart_with(|config| config.no_worker = true).await;
        let corpus = Mutex::new(Corpus::first(offer, app.clock.now()));
        let reached = Mutex::default();
        Self { app, corpus, subscription, verses, house, provider, co_builder, labs: parties, reached }
    }

    fn offer(&self) -> Offer {
        self.corpus.lock().unwrap().offer.clone()
    }
    fn begun_at(&self) -> Instant {
        self.corpus.lock().unwrap().begun_at
    }

    /// Who has a part in the price of the corpus.
    fn payee(&self, number: usize) -> &Party {
        if number == 0 { &self.provider } else { &self.co_builder }
    }

    fn count(&self, reached: Vec<String>) {
        let mut counts = self.reached.lock().unwrap();
        for what in reached {
            *counts.entry(what).or_default() += 1;
        }
    }

    /// What the sequences reached, and how often.
    pub fn reached(&self) -> BTreeMap<String, usize> {
        self.reached.lock().unwrap().clone()
    }

    /// Stops the exchange, which looks at the books once more. No step follows the jobs that are left.
    pub async fn end(self) {
        let late = self.begun_at().plus(time(36_500));
        let forget = self.write(move |c| {
            while let Some(left) = jobs::lease(c, "model", Lane::Any, late)? {
                jobs::finish(c, &left)?;
            }
            Ok(())
        });
        forget.await.unwrap();
        self.app.drain().await;
    }

    /// Takes the steps in turn and compares each outcome, and at the end everything, with what the rules say.
    pub async fn play(&self, steps: &[Step]) -> Result<(), String> {
        self.prepare_corpus(steps).await;
        self.take_up_what_waits().await;
        let mut book = self.open_book().await;
        if steps.iter().any(Step::is_of_notice) {
            book.listing = Listing::ON_NOTICE;
        }
        for step in steps {
            if step.order().is_some() && book.trades.is_empty() {
                continue;
            }
            let before = book.clone();
            let expected = book.expect(step).err();
            let happened = self.take(&before, step, &mut book).await;
            if happened.as_ref().err().map(|error| error.kind) != expected {
                return Err(format!("{step:?} on {before:#?}: expected {expected:?}, found {happened:?}"));
            }
            self.count(book.reached(&before, step, expected));
        }
        self.compare(&book).await?;
        self.check_licences(&book.trades).await?;
        self.check_books().await?;
        self.check_records(&book).await
    }

    /// A book of what there is before the first step.
    async fn open_book(&self) -> Book {
        let mut wallets = Vec::new();
        for lab in &self.labs {
            wallets.push(self.balance(AccountRef::Wallet(lab.organisation)).await);
        }
        let mut payees = [Payee::default(); PAYEES];
        for (number, payee) in payees.iter_mut().enumerate() {
            let organisation = self.payee(number).organisation;
            payee.payable = self.balance(AccountRef::Payable(organisation)).await;
            payee.frozen = self.balance(AccountRef::Frozen(organisation)).await;
        }
        Book::new(wallets, payees, self.balance(AccountRef::Fees).await, self.evaluations().await)
    }

    async fn balance(&self, account: AccountRef) -> i64 {
        let balance = move |c: &mut Conn| ledger::balance(c, account, Currency::CNY);
        self.app.app().db.read(balance).await.unwrap().amount_minor
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> corpex::error::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.app.app().db.write(work).await
    }

    /// The exchange as it is on some day.
    fn on(&self, day: i64) -> App {
        let clock = Clock::default();
        clock.advance(time(day));
        App { clock, ..self.app.app().clone() }
    }

    async fn take(&self, before: &Book, step: &Step, book: &mut Book) -> Result<(), Error> {
        let now = self.begun_at().plus(time(before.day));
        match step {
            Step::Wait { .. } => Ok(()),
            Step::Deposit { lab, fen } => self.deposit(*lab, *fen, now).await,
            Step::ExpireLicences => delivery::expire_ended(&self.on(before.day)).await,
            step if step.is_of_notice() => self.take_of_notice(before, step, book, now).await,
            step if step.is_of_corpus() => self.take_of_corpus(before, step, book, now).await,
            Step::Offer { .. } | Step::PlaceAt(_) | Step::Withdraw(_) | Step::ExpireOffers => {
                self.take_of_offer(before, step, book, now).await
            }
            Step::Negotiate { .. } | Step::Send { .. } | Step::ExpireNegotiations => {
                self.take_of_negotiation(before, step, book, now).await
            }
            Step::Announce { .. } | Step::Fund { .. } | Step::TakeBack(_) | Step::PayWith { .. } => {
                self.take_of_programme(before, step, book, now).await
            }
            Step::Evaluate { .. } | Step::Sample { .. } => self.take_of_evaluation(step, now).await,
            Step::PayOut { .. } | Step::Treat { .. } => self.take_of_payout(before, step, book, now).await,
            _ => self.take_of_order(before, step, book, now).await,
        }
    }

    async fn deposit(&self, lab: usize, fen: i64, now: Instant) -> Result<(), Error> {
        let (wallet, money) = (AccountRef::Wallet(self.labs[lab].organisation), Money::new(fen, Currency::CNY));
        let reference = uuid::Uuid::now_v7().to_string();
        let post = move |c: &mut Conn| {
            let lines = [(AccountRef::Bank, money.negated()?), (wallet, money)];
            ledger::post(c, TransactionKind::Deposit, &reference, &lines, now).map(drop)
        };
        self.write(post).await
    }

    /// The accounts and pools hold what the book says, everything with a life is where it says, and staff revoked, subscriptions
    /// cover, and labs evaluate, what it says.
    async fn compare(&self, book: &Book) -> Result<(), String> {
        let found = self.open_book().await;
        let held = |book: &Book| (book.wallets.clone(), book.payees, book.fees, book.evaluations.clone());
        if held(&found) != held(book) {
            let named = "wallets, payables, fees and evaluations";
            return Err(format!("{named} are {:?}, not {:?}", held(&found), held(book)));
        }
        self.compare_listing(book).await?;
        self.compare_lives(book).await?;
        self.compare_negotiations(book).await?;
        self.compare_pools(book).await?;
        for trade in &book.trades {
            let Standing { order_state, licence_state, revocations, versions, .. } = self.standing(trade).await;
            let expected = (trade.state, trade.licence(), i64::from(trade.is_revoked), trade.covers());
            let found = (order_state.as_str(), licence_state.as_deref(), revocations, versions);
            if found != expected {
                let named = "state, licence, revocations and versions";
                return Err(format!("{}: {named} are {found:?}, not {expected:?}", trade.id));
            }
        }
        self.compare_ends(book).await
    }
}
