//! A real exchange in which the steps are taken, and where to look for what they did.

mod claims;
mod corpora;
mod negotiations;
mod offers;
mod payouts;
mod renewals;
mod vouchers;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use corpex::app::App;
use corpex::compliance;
use corpex::db::Conn;
use corpex::delivery::{self, purchases, trades};
use corpex::error::{Error, Kind};
use corpex::identity::Caller;
use corpex::jobs::{self, Lane};
use corpex::ledger::{self, AccountRef, TransactionKind};
use corpex::market;
use corpex::market::disputes::{self, NewDispute};
use corpex::market::orders::{self, CureOffer, NewOrder, Purchase, Remedy, quotes};
use corpex::signing::{IN_TOTO_PAYLOAD_TYPE, SecretKey};
use corpex::terms::Use;
use corpex::types::{Clock, Currency, DAY, Instant, Money, OrganisationId};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::arbitrary::any;
use proptest::sample::Index;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::rules::{Book, DOWNLOAD_DAYS, PRICE, Trade};
use super::staff::{REVOKED, Staff, licence_of};
use super::steps::Step;
use crate::support::{Actor, Offer, TestApp};
use corpora::Corpus;

/// What a step says of its order where the order is known anyway.
fn any_order() -> Index {
    any::<Index>().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

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
    house: Actor,
    provider: Party,
    labs: Vec<Party>,
    ended_in: Mutex<BTreeMap<&'static str, usize>>,
}

#[derive(Debug, QueryableByName)]
struct Standing {
    #[diesel(sql_type = Text)]
    order_state: String,
    #[diesel(sql_type = Nullable<Text>)]
    licence_state: Option<String>,
    /// How often staff revoked the licence.
    #[diesel(sql_type = BigInt)]
    revocations: i64,
    /// How often it was recalled.
    #[diesel(sql_type = BigInt)]
    recalls: i64,
    /// How many versions it covers as a subscription.
    #[diesel(sql_type = BigInt)]
    versions: i64,
}

