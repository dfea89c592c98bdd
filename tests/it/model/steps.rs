//! The steps of a sequence: who does what.

use corpex::compliance::takedowns::TakedownState;
use corpex::ledger::WithdrawalState;
use corpex::market::disputes::Outcome;
use corpex::market::negotiation::Side;
use proptest::sample::Index;

/// Something that somebody does. Which order is meant is settled when it is done.
#[derive(Debug, Clone)]
pub enum Step {
    Deposit {
        lab: usize,
        fen: i64,
    },
    /// The provider takes the corpus off the board for a while.
    Pause,
    /// The provider puts it back.
    Resume,
    /// The provider takes it off for ever.
    Delist,
    /// A lab objects to what is on public notice.
    Object {
        lab: usize,
    },
    /// Compliance decides an objection.
    DecideObjection {
        objection: Index,
        is_upheld: bool,
    },
    /// The exchange looks at the listings whose public notice is over.
    Review,
    /// Somebody claims the corpus, and compliance finds that worth examining.
    Claim,
    /// Compliance takes a case there, or else where it goes as a rule.
    Examine {
        case: Index,
        to: Option<TakedownState>,
    },
    /// The provider answers a claim.
    Counter(Index),
    /// Whose licences a case recalled say what they trained.
    AnswerRecalls(Index),
    /// The exchange looks who did not answer a recall in time.
    MarkOverdue,
    /// A lab orders the corpus.
    Place {
        lab: usize,
    },
    /// It orders the essays, by subscription.
    Subscribe {
        lab: usize,
    },
    /// It orders the verses: those in one of their languages, or all.
    Select {
        lab: usize,
        language: Option<usize>,
    },
    /// The provider offers the corpus to a lab, at a price and for some days.
    Offer {
        lab: usize,
        fen: i64,
        days: i64,
    },
    /// The lab orders at a private offer.
    PlaceAt(Index),
    /// The provider takes a private offer back.
    Withdraw(Index),
    /// The exchange ends the private offers whose time is over.
    ExpireOffers,
    /// A lab asks to evaluate the corpus.
    Evaluate {
        lab: usize,
    },
    /// It asks for the sample.
    Sample {
        lab: usize,
    },
    /// A side begins to negotiate, with an offer at a price and for some days.
    Negotiate {
        lab: usize,
        side: Side,
        fen: i64,
        days: i64,
    },
    /// A side goes on with this, or else with what leads to an agreement.
    Send {
        negotiation: Index,
        message: Option<Message>,
    },
    /// The exchange ends the negotiations in which nobody went on in time.
    ExpireNegotiations,
    /// A lab signs a quote, and sends it back some days later.
    Buy {
        lab: usize,
        days: i64,
    },
    Sign(Index),
    Cancel(Index),
    Pay(Index),
    /// A lab announces a voucher programme for some days, and fills its pool.
    Announce {
        lab: usize,
        fen: i64,
        days: i64,
    },
    /// Its funder puts more in.
    Fund {
        programme: Index,
        fen: i64,
    },
    /// Its funder takes back what is left.
    TakeBack(Index),
    /// The buyer pays with a voucher, if there is a programme.
    PayWith {
        order: Index,
        programme: Index,
    },
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
    /// The lab opens a dispute.
    Dispute(Index),
    /// An operator decides it.
    Decide {
        order: Index,
        outcome: Outcome,
        fen: i64,
    },
    /// The lab appeals against that.
    Appeal(Index),
    /// Another operator decides the appeal.
    DecideAppeal {
        order: Index,
        outcome: Outcome,
        fen: i64,
    },
    /// Staff suspend the licence.
    Suspend(Index),
    /// Staff reinstate it.
    Reinstate(Index),
    /// Staff revoke the licence, and have what is in escrow refunded, or not.
    Revoke {
        order: Index,
        refund: bool,
    },
    /// The lab orders the renewal of the licence.
    Renew(Index),
    /// The exchange extends a subscription to what is on the board.
    Extend(Index),
    /// The exchange ends the licences whose term is over.
    ExpireLicences,
    /// Somebody who has a part in the price of the corpus asks to be paid out what it is owed, but so much.
    PayOut {
        payee: usize,
        leave: i64,
    },
    /// An operator has this become of a payout, or who asked for it.
    Treat {
        payout: Index,
        to: WithdrawalState,
    },
    /// The exchange looks whether a deadline has passed.
    PassDeadline(Index),
    Wait {
        days: i64,
    },
}

/// What a side of a negotiation sends.
#[derive(Debug, Clone, Copy)]
pub enum Message {
    /// An offer of its own, at a price and for some days.
    Answer {
        side: Side,
        fen: i64,
        days: i64,
    },
    /// The buyer accepts the last offer.
    Accept,
    /// The provider signs the contract.
    Agree,
    /// The buyer signs it, too.
    Verify,
    /// The provider has the exchange countersign it.
    Finalize,
    Terminate(Side),
}

impl Step {
    /// Whether it is about the public notice of the corpus.
    pub fn is_of_notice(&self) -> bool {
        matches!(self, Self::Object { .. } | Self::DecideObjection { .. } | Self::Review)
    }

    /// Whether it changes the corpus itself, for all who trade it.
    pub fn is_of_corpus(&self) -> bool {
        let is_of_claim = matches!(
            self,
            Self::Claim | Self::Examine { .. } | Self::Counter(_) | Self::AnswerRecalls(_) | Self::MarkOverdue
        );
        is_of_claim || self.is_of_notice() || matches!(self, Self::Pause | Self::Resume | Self::Delist)
    }

    /// Which order it is about, if it is about one.
    pub fn order(&self) -> Option<Index> {
        match self {
            Self::OfferRefund { order, .. }
            | Self::PayWith { order, .. }
            | Self::Decide { order, .. }
            | Self::DecideAppeal { order, .. }
            | Self::Revoke { order, .. }
            | Self::Sign(order)
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
            | Self::Dispute(order)
            | Self::Appeal(order)
            | Self::Suspend(order)
            | Self::Reinstate(order)
            | Self::Renew(order)
            | Self::Extend(order)
            | Self::PassDeadline(order) => Some(*order),
            _ => None,
        }
    }
}
