//! The rules of a trade, as plainly as they can be said: what a step does, or why it is refused.

use corpex::error::Kind;
use corpex::types::OrderId;
use proptest::sample::Index;

/// What every order costs, and what of it is the exchange's, in fen.
pub const PRICE: i64 = 1000;
pub const FEE: i64 = 30;
const PAYMENT_DAYS: i64 = 7;
pub const DOWNLOAD_DAYS: i32 = 21;
const ACCEPTANCE_DAYS: i64 = 14;
const CURE_DAYS: i64 = 14;

/// Something that somebody does. Which order is meant is settled when it is done.
#[derive(Debug, Clone)]
pub enum Step {
    Deposit {
        lab: usize,
        fen: i64,
    },
    Place {
        lab: usize,
    },
    /// The lab signs a quote, and sends it back some days later.
    Buy {
        lab: usize,
        days: i64,
    },
    Sign(Index),
    Cancel(Index),
    Pay(Index),
    /// The first link is given.
    Begin(Index),
    /// The last shard's link is given.
    Complete(Index),
    Accept(Index),
    Reject(Index),
    OfferRedelivery(Index),
    OfferRefund {
        order: Index,
        fen: i64,
    },
    Redeliver(Index),
    AcceptCure(Index),
    RejectCure(Index),
    /// The exchange looks whether a deadline has passed.
    PassDeadline(Index),
    Wait {
        days: i64,
    },
}

impl Step {
    /// Which order it is about, if it is about one.
    pub fn order(&self) -> Option<Index> {
        match self {
            Self::Deposit { .. } | Self::Place { .. } | Self::Buy { .. } | Self::Wait { .. } => None,
            Self::OfferRefund { order, .. } => Some(*order),
            Self::Sign(order)
            | Self::Cancel(order)
            | Self::Pay(order)
            | Self::Begin(order)
            | Self::Complete(order)
            | Self::Accept(order)
            | Self::Reject(order)
            | Self::OfferRedelivery(order)
            | Self::Redeliver(order)
            | Self::AcceptCure(order)
            | Self::RejectCure(order)
            | Self::PassDeadline(order) => Some(*order),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Trade {
    pub id: OrderId,
    pub lab: usize,
    pub contract: String,
    pub state: &'static str,
    is_signed: bool,
    /// The day from which on the exchange moves it on.
    due: Option<i64>,
    refund: Option<i64>,
}

/// What the model remembers.
#[derive(Debug, Clone)]
pub struct Book {
    pub day: i64,
    pub wallets: Vec<i64>,
    pub payable: i64,
    pub fees: i64,
    pub trades: Vec<Trade>,
}

impl Book {
    pub fn new(wallets: Vec<i64>, payable: i64, fees: i64) -> Self {
        Self { day: 0, wallets, payable, fees, trades: Vec::new() }
    }
    /// One that knows of orders, and of nothing else.
    pub fn of(labs: usize, trades: Vec<Trade>) -> Self {
        Self { day: 0, wallets: vec![0; labs], payable: 0, fees: 0, trades }
    }
    pub fn placed(&mut self, id: OrderId, lab: usize, contract: String) {
        let due = Some(self.day + PAYMENT_DAYS);
        let state = "awaiting_signature";
        self.trades.push(Trade { id, lab, contract, state, is_signed: false, due, refund: None });
    }
    pub fn bought(&mut self, id: OrderId, lab: usize, contract: String, days: i64) {
        let (state, due) = ("escrowed", Some(self.day + days + i64::from(DOWNLOAD_DAYS)));
        self.trades.push(Trade { id, lab, contract, state, is_signed: true, due, refund: None });
    }
    pub fn trade(&self, order: Index) -> Option<Trade> {
        (!self.trades.is_empty()).then(|| order.get(&self.trades).clone())
    }

    /// What a step does, or why it is refused; an order that is placed is added by [`Book::placed`], one that is bought
    /// in one step by [`Book::bought`].
    pub fn expect(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Deposit { lab, fen } => self.wallets[*lab] += fen,
            Step::Wait { days } => self.day += days,
            Step::Place { .. } => {}
            Step::Buy { days, .. } if *days >= PAYMENT_DAYS => return Err(Kind::WrongState),
            Step::Buy { lab, .. } => self.pay(*lab)?,
            _ => {
                let Some(order) = step.order() else { return Ok(()) };
                let number = order.index(self.trades.len());
                let mut trade = self.trades[number].clone();
                self.step(&mut trade, step)?;
                self.trades[number] = trade;
            }
        }
        Ok(())
    }

    fn step(&mut self, trade: &mut Trade, step: &Step) -> Result<(), Kind> {
        let is_late = trade.due.is_some_and(|due| due <= self.day);
        let allowed = |is: bool| if is { Ok(()) } else { Err(Kind::WrongState) };
        let is_delivered = matches!(trade.state, "delivering" | "delivered");
        let offers_refund = trade.state == "curing" && trade.refund.is_some();
        let (day, due_in) = (self.day, |days: i64| Some(self.day + days));
        match step {
            // The same signature again changes nothing.
            Step::Sign(_) if trade.is_signed => {}
            Step::Sign(_) => {
                allowed(trade.state == "awaiting_signature" && !is_late)?;
                (trade.state, trade.is_signed) = ("awaiting_payment", true);
            }
            Step::Cancel(_) => {
                allowed(matches!(trade.state, "awaiting_signature" | "awaiting_payment"))?;
                (trade.state, trade.due) = ("cancelled", None);
            }
            Step::Pay(_) => {
                allowed(trade.state == "awaiting_payment" && !is_late)?;
                self.pay(trade.lab)?;
                (trade.state, trade.due) = ("escrowed", Some(day + i64::from(DOWNLOAD_DAYS)));
            }
            Step::Begin(_) if trade.state == "escrowed" => {
                (trade.state, trade.due) = ("delivering", due_in(ACCEPTANCE_DAYS));
            }
            Step::Complete(_) if trade.state == "delivering" => {
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
                    PRICE => self.refund_all(trade),
                    1..PRICE => {
                        (trade.state, trade.refund, trade.due) = ("curing", Some(*fen), Some(day + ACCEPTANCE_DAYS));
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
            Step::PassDeadline(_) if is_late => match trade.state {
                "awaiting_signature" | "awaiting_payment" => (trade.state, trade.due) = ("expired", None),
                "rejected" => self.refund_all(trade),
                "curing" if trade.refund.is_none() => self.refund_all(trade),
                _ => self.settle(trade),
            },
            Step::PassDeadline(_) => {}
            Step::Deposit { .. } | Step::Place { .. } | Step::Buy { .. } | Step::Wait { .. } => {}
        }
        Ok(())
    }

    fn pay(&mut self, lab: usize) -> Result<(), Kind> {
        let left = self.wallets[lab] - PRICE;
        if left < 0 {
            return Err(Kind::InsufficientFunds);
        }
        self.wallets[lab] = left;
        Ok(())
    }

    fn settle(&mut self, trade: &mut Trade) {
        let refund = trade.refund.unwrap_or(0);
        let rest = PRICE - refund;
        // The fee's share of the rest, rounded to the nearer fen.
        let fee = (rest * FEE * 2 + PRICE) / (PRICE * 2);
        self.wallets[trade.lab] += refund;
        self.fees += fee;
        self.payable += rest - fee;
        (trade.state, trade.due) = ("settled", None);
    }

    fn refund_all(&mut self, trade: &mut Trade) {
        self.wallets[trade.lab] += PRICE;
        (trade.state, trade.due, trade.refund) = ("refunded", None, Some(PRICE));
    }
}
