//! The rules of a trade, as plainly as they can be said: what a step does, or why it is refused.

pub mod claims;
pub mod negotiations;
pub mod offers;
mod payouts;
mod renewals;
pub mod vouchers;

use corpex::error::Kind;
use corpex::market::disputes::Outcome;
use corpex::types::{BASIS_POINTS, OrderId};
use proptest::sample::Index;

use super::steps::Step;
use claims::{Case, Listing};
use negotiations::Negotiation;
use offers::PrivateOffer;
use vouchers::{Programme, Voucher};

/// What an order costs at what is on the board, in fen, and what of each price is the exchange's, in basis points.
pub const PRICE: i64 = 1000;
const FEE_BASIS_POINTS: i64 = 300;
const PAYMENT_DAYS: i64 = 7;
/// How long a subscription runs, and how many versions are on the board that it may cover: its own, and what came later.
pub const SUBSCRIPTION_DAYS: i64 = 30;
pub const VERSIONS: i64 = 2;
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

#[derive(Debug, Clone)]
pub struct Trade {
    pub id: OrderId,
    pub lab: usize,
    pub contract: String,
    pub state: &'static str,
    price: i64,
    voucher: Option<Voucher>,
    is_signed: bool,
    /// The day from which on the exchange moves it on.
    due: Option<i64>,
    refund: Option<i64>,
    settlement: Option<Settlement>,
    dispute: Option<Dispute>,
    /// By staff.
    pub is_revoked: bool,
    /// By a claim that was upheld.
    is_recalled: bool,
    is_suspended: bool,
    /// Because of a claim, and not by staff.
    is_held: bool,
    subscription: Option<Subscription>,
    is_expired: bool,
    /// The order whose licence it renews, if it renews one.
    pub renews: Option<OrderId>,
}