#[derive(Debug, QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl World {
    pub async fn begin(labs: usize) -> Self {
        let mut app = TestApp::start_with(|config| config.download_window_days = DOWNLOAD_DAYS).await;
        let house = app.provider().await;
        let offer = app.listed_corpus(&house, "poems", PRICE).await;
        let subscription = corpora::subscription(&app, &house).await;
        let mut parties = Vec::new();
        for number in 0..labs {
            parties.push(Party::of(&app.lab(&format!("lab-{number}"), 0).await).await);
        }
        let provider = Party::of(&house).await;
        // What a worker does, it does at the steps' own time.
        app.restart_with(|config| config.no_worker = true).await;
        let corpus = Mutex::new(Corpus::first(offer, app.clock.now()));
        Self { corpus, subscription, house, provider, labs: parties, app, ended_in: Mutex::default() }
    }

    fn offer(&self) -> Offer {
        self.corpus.lock().unwrap().offer.clone()
    }
    fn begun_at(&self) -> Instant {
        self.corpus.lock().unwrap().begun_at
    }

    /// How many orders the sequences left in each state.
    pub fn ended_in(&self) -> BTreeMap<&'static str, usize> {
        self.ended_in.lock().unwrap().clone()
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
        self.prepare_corpus(steps.iter().any(Step::is_of_corpus)).await;
        // What the last sequence asked for goes its way.
        while !self.waiting().await.is_empty() {
            self.take_up(self.begun_at()).await.unwrap();
        }
        let mut book = self.open_book().await;
        for step in steps {
            if step.order().is_some() && book.trades.is_empty() {
                continue;
            }
            let before = book.clone();
            let expected = book.expect(step);
            let happened = self.take(&before, step, &mut book).await;
            let kinds = (expected.err(), happened.as_ref().err().map(|error| error.kind));
            if kinds.0 != kinds.1 {
                return Err(format!("{step:?} on {before:#?}: expected {:?}, found {happened:?}", kinds.0));
            }
        }
        for trade in &book.trades {
            *self.ended_in.lock().unwrap().entry(trade.state).or_default() += 1;
        }
        self.compare(&book).await?;
        self.check_licences(&book.trades).await?;
        self.check_books().await
    }

    /// Takes one step, whatever becomes of it; orders that are placed are added to the book.
    pub async fn attempt(&self, book: &mut Book, step: Step) -> Result<(), Error> {
        let before = book.clone();
        self.take(&before, &step, book).await
    }

    /// Orders whose contracts wait for their signatures, for labs that can pay.
    pub async fn open_orders(&self, number: usize) -> Vec<Trade> {
        let mut book = self.open_book().await;
        for order in 0..number {
            let lab = order % self.labs.len();
            for step in [Step::Deposit { lab, fen: PRICE }, Step::Place { lab }] {
                self.attempt(&mut book, step).await.unwrap();
            }
        }
        book.trades
    }

    /// How many of the orders were paid.
    pub async fn paid(&self, trades: &[Trade]) -> usize {
        let mut paid = 0;
        for trade in trades {
            paid += usize::from(self.standing(trade).await.licence_state.is_some());
        }
        paid
    }

    /// Makes a placed order one that was paid and delivered, and waits for its buyer.
    pub async fn deliver(&self, trade: &Trade) {
        let any = any_order();
        for step in [Step::Sign(any), Step::Pay(any), Step::Begin(any), Step::Complete(any)] {
            self.trade(trade, &step, self.begun_at()).await.unwrap();
        }
    }

    /// Everything that can end a delivered order, at once, when its time is just up for some and not yet for others; who
    /// is first depends on `turn`.
    pub async fn race(&self, trade: &Trade, turn: usize) {
        let (any, due) = (any_order(), self.begun_at().plus(DAY * 14));
        let before = Instant::from_unix_micros(due.unix_micros() - HOUR);
        let after = Instant::from_unix_micros(due.unix_micros() + HOUR);
        let refund = async {
            let _ = self.trade(trade, &Step::Reject(any), before).await;
            self.trade(trade, &Step::OfferRefund { order: any, fen: PRICE }, before).await
        };
        let (accept, look) = (Step::Accept(any), Step::PassDeadline(any));
        let mut racers =
            [refund.boxed(), self.trade(trade, &accept, before).boxed(), self.trade(trade, &look, after).boxed()];
        racers.rotate_left(turn % 3);
        for refused in join_all(racers).await.into_iter().filter_map(Result::err) {
            assert_eq!(refused.kind, Kind::WrongState, "{refused:?}");
        }
    }

    /// Where an order ended, and how often money left escrow for it.
    pub async fn end_of(&self, trade: &Trade) -> (String, i64) {
        let sql = format!(
            "SELECT COUNT(*) AS count FROM ledger_transactions WHERE kind IN ('settlement', 'refund') AND reference = '{}'",
            trade.id
        );
        let moved: Count = self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).get_result(c)?)).await.unwrap();
        (self.standing(trade).await.order_state, moved.count)
    }

    async fn open_book(&self) -> Book {
        let mut wallets = Vec::new();
        for lab in &self.labs {
            wallets.push(self.balance(AccountRef::Wallet(lab.organisation)).await);
        }
        let payable = self.balance(AccountRef::Payable(self.provider.organisation)).await;
        let frozen = self.balance(AccountRef::Frozen(self.provider.organisation)).await;
        let waiting = self.waiting().await.iter().map(|payout| payout.amount_minor).collect();
        Book::new(wallets, (payable, waiting, frozen), self.balance(AccountRef::Fees).await)
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
            Step::PayOut { leave } => self.pay_out(before.payable.saturating_sub(*leave), now).await,
            Step::TakeUp => self.take_up(now).await,
            step if step.is_of_corpus() => self.take_of_corpus(before, step, book, now).await,
            Step::Place { lab } => {
                let order = self.place(*lab, &self.offer(), now).await?;
                book.placed(order.id, *lab, order.contract_document);
                Ok(())
            }
            Step::Offer { .. } | Step::PlaceAt(_) | Step::Withdraw(_) | Step::ExpireOffers => {
                self.take_of_offer(before, step, book, now).await
            }
            Step::Subscribe { lab } => {
                let order = self.place(*lab, &self.subscription, now).await?;
                book.subscribed(order.id, *lab, order.contract_document);
                Ok(())
            }
            Step::Announce { .. } | Step::Fund { .. } | Step::TakeBack(_) | Step::PayWith { .. } => {
                self.take_of_programme(before, step, book, now).await
            }
            Step::Renew(order) => match before.trade(*order) {
                Some(trade) => self.renew(&trade, book, now).await,
                None => Ok(()),
            },
            Step::Extend(order) => match before.trade(*order) {
                Some(trade) => self.extend(&trade, before.day).await,
                None => Ok(()),
            },
            Step::Negotiate { .. } | Step::Send { .. } | Step::ExpireNegotiations => {
                self.take_of_negotiation(before, step, book, now).await
            }
            Step::Buy { lab, days } => {
                let order = self.buy(*lab, now, *days).await?;
                book.bought(order.id, *lab, order.contract_document, *days);
                Ok(())
            }
            _ => match step.order().and_then(|order| before.trade(order)) {
                Some(trade) => self.trade(&trade, step, now).await,
                None => Ok(()),
            },
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

    async fn place(&self, lab: usize, offer: &Offer, now: Instant) -> Result<market::Order, Error> {
        let (caller, config) = (self.labs[lab].caller.clone(), self.app.app().config.clone());
        let wanted = self.wanted(lab, offer);
        self.write(move |c| orders::place(c, &caller, &config, &wanted, now)).await
    }

    fn wanted(&self, lab: usize, offer: &Offer) -> NewOrder {
        NewOrder {
            listing_id: offer.listing.parse().unwrap(),
            organisation: self.labs[lab].handle.clone(),
            r#use: Use::Pretrain,
            purpose: "pretraining of a small language model".to_string(),
            offer_id: None,
            price: None,
            selection: None,
        }
    }

    /// Buys at a quote that is some days old by then.
    async fn buy(&self, lab: usize, quoted_at: Instant, days: i64) -> Result<market::Order, Error> {
        let (wanted, caller) = (self.wanted(lab, &self.offer()), self.labs[lab].caller.clone());
        let (config, keys) = (self.app.app().config.clone(), self.app.app().keys.clone());
        let now = quoted_at.plus(time(days));
        let (asked, who, with) = (wanted.clone(), caller.clone(), config.clone());
        let quoted = self.write(move |c| quotes::quote(c, &who, &with, &asked, quoted_at)).await?;
        let contract = quoted.contract_document.clone().into_bytes();
        let envelope = self.labs[lab].key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, contract);
        let purchase = Purchase { wanted, quote: quotes::seal(&keys, &quoted)?, envelope, voucher: None };
        self.write(move |c| purchases::buy(c, &caller, &keys, &config, &purchase, now).map(|(order, _)| order)).await
    }

    /// Does the job that a purchase left, on some day: extends the licence, if it is a subscription, to what is on the board.
    async fn extend(&self, trade: &Trade, day: i64) -> Result<(), Error> {
        let (id, then) = (trade.id, self.on(day));
        match then.db.read(move |c| licence_of(c, id)).await? {
            Some(licence) => delivery::subscriptions::catch_up(&then, licence).await,
            None => Ok(()),
        }
    }

    async fn trade(&self, trade: &Trade, step: &Step, now: Instant) -> Result<(), Error> {
        let (id, lab, keys) = (trade.id, &self.labs[trade.lab], self.app.app().keys.clone());
        let (buyer, seller) = (lab.caller.clone(), self.provider.caller.clone());
        let staff = Staff::of(&buyer, &seller);
        let envelope = lab.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, trade.contract.clone().into_bytes());
        let (step, config) = (step.clone(), self.app.app().config.clone());
        let offer = |remedy: Remedy| CureOffer { remedy, note: "to make good".to_string() };
        let act = move |c: &mut Conn| match &step {
            Step::Sign(_) => orders::sign_contract(c, &buyer, &keys, id, envelope.clone(), now).map(drop),
            Step::Cancel(_) => orders::cancel(c, &buyer, &keys, id, "another corpus", now).map(drop),
            Step::Pay(_) => delivery::pay_order(c, &buyer, &keys, id, None, now).map(drop),
            Step::Begin(_) => market::mark_delivering(c, id, now).map(drop),
            Step::Complete(_) => market::mark_delivered(c, id, now).map(drop),
            Step::Accept(_) => trades::accept(c, &buyer, &keys, id, now).map(drop),
            Step::Reject(_) => orders::reject(c, &buyer, &keys, id, "half is missing", now).map(drop),
            Step::OfferRedelivery(_) => {
                trades::offer_cure(c, &seller, &keys, id, &offer(Remedy::Redelivery {}), now).map(drop)
            }
            Step::OfferRefund { fen, .. } => {
                let amount = Money::new(*fen, Currency::CNY);
                trades::offer_cure(c, &seller, &keys, id, &offer(Remedy::Refund { amount }), now).map(drop)
            }
            Step::Redeliver(_) => orders::redeliver(c, &seller, &keys, id, "all of it", now).map(drop),
            Step::AcceptCure(_) => trades::accept_cure(c, &buyer, &keys, id, now).map(drop),
            Step::RejectCure(_) => orders::reject_cure(c, &buyer, &keys, id, "too little", now).map(drop),
            Step::Dispute(_) => {
                let dispute = NewDispute { reason: "half is missing".to_string(), evidence: Vec::new() };
                disputes::open(c, &buyer, &keys, id, &dispute, now).map(drop)
            }
            Step::Appeal(_) => disputes::appeal(c, &buyer, &keys, id, "it was otherwise", now).map(drop),
            Step::PassDeadline(_) => trades::pass_deadline(c, &keys, id, now).map(drop),
            _ => staff.act(c, (&keys, &config), id, &step, now),
        };
        self.write(act).await
    }

    /// The accounts and pools hold what the book says, the orders and their licences are where it says, and staff revoked,
    /// and subscriptions cover, what it says.
    async fn compare(&self, book: &Book) -> Result<(), String> {
        let found = self.open_book().await;
        let held = |book: &Book| (book.wallets.clone(), book.payable, book.waiting.clone(), book.frozen, book.fees);
        if held(&found) != held(book) {
            let named = "wallets, payable, payouts that wait, frozen and fees";
            return Err(format!("{named} are {:?}, not {:?}", held(&found), held(book)));
        }
        self.compare_corpus(book).await?;
        self.compare_negotiations(book).await?;
        self.compare_offers(book).await?;
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

    /// A licence to use exists exactly where a trade is paid and not refunded, and it was neither revoked nor recalled.
    pub async fn check_licences(&self, trades: &[Trade]) -> Result<(), String> {
        for trade in trades {
            let Standing { order_state, licence_state, revocations, recalls, .. } = self.standing(trade).await;
            let expected = match order_state.as_str() {
                // It lengthens one, and has none of its own.
                _ if trade.renews.is_some() => None,
                "awaiting_signature" | "awaiting_payment" | "cancelled" | "expired" => None,
                // It was over before.
                _ if licence_state.as_deref() == Some("expired") => Some("expired"),
                "refunded" => Some("revoked"),
                _ if revocations + recalls > 0 => Some("revoked"),
                // It stands all the same.
                _ if licence_state.as_deref() == Some("suspended") => Some("suspended"),
                _ => Some("active"),
            };
            if licence_state.as_deref() != expected {
                return Err(format!("the licence of {}, {order_state}, is {licence_state:?}", trade.id));
            }
        }
        Ok(())
    }

    /// Every transaction balances, every balance is the sum of its postings, and escrow holds what unsettled orders paid.
    pub async fn check_books(&self) -> Result<(), String> {
        let differences = self.app.app().db.read(compliance::reconcile).await.unwrap();
        if differences.is_empty() { Ok(()) } else { Err(format!("the books are out of order: {differences:#?}")) }
    }

    async fn standing(&self, trade: &Trade) -> Standing {
        let sql = format!(
            "SELECT orders.state AS order_state, entitlements.state AS licence_state, \
             (SELECT COUNT(*) FROM transitions WHERE subject = entitlements.id AND to_state = 'revoked' \
                 AND reason = '{REVOKED}') AS revocations, \
             (SELECT COUNT(*) FROM recalls WHERE entitlement_id = entitlements.id) AS recalls, \
             (SELECT COUNT(*) FROM subscription_versions WHERE entitlement_id = entitlements.id) AS versions \
             FROM orders LEFT JOIN entitlements ON entitlements.order_id = orders.id WHERE orders.id = '{}'",
            trade.id
        );
        let mut found: Standing =
            self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).get_result(c)?)).await.unwrap();
        // A settled order is certified in the same breath.
        if found.order_state == "certificated" {
            found.order_state = "settled".to_string();
        }
        found
    }
}
