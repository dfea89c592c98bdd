//! The rules of a trade, as plainly as they can be said: what a step does, or why it is refused.

pub mod claims;
mod disputes;
pub mod evaluations;
mod licences;
pub mod negotiations;
pub mod objections;
pub mod offers;
pub mod payouts;
pub mod reached;
mod renewals;
pub mod settlement;
mod trades;
pub mod vouchers;

use std::collections::BTreeMap;

use corpex::error::Kind;
use proptest::sample::Index;

use super::steps::Step;
use claims::{Case, Listing};
use negotiations::Negotiation;
use objections::Objection;
use offers::PrivateOffer;
use payouts::Payout;
use settlement::{PAYEES, Payee};
use trades::Subscription;
pub use trades::{Goods, Trade};
use vouchers::Programme;

/// What an order costs at what is on the board, in fen, and what of each price is the exchange's, in basis points.
pub const PRICE: i64 = 1000;
const FEE_BASIS_POINTS: i64 = 300;
const PAYMENT_DAYS: i64 = 7;
/// How long a subscription runs, and how many versions are on the board that it may cover: its own, and what came later.
pub const SUBSCRIPTION_DAYS: i64 = 30;
pub const VERSIONS: i64 = 2;
/// The languages of the verses, with how many records there are in each; and what is asked, in fen, for so many records.
pub const VERSES: [(&str, i64); 2] = [("en", 3), ("zh", 5)];
pub const VERSES_PRICE: (i64, i64) = (151, 2);
/// The lab that is an affiliate of the co-builder of the corpus.
pub const CO_BUILDERS_LAB: usize = 2;
pub const DOWNLOAD_DAYS: i32 = 21;
const ACCEPTANCE_DAYS: i64 = 14;
const CURE_DAYS: i64 = 14;
const DISPUTE_DAYS: i64 = 30;
const APPEAL_DAYS: i64 = 7;

const IN_ESCROW: &[&str] = &["escrowed", "delivering", "delivered", "rejected", "curing"];

/// As large a part of an amount as one is of a whole, rounded to the nearer fen.
fn part(amount: i64, one: i64, whole: i64) -> i64 {
    (amount * one * 2 + whole) / (whole * 2)
}

fn allowed(is: bool) -> Result<(), Kind> {
    if is { Ok(()) } else { Err(Kind::WrongState) }
}

/// The one of these that is meant, if there is any.
fn meant<T>(these: &[T], index: Index) -> Option<&T> {
    (!these.is_empty()).then(|| index.get(these))
}

/// What the model remembers.
#[derive(Debug, Clone)]
pub struct Book {
    pub day: i64,
    pub wallets: Vec<i64>,
    pub payees: [Payee; PAYEES],
    pub fees: i64,
    pub offers: Vec<PrivateOffer>,
    pub programmes: Vec<Programme>,
    pub trades: Vec<Trade>,
    pub negotiations: Vec<Negotiation>,
    pub cases: Vec<Case>,
    pub listing: Listing,
    pub objections: Vec<Objection>,
    /// Oldest first.
    pub payouts: Vec<Payout>,
    /// The day from which on each lab's evaluation of the corpus is over, if it was granted one.
    pub evaluations: Vec<Option<i64>>,
}