/// What the provider and the exchange have of a price, and the day from which on it cannot be disputed.
#[derive(Debug, Clone, Copy)]
struct Settlement {
    owed: i64,
    fee: i64,
    final_from: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Dispute {
    /// What of the settlement was unpaid when it was opened.
    frozen: i64,
    /// For whom it is decided, with how much of a split, and the day from which on that is carried out.
    decided: Option<(Outcome, i64, i64)>,
    is_appealed: bool,
    is_final: bool,
}

/// What a subscription covers, and the day from which on it is over; neither before it is paid.
#[derive(Debug, Clone, Copy, Default)]
struct Subscription {
    covers: i64,
    ends: i64,
}

impl Trade {
    fn new(id: OrderId, lab: usize, contract: String, state: &'static str, due: i64) -> Self {
        Self {
            id,
            lab,
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
    /// How many versions its subscription covers, if it is for one.
    pub fn covers(&self) -> i64 {
        self.subscription.map_or(0, |subscription| subscription.covers)
    }
    fn is_paid(&self) -> bool {
        !matches!(self.state, "awaiting_signature" | "awaiting_payment" | "cancelled" | "expired")
    }
    /// Whether a licence came of it.
    fn is_granted(&self) -> bool {
        self.is_paid() && self.renews.is_none()
    }
    /// Whether there is a licence that nothing has ended.
    fn is_licensed(&self) -> bool {
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
    fn is_with_buyer(&self) -> bool {
        matches!(self.state, "escrowed" | "delivering" | "delivered")
    }
    /// The time of an order that is with its buyer begins anew.
    fn begin_again(&mut self, day: i64) {
        let days = if self.state == "delivered" { ACCEPTANCE_DAYS } else { i64::from(DOWNLOAD_DAYS) };
        if self.is_with_buyer() {
            self.due = self.due.max(Some(day + days));
        }
    }
    /// A split gives back something, and not all that is left.
    fn weigh(&self, outcome: Outcome, fen: i64) -> Result<(), Kind> {
        let left = self.price - self.refund.unwrap_or(0);
        if outcome == Outcome::Split && !(1..left).contains(&fen) { Err(Kind::Invalid) } else { Ok(()) }
    }
}

/// What the model remembers.
#[derive(Debug, Clone)]
pub struct Book {
    pub day: i64,
    pub wallets: Vec<i64>,
    pub payable: i64,
    /// What the provider asked to be paid out and no operator has taken up, oldest first.
    pub waiting: Vec<i64>,
    pub frozen: i64,
    pub fees: i64,
    pub offers: Vec<PrivateOffer>,
    pub programmes: Vec<Programme>,
    pub trades: Vec<Trade>,
    pub negotiations: Vec<Negotiation>,
    pub cases: Vec<Case>,
    pub listing: Listing,
}

impl Book {
    pub fn new(wallets: Vec<i64>, (payable, waiting, frozen): (i64, Vec<i64>, i64), fees: i64) -> Self {
        let (offers, programmes, trades) = (Vec::new(), Vec::new(), Vec::new());
        let (negotiations, cases, listing) = (Vec::new(), Vec::new(), Listing::LISTED);
        Self {
            day: 0,
            wallets,
            payable,
            waiting,
            frozen,
            fees,
            offers,
            programmes,
            trades,
            negotiations,
            cases,
            listing,
        }
    }
    /// One that knows of orders, and of nothing else.
    pub fn of(labs: usize, trades: Vec<Trade>) -> Self {
        Self { trades, ..Self::new(vec![0; labs], (0, Vec::new(), 0), 0) }
    }
    pub fn placed(&mut self, id: OrderId, lab: usize, contract: String) {
        self.trades.push(Trade::new(id, lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS));
    }
    pub fn subscribed(&mut self, id: OrderId, lab: usize, contract: String) {
        let trade = Trade::new(id, lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS);
        self.trades.push(Trade { subscription: Some(Subscription::default()), ..trade });
    }
    pub fn bought(&mut self, id: OrderId, lab: usize, contract: String, days: i64) {
        self.trades.push(Trade::new(id, lab, contract, "escrowed", self.day + days + i64::from(DOWNLOAD_DAYS)));
    }
    pub fn trade(&self, order: Index) -> Option<Trade> {
        (!self.trades.is_empty()).then(|| order.get(&self.trades).clone())
    }

    /// What a step does, or why it is refused; an order that is placed is added by [`Book::placed`] or
    /// [`Book::subscribed`], one that is bought in one step by [`Book::bought`], and a renewal by [`Book::renewed`]. An order
    /// at a private offer is added by [`Book::placed_at`].
    pub fn expect(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Deposit { lab, fen } => self.wallets[*lab] += fen,
            Step::Wait { days } => self.day += days,
            step if step.is_of_corpus() => self.step_of_claim(step)?,
            Step::Place { .. } | Step::Offer { .. } | Step::Negotiate { .. } | Step::Buy { .. } if self.is_closed() => {
                return Err(Kind::WrongState);
            }
            Step::Place { .. } | Step::Subscribe { .. } => {}
            Step::Offer { .. } | Step::PlaceAt(_) | Step::Withdraw(_) | Step::ExpireOffers => {
                self.step_of_offer(step)?
            }
            Step::Buy { days, .. } if *days >= PAYMENT_DAYS => return Err(Kind::WrongState),
            Step::Buy { lab, .. } => self.pay(*lab, PRICE)?,
            Step::Announce { .. } | Step::Fund { .. } | Step::TakeBack(_) => self.step_of_programme(step)?,
            Step::Negotiate { .. } | Step::Send { .. } | Step::ExpireNegotiations => self.step_of_negotiation(step)?,
            Step::ExpireLicences => self.expire_licences(),
            Step::PayOut { leave } => self.pay_out(*leave)?,
            Step::TakeUp => self.take_up(),
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

    fn step(&mut self, trade: &mut Trade, step: &Step) -> Result<(), Kind> {
        let is_late = trade.due.is_some_and(|due| due <= self.day);
        let allowed = |is: bool| if is { Ok(()) } else { Err(Kind::WrongState) };
        let is_delivered = matches!(trade.state, "delivering" | "delivered");
        let offers_refund = trade.state == "curing" && trade.refund.is_some();
        let is_held = trade.is_of_corpus() && self.is_held();
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
                allowed(trade.state == "awaiting_payment" && !is_late && !is_held)?;
                trade.voucher = self.voucher(trade, step)?;
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
            Step::Dispute(_) if trade.dispute.is_some() => return Err(Kind::AlreadyExists),
            Step::Dispute(_) => match trade.settlement {
                Some(settlement) => {
                    allowed(day < settlement.final_from)?;
                    self.stop_payouts(settlement.owed);
                    let frozen = settlement.owed.min(self.payable);
                    (self.payable, self.frozen) = (self.payable - frozen, self.frozen + frozen);
                    trade.dispute = Some(Dispute { frozen, ..Dispute::default() });
                }
                None => {
                    allowed(IN_ESCROW.contains(&trade.state) && !is_late)?;
                    (trade.state, trade.due, trade.refund) = ("disputed", None, None);
                    trade.dispute = Some(Dispute::default());
                }
            },
            Step::Decide { outcome, fen, .. } => {
                let Some(dispute) = trade.dispute else { return Err(Kind::WrongState) };
                trade.weigh(*outcome, *fen)?;
                allowed(dispute.decided.is_none())?;
                let decided = Some((*outcome, *fen, day + APPEAL_DAYS));
                trade.dispute = Some(Dispute { decided, ..dispute });
            }
            Step::Appeal(_) => {
                let Some(dispute) = trade.dispute else { return Err(Kind::WrongState) };
                let is_in_time = dispute.decided.is_some_and(|(_, _, due)| day < due);
                allowed(is_in_time && !dispute.is_appealed && !dispute.is_final)?;
                trade.dispute = Some(Dispute { is_appealed: true, ..dispute });
            }
            Step::DecideAppeal { outcome, fen, .. } => {
                allowed(trade.dispute.is_some_and(|dispute| dispute.is_appealed && !dispute.is_final))?;
                trade.weigh(*outcome, *fen)?;
                self.carry_out(trade, *outcome, *fen);
            }
            // There is nothing to suspend.
            Step::Suspend(_) | Step::Reinstate(_) if !trade.is_granted() => {}
            Step::Suspend(_) => {
                allowed(trade.licence() == Some("active"))?;
                trade.is_suspended = true;
            }
            Step::Reinstate(_) => {
                let runs = trade.subscription.is_none_or(|subscription| day < subscription.ends);
                allowed(trade.licence() == Some("suspended") && runs && !is_held)?;
                trade.is_suspended = false;
                trade.begin_again(day);
                self.begin_renewals_again(trade);
            }
            // There is nothing to revoke.
            Step::Revoke { .. } if !trade.is_granted() => {}
            Step::Revoke { refund, .. } => {
                allowed(trade.is_licensed())?;
                if *refund {
                    let is_in_escrow = IN_ESCROW.contains(&trade.state);
                    allowed(self.refund_renewals(trade) > 0 || is_in_escrow)?;
                    if is_in_escrow {
                        self.refund(trade);
                    }
                }
                trade.is_revoked = true;
            }
            // There is nothing to renew.
            Step::Renew(_) if !trade.is_granted() => {}
            Step::Renew(_) => allowed(trade.is_renewable(day) && trade.state == "settled")?,
            Step::Extend(_) => {
                let runs = |subscription: &Subscription| trade.is_licensed() && day < subscription.ends;
                if let Some(subscription) = trade.subscription.filter(runs) {
                    trade.subscription = Some(Subscription { covers: VERSIONS, ..subscription });
                }
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
            Step::PassDeadline(_) => {}
            Step::Deposit { .. }
            | Step::Pause
            | Step::Resume
            | Step::Delist
            | Step::Claim
            | Step::Examine { .. }
            | Step::Counter(_)
            | Step::AnswerRecalls(_)
            | Step::MarkOverdue
            | Step::Place { .. }
            | Step::Offer { .. }
            | Step::PlaceAt(_)
            | Step::Withdraw(_)
            | Step::ExpireOffers
            | Step::Subscribe { .. }
            | Step::Negotiate { .. }
            | Step::Send { .. }
            | Step::ExpireNegotiations
            | Step::Buy { .. }
            | Step::Announce { .. }
            | Step::Fund { .. }
            | Step::TakeBack(_)
            | Step::PayOut { .. }
            | Step::TakeUp
            | Step::ExpireLicences
            | Step::Wait { .. } => {}
        }
        Ok(())
    }

    /// A decision that nobody appealed against in time is carried out.
    fn end_dispute(&mut self, trade: &mut Trade) {
        let unopposed = trade.dispute.filter(|dispute| !dispute.is_appealed && !dispute.is_final);
        if let Some((outcome, fen, due)) = unopposed.and_then(|dispute| dispute.decided)
            && due <= self.day
        {
            self.carry_out(trade, outcome, fen);
        }
    }

    /// The last decision moves the money.
    fn carry_out(&mut self, trade: &mut Trade, outcome: Outcome, fen: i64) {
        let Some(dispute) = trade.dispute else { return };
        trade.dispute = Some(Dispute { is_final: true, ..dispute });
        match (trade.settlement, outcome) {
            (None, Outcome::Buyer) => self.refund_all(trade),
            (None, _) => {
                trade.refund = (outcome == Outcome::Split).then_some(fen);
                self.settle(trade);
            }
            (Some(settlement), _) => {
                let wanted = match outcome {
                    Outcome::Buyer => trade.price - trade.refund.unwrap_or(0),
                    Outcome::Split => fen,
                    Outcome::Provider => 0,
                };
                let fee = part(wanted, settlement.fee, settlement.owed + settlement.fee);
                let taken = (wanted - fee).min(dispute.frozen);
                self.frozen -= dispute.frozen;
                self.payable += dispute.frozen - taken;
                self.fees -= fee;
                let before = trade.refund.unwrap_or(0);
                self.give_back(trade, before, fee + taken);
                trade.refund = Some(before + fee + taken);
                if outcome == Outcome::Buyer {
                    trade.state = "refunded";
                    self.follow(trade);
                }
            }
        }
    }

    fn pay(&mut self, lab: usize, price: i64) -> Result<(), Kind> {
        let left = self.wallets[lab] - price;
        if left < 0 {
            return Err(Kind::InsufficientFunds);
        }
        self.wallets[lab] = left;
        Ok(())
    }

    fn settle(&mut self, trade: &mut Trade) {
        let refund = trade.refund.unwrap_or(0);
        let rest = trade.price - refund;
        let fee = part(rest, part(trade.price, FEE_BASIS_POINTS, BASIS_POINTS), trade.price);
        self.give_back(trade, 0, refund);
        self.fees += fee;
        self.payable += rest - fee;
        trade.settlement = Some(Settlement { owed: rest - fee, fee, final_from: self.day + DISPUTE_DAYS });
        (trade.state, trade.due) = ("settled", None);
    }

    /// Gives the whole price back; the licence follows.
    fn refund_all(&mut self, trade: &mut Trade) {
        self.refund(trade);
        self.follow(trade);
    }

    fn refund(&mut self, trade: &mut Trade) {
        self.give_back(trade, 0, trade.price);
        (trade.state, trade.due, trade.refund) = ("refunded", None, Some(trade.price));
    }
}
