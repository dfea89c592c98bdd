//! What a step reached, as the books before and after it tell; and what must be reached, for sequences that never get anywhere
//! prove nothing.

use corpex::error::Kind;
use corpex::market::disputes::Outcome;

use super::{Book, Goods, Trade};
use crate::model::steps::{Message, Step};

/// What the short run reaches: a few hundred sequences, drawn once more for as long as something is missing.
pub const SOON: &[&str] = &[
    "order awaiting_signature",
    "order awaiting_payment",
    "order escrowed",
    "order delivering",
    "order delivered",
    "order settled",
    "order cancelled",
    "order expired",
    "order rejected",
    "order curing",
    "order disputed",
    "order refunded",
    "licence active",
    "licence suspended",
    "licence revoked",
    "offers accepted",
    "offers withdrawn",
    "takedowns triaged",
    "withdrawals requested",
    "negotiation ended by the buyer",
    "negotiation ended by the provider",
];

/// What the long run reaches besides, in one go.
pub const AT_LENGTH: &[&str] = &[
    // Orders and licences.
    "order bought in one step",
    "part of a version paid",
    "version delivered to a subscriber",
    "renewal awaiting_signature",
    "renewal delivered",
    "renewal settled",
    "renewal disputed",
    "renewal refunded",
    "term lengthened",
    "term shortened",
    "licence expired",
    "licence held",
    "licence freed",
    "licence revoked by staff",
    "licence revoked with a refund",
    "licence recalled",
    // Disputes.
    "dispute in escrow",
    "dispute in escrow ended for the buyer",
    "dispute in escrow ended for the provider",
    "dispute in escrow ended for the split",
    "dispute after settlement",
    "dispute after settlement ended for the buyer",
    "dispute after settlement ended for the provider",
    "dispute after settlement ended for the split",
    "appeal confirmed",
    "appeal changed",
    // What leads to an order at another price.
    "offers expired",
    "negotiations REQUESTED",
    "negotiations OFFERED",
    "negotiations ACCEPTED",
    "negotiations VERIFIED",
    "negotiations FINALIZED",
    "agreed at the buyer's price",
    "agreed at the provider's price",
    "counter-offer of the buyer",
    "counter-offer of the provider",
    "negotiation expired",
    // Vouchers.
    "voucher applied",
    "voucher clawed back in part",
    "voucher clawed back fully",
    "voucher refused after its time",
    "voucher refused to its funder",
    "voucher refused to an affiliate",
    "voucher refused beyond its cap",
    "voucher refused beyond its pool",
    "pool taken back",
    // Payouts.
    "withdrawals processing",
    "withdrawals executed",
    "withdrawals stopped",
    "withdrawals refused",
    "withdrawals cancelled",
    "withdrawals reversed",
    // The corpus itself.
    "listing listed",
    "listing paused",
    "listing suspended",
    "listing delisted",
    "takedowns rejected",
    "takedowns interim_blocked",
    "takedowns provider_notified",
    "takedowns countered",
    "takedowns reinstated",
    "takedowns upheld",
    "takedowns recall_issued",
    "takedowns closed",
    "recall answered",
    "recall overdue",
    "objections open",
    "objections upheld",
    "objections dismissed",
    "evaluation granted",
    "sample given",
    "sample refused after its time",
];

impl Book {
    /// What was reached with a step that led from `before` to here, or was refused.
    pub fn reached(&self, before: &Self, step: &Step, refused: Option<Kind>) -> Vec<String> {
        let mut reached = before.reached_by(step, refused);
        for ((life, was), (_, is)) in before.lives().iter().zip(self.lives()) {
            let moved = is.into_iter().filter(|(name, state)| was.get(name) != Some(state));
            reached.extend(moved.map(|(_, state)| format!("{life} {state}")));
        }
        for (number, trade) in self.trades.iter().enumerate() {
            trade.reached(before.trades.get(number), &mut reached);
        }
        if self.listing.state != before.listing.state {
            reached.push(format!("listing {}", self.listing.state));
        }
        let answered = |book: &Self| book.cases.iter().filter(|case| case.is_answered).count();
        let overdue = |book: &Self| book.cases.iter().filter(|case| case.is_overdue).count();
        reached.extend((answered(self) > answered(before)).then(|| "recall answered".to_string()));
        reached.extend((overdue(self) > overdue(before)).then(|| "recall overdue".to_string()));
        reached
    }