impl Book {
    /// One of what there is before the first step.
    pub fn new(wallets: Vec<i64>, payees: [Payee; PAYEES], fees: i64, evaluations: Vec<Option<i64>>) -> Self {
        Self {
            day: 0,
            wallets,
            payees,
            fees,
            offers: Vec::new(),
            programmes: Vec::new(),
            trades: Vec::new(),
            negotiations: Vec::new(),
            cases: Vec::new(),
            listing: Listing::LISTED,
            objections: Vec::new(),
            payouts: Vec::new(),
            evaluations,
        }
    }
    /// One that knows of orders, and of nothing else.
    pub fn of(labs: usize, trades: Vec<Trade>) -> Self {
        Self { trades, ..Self::new(vec![0; labs], [Payee::default(); PAYEES], 0, vec![None; labs]) }
    }
    /// Everything but orders that has a life, by the table in which it is kept: what is named how, and where it is.
    pub fn lives(&self) -> [(&'static str, BTreeMap<String, &'static str>); 5] {
        fn each<T, N: ToString>(of: &[T], named: impl Fn(&T) -> (N, &'static str)) -> BTreeMap<String, &'static str> {
            of.iter().map(named).map(|(name, state)| (name.to_string(), state)).collect()
        }
        [
            ("offers", each(&self.offers, |offer| (offer.id, offer.state))),
            ("negotiations", each(&self.negotiations, |negotiation| (negotiation.id, negotiation.state))),
            ("takedowns", each(&self.cases, |case| (case.id, case.state))),
            ("objections", each(&self.objections, |objection| (objection.id, objection.state))),
            ("withdrawals", each(&self.payouts, |payout| (payout.id, payout.state))),
        ]
    }

    /// What a step does, or why it is refused. What comes to be with it is noted when it is known by name: by [`Book::placed`] an
    /// order, by [`Book::subscribed`], [`Book::selected`], [`Book::placed_at`], [`Book::bought`] and [`Book::renewed`] one of
    /// another kind, and all else by the functions that the rules of its kind name.
    pub fn expect(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Deposit { lab, fen } => self.wallets[*lab] += fen,
            Step::Wait { days } => self.day += days,
            step if step.is_of_notice() => self.step_of_notice(step)?,
            step if step.is_of_corpus() => self.step_of_claim(step)?,
            Step::Place { .. } | Step::Offer { .. } | Step::Negotiate { .. } | Step::Buy { .. } if self.is_closed() => {
                return Err(Kind::WrongState);
            }
            Step::Offer { .. } | Step::PlaceAt(_) | Step::Withdraw(_) | Step::ExpireOffers => {
                self.step_of_offer(step)?
            }
            Step::Buy { days, .. } if *days >= PAYMENT_DAYS => return Err(Kind::WrongState),
            Step::Buy { lab, .. } => self.pay(*lab, PRICE)?,
            Step::Announce { .. } | Step::Fund { .. } | Step::TakeBack(_) => self.step_of_programme(step)?,
            Step::Negotiate { .. } | Step::Send { .. } | Step::ExpireNegotiations => self.step_of_negotiation(step)?,
            Step::Evaluate { .. } | Step::Sample { .. } => self.step_of_evaluation(step)?,
            Step::PayOut { .. } | Step::Treat { .. } => self.step_of_payout(step)?,
            Step::ExpireLicences => self.expire_licences(),
            _ => {
                let Some(order) = step.order() else { return Ok(()) };
                let number = order.index(self.trades.len());
                // What is refused leaves nothing behind.
                let (mut trade, mut after) = (self.trades[number].clone(), self.clone());
                after.step(&mut trade, step)?;
                after.trades[number] = trade;
                *self = after;
            }
        }
        Ok(())
    }

    /// What a step of a trade does, or why it is refused.
    fn step(&mut self, trade: &mut Trade, step: &Step) -> Result<(), Kind> {
        let is_late = trade.is_late(self.day);
        let is_delivered = matches!(trade.state, "delivering" | "delivered");
        let offers_refund = trade.state == "curing" && trade.refund.is_some();
        let is_kept_waiting = trade.is_with_buyer() && self.licensed_by(trade).licence() == Some("suspended");
        let (day, due_in) = (self.day, |days: i64| Some(self.day + days));
        match step {
            // The same signature again changes nothing.
            Step::Sign(_) if trade.is_signed => {}
            Step::Sign(_) => {
                let is_closed = trade.is_of_corpus() && self.is_closed();
                allowed(trade.state == "awaiting_signature" && !is_late && !is_closed)?;
                (trade.state, trade.is_signed) = ("awaiting_payment", true);
            }
            Step::Cancel(_) => {
                allowed(matches!(trade.state, "awaiting_signature" | "awaiting_payment"))?;
                (trade.state, trade.due) = ("cancelled", None);
            }
            Step::Pay(_) | Step::PayWith { .. } => {
                let is_held = trade.is_of_corpus() && self.is_held();
                allowed(trade.state == "awaiting_payment" && !is_late && !is_held)?;
                trade.voucher = self.voucher(trade, step).map_err(|(kind, _)| kind)?;
                self.pay_for(trade)?;
                if trade.renews.is_some() {
                    return self.lengthen(trade);
                }
                (trade.state, trade.due) = ("escrowed", Some(day + i64::from(DOWNLOAD_DAYS)));
                let begun = Subscription { covers: 1, ends: day + SUBSCRIPTION_DAYS };
                trade.subscription = trade.subscription.map(|_| begun);
            }
            Step::Begin(_) if trade.state == "escrowed" && !is_late => {
                trade.state = "delivering";
            }
            Step::Complete(_) if trade.state == "delivering" && !is_late => {
                (trade.state, trade.due) = ("delivered", due_in(ACCEPTANCE_DAYS));
            }
            Step::Begin(_) | Step::Complete(_) => {}
            Step::Accept(_) => {
                allowed(is_delivered && !is_late)?;
                self.settle(trade);
            }
            Step::Reject(_) => {
                allowed(is_delivered && !is_late)?;
                (trade.state, trade.due) = ("rejected", due_in(CURE_DAYS));
            }
            Step::OfferRedelivery(_) => {
                allowed(trade.state == "rejected" && !is_late)?;
                trade.state = "curing";
            }
            Step::OfferRefund { fen, .. } => {
                allowed(trade.state == "rejected" && !is_late)?;
                match *fen {
                    fen if fen == trade.price => self.refund_all(trade),
                    fen if (1..trade.price).contains(&fen) => {
                        (trade.state, trade.refund, trade.due) = ("curing", Some(fen), Some(day + ACCEPTANCE_DAYS));
                    }
                    _ => return Err(Kind::Invalid),
                }
            }
            Step::Redeliver(_) => {
                allowed(trade.state == "curing" && trade.refund.is_none() && !is_late)?;
                (trade.state, trade.due) = ("delivering", due_in(ACCEPTANCE_DAYS));
            }
            Step::AcceptCure(_) => {
                allowed(offers_refund && !is_late)?;
                self.settle(trade);
            }
            Step::RejectCure(_) => {
                allowed(offers_refund && !is_late)?;
                (trade.state, trade.refund, trade.due) = ("rejected", None, due_in(CURE_DAYS));
            }
            Step::Dispute(_) | Step::Decide { .. } | Step::Appeal(_) | Step::DecideAppeal { .. } => {
                self.step_of_dispute(trade, step)?
            }
            Step::Suspend(_) | Step::Reinstate(_) | Step::Revoke { .. } | Step::Renew(_) | Step::Extend(_) => {
                self.step_of_licence(trade, step)?
            }
            Step::PassDeadline(_) if trade.dispute.is_some() => self.end_dispute(trade),
            // The exchange itself is in the way.
            Step::PassDeadline(_) if is_late && is_kept_waiting => trade.begin_again(day),
            Step::PassDeadline(_) if is_late => match trade.state {
                "awaiting_signature" | "awaiting_payment" => (trade.state, trade.due) = ("expired", None),
                "rejected" => self.refund_all(trade),
                "curing" if trade.refund.is_none() => self.refund_all(trade),
                _ => self.settle(trade),
            },
            // The exchange looks too early; and no other step is of an order.
            _ => {}
        }
        Ok(())
    }
}
