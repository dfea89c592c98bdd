//! What the model knows of a trade: what is bought, how far it is, what became of the price, and where the licence is.

use corpex::types::OrderId;
use proptest::sample::Index;

use super::disputes::Dispute;
use super::settlement::Settlement;
use super::vouchers::Voucher;
use super::{ACCEPTANCE_DAYS, Book, DOWNLOAD_DAYS, IN_ESCROW, PAYMENT_DAYS, PRICE, VERSES, VERSES_PRICE, meant, part};

/// What is on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goods {
    /// The corpus itself, about which there may be claims and objections, and which is negotiated.
    Corpus,
    /// The essays, by subscription.
    Essays,
    /// The verses, whole or in part.
    Verses,
}

#[derive(Debug, Clone)]
pub struct Trade {
    pub id: OrderId,
    pub lab: usize,
    pub goods: Goods,
    /// The language of what is selected; all when absent.
    pub part: Option<&'static str>,
    pub contract: String,
    pub state: &'static str,
    pub price: i64,
    pub(super) voucher: Option<Voucher>,
    pub(super) is_signed: bool,
    /// The day from which on the exchange moves it on.
    pub(super) due: Option<i64>,
    /// What is offered to be given back, or was.
    pub(super) refund: Option<i64>,
    pub(super) settlement: Option<Settlement>,
    pub(super) dispute: Option<Dispute>,
    /// By staff.
    pub is_revoked: bool,
    /// By a claim that was upheld.
    pub(super) is_recalled: bool,
    pub(super) is_suspended: bool,
    /// Because of a claim, and not by staff.
    pub(super) is_held: bool,
    pub(super) subscription: Option<Subscription>,
    pub(super) is_expired: bool,
    /// The order whose licence it renews, if it renews one.
    pub renews: Option<OrderId>,
}

/// What a subscription covers, and the day from which on it is over; neither before it is paid.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subscription {
    pub(super) covers: i64,
    pub(super) ends: i64,
}

impl Trade {
    pub(super) fn new(id: OrderId, lab: usize, contract: String, state: &'static str, due: i64) -> Self {
        Self {
            id,
            lab,
            goods: Goods::Corpus,
            part: None,
            contract,
            state,
            price: PRICE,
            voucher: None,
            is_signed: state != "awaiting_signature",
            due: Some(due),
            refund: None,
            settlement: None,
            dispute: None,
            is_revoked: false,
            is_recalled: false,
            is_suspended: false,
            is_held: false,
            subscription: None,
            is_expired: false,
            renews: None,
        }
    }
    /// Whether the deadline of its state has passed.
    pub(super) fn is_late(&self, day: i64) -> bool {
        self.due.is_some_and(|due| due <= day)
    }
    /// How many versions its subscription covers, if it is for one.
    pub fn covers(&self) -> i64 {
        self.subscription.map_or(0, |subscription| subscription.covers)
    }
    pub fn is_paid(&self) -> bool {
        !matches!(self.state, "awaiting_signature" | "awaiting_payment" | "cancelled" | "expired")
    }
    /// Whether what was paid waits to be settled or given back.
    pub fn is_in_escrow(&self) -> bool {
        IN_ESCROW.contains(&self.state) || self.state == "disputed"
    }
    /// What went back of the price; what is only offered did not.
    pub fn given_back(&self) -> i64 {
        if matches!(self.state, "settled" | "refunded") { self.refund.unwrap_or(0) } else { 0 }
    }
    /// Whether a licence came of it.
    pub(super) fn is_granted(&self) -> bool {
        self.is_paid() && self.renews.is_none()
    }
    /// Whether there is a licence that nothing has ended.
    pub(super) fn is_licensed(&self) -> bool {
        self.is_granted() && !self.is_revoked && !self.is_recalled && !self.is_expired && self.state != "refunded"
    }
    /// Where its licence is, if there is one.
    pub fn licence(&self) -> Option<&'static str> {
        let standing = match (self.is_licensed(), self.is_suspended) {
            _ if self.is_expired => "expired",
            (true, true) => "suspended",
            (true, false) => "active",
            (false, _) => "revoked",
        };
        self.is_granted().then_some(standing)
    }
    pub(super) fn is_of_corpus(&self) -> bool {
        self.goods == Goods::Corpus
    }
    pub(super) fn is_with_buyer(&self) -> bool {
        matches!(self.state, "escrowed" | "delivering" | "delivered")
    }
    /// The time of an order that is with its buyer begins anew.
    pub(super) fn begin_again(&mut self, day: i64) {
        let days = if self.state == "delivered" { ACCEPTANCE_DAYS } else { i64::from(DOWNLOAD_DAYS) };
        if self.is_with_buyer() {
            self.due = self.due.max(Some(day + days));
        }
    }
}

impl Book {
    pub fn placed(&mut self, id: OrderId, lab: usize, contract: String) {
        self.trades.push(Trade::new(id, lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS));
    }
    pub fn subscribed(&mut self, id: OrderId, lab: usize, contract: String) {
        let trade = Trade::new(id, lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS);
        let (goods, subscription) = (Goods::Essays, Some(Subscription::default()));
        self.trades.push(Trade { goods, subscription, ..trade });
    }
    /// Notes an order of the verses in one of their languages, or of all.
    pub fn selected(&mut self, id: OrderId, lab: usize, contract: String, language: Option<usize>) {
        let trade = Trade::new(id, lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS);
        let all: i64 = VERSES.iter().map(|(_, records)| records).sum();
        let records = language.map_or(all, |language| VERSES[language].1);
        let (amount, per) = VERSES_PRICE;
        let selected = language.map(|language| VERSES[language].0);
        let (goods, price) = (Goods::Verses, part(amount, records, per));
        self.trades.push(Trade { goods, part: selected, price, ..trade });
    }
    pub fn bought(&mut self, id: OrderId, lab: usize, contract: String, days: i64) {
        self.trades.push(Trade::new(id, lab, contract, "escrowed", self.day + days + i64::from(DOWNLOAD_DAYS)));
    }
    pub fn trade(&self, order: Index) -> Option<Trade> {
        meant(&self.trades, order).cloned()
    }
}