    /// What is said by the step itself, taken here or refused.
    fn reached_by(&self, step: &Step, refused: Option<Kind>) -> Vec<String> {
        let said = match (step, refused) {
            (Step::Send { negotiation, message }, None) => {
                self.negotiation(*negotiation).map(|known| match message.unwrap_or(known.onward()) {
                    Message::Answer { side, .. } => format!("counter-offer of the {side}"),
                    Message::Terminate(side) => format!("negotiation ended by the {side}"),
                    Message::Agree if known.state == "REQUESTED" => "agreed at the buyer's price".to_string(),
                    Message::Agree => "agreed at the provider's price".to_string(),
                    Message::Accept | Message::Verify | Message::Finalize => "negotiation led on".to_string(),
                })
            }
            (Step::ExpireNegotiations, _) => {
                self.negotiations.iter().any(|known| known.is_idle(self.day)).then(|| "negotiation expired".to_string())
            }
            // Only a voucher is refused so, or the wallet holds too little.
            (Step::PayWith { order, .. }, Some(Kind::Invalid | Kind::InsufficientFunds)) => {
                let why = self.trade(*order).and_then(|trade| self.voucher(&trade, step).err());
                why.map(|(_, why)| format!("voucher refused {why}"))
            }
            (Step::TakeBack(_), None) if !self.programmes.is_empty() => Some("pool taken back".to_string()),
            (Step::Buy { .. }, None) => Some("order bought in one step".to_string()),
            (Step::Evaluate { .. }, None) => Some("evaluation granted".to_string()),
            (Step::Sample { lab }, None) => self.evaluations[*lab].map(|_| "sample given".to_string()),
            (Step::Sample { .. }, Some(Kind::NotEntitled)) => Some("sample refused after its time".to_string()),
            _ => None,
        };
        said.into_iter().collect()
    }
}

/// What may be so of a trade: its name, and whether it is.
type Fact = (&'static str, fn(&Trade) -> bool);

/// What is true of a trade from some step on.
const FACTS: &[Fact] = &[
    ("part of a version paid", |trade| trade.goods == Goods::Verses && trade.part.is_some() && trade.is_paid()),
    ("version delivered to a subscriber", |trade| trade.covers() > 1),
    ("licence held", |trade| trade.is_held),
    ("licence revoked by staff", |trade| trade.is_revoked),
    ("licence revoked with a refund", |trade| trade.is_revoked && trade.state == "refunded"),
    ("licence recalled", |trade| trade.is_recalled),
    ("voucher applied", |trade| trade.voucher.is_some()),
    ("voucher clawed back in part", |trade| trade.voucher.is_some() && (1..trade.price).contains(&trade.given_back())),
    ("voucher clawed back fully", |trade| trade.voucher.is_some() && trade.given_back() == trade.price),
    ("dispute in escrow", |trade| trade.dispute.is_some_and(|dispute| dispute.frozen.is_none())),
    ("dispute after settlement", |trade| trade.dispute.is_some_and(|dispute| dispute.frozen.is_some())),
];

impl Trade {
    fn reached(&self, before: Option<&Self>, reached: &mut Vec<String>) {
        if before.is_none_or(|before| before.state != self.state) {
            let kind = if self.renews.is_some() { "renewal" } else { "order" };
            reached.push(format!("{kind} {}", self.state));
        }
        let licence = self.licence().filter(|licence| before.and_then(Self::licence) != Some(*licence));
        reached.extend(licence.map(|licence| format!("licence {licence}")));
        let new = FACTS.iter().filter(|(_, is_so)| is_so(self) && !before.is_some_and(is_so));
        reached.extend(new.map(|(fact, _)| fact.to_string()));
        if before.is_some_and(|before| before.is_held) && !self.is_held {
            reached.push("licence freed".to_string());
        }
        if let (Some(was), Some(is)) = (before.and_then(Self::ends), self.ends())
            && was != is
        {
            reached.push(format!("term {}", if was < is { "lengthened" } else { "shortened" }));
        }
        let was_open = before.is_some_and(|before| before.dispute.is_none_or(|dispute| dispute.ended.is_none()));
        if let Some(dispute) = self.dispute.filter(|_| was_open)
            && let Some((outcome, fen)) = dispute.ended
        {
            let over = if dispute.frozen.is_some() { "after settlement" } else { "in escrow" };
            reached.push(format!("dispute {over} ended for the {outcome}"));
            if dispute.is_appealed {
                let is_as_before = |(decided, split, _): (Outcome, i64, i64)| {
                    decided == outcome && (outcome != Outcome::Split || split == fen)
                };
                let appeal = if dispute.decided.is_some_and(is_as_before) { "confirmed" } else { "changed" };
                reached.push(format!("appeal {appeal}"));
            }
        }
    }
}
