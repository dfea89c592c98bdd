//! Which sequences of steps are drawn: some of one kind alone, and of the others each with more of one kind than of the rest, so
//! that what takes many steps is reached.

use corpex::compliance::takedowns::TakedownState;
use corpex::ledger::WithdrawalState;
use corpex::market::disputes::Outcome;
use corpex::market::negotiation::Side;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::LABS;
use super::rules::settlement::PAYEES;
use super::rules::{PRICE, SUBSCRIPTION_DAYS, VERSES};
use super::steps::{Message, Step};

const STEPS: usize = 100;

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        4 => vec(trades(), STEPS),
        2 => vec(vouchers(), STEPS),
        3 => vec(renewals(), STEPS),
        2 => vec(corpus(), STEPS),
        1 => vec(disputes(), STEPS),
        1 => vec(prop_oneof![1 => everything(), 1 => vouchers()], STEPS),
        1 => vec(prop_oneof![1 => everything(), 6 => renewals()], STEPS),
        1 => vec(prop_oneof![3 => everything(), 2 => offers()], STEPS),
        2 => vec(prop_oneof![3 => everything(), 2 => negotiations()], STEPS),
        1 => vec(prop_oneof![1 => everything(), 2 => corpus()], STEPS),
        1 => vec(prop_oneof![2 => everything(), 2 => notice(), 1 => corpus()], STEPS),
        1 => vec(prop_oneof![1 => everything(), 3 => payouts()], STEPS),
        1 => vec(prop_oneof![1 => everything(), 1 => parts()], STEPS),
        1 => vec(everything(), STEPS),
    ]
}

/// All but what changes the corpus itself.
fn everything() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => trades(),
        1 => vouchers(),
        1 => renewals(),
        1 => offers(),
        2 => negotiations(),
        1 => payouts(),
        1 => parts(),
        1 => disputes(),
    ]
}

fn trades() -> impl Strategy<Value = Step> {
    let lab = 0..LABS;
    let order = any::<Index>();
    // The windows to pay, to accept and to cure, a day less, and some time.
    let days = prop_oneof![Just(7), Just(14), Just(6), Just(13), 1..5_i64];
    prop_oneof![
        3 => (lab.clone(), 1..3000_i64).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        2 => lab.clone().prop_map(|lab| Step::Place { lab }),
        1 => lab.clone().prop_map(|lab| Step::Subscribe { lab }),
        1 => (lab, 0..8_i64).prop_map(|(lab, days)| Step::Buy { lab, days }),
        4 => order.clone().prop_map(Step::Sign),
        1 => order.clone().prop_map(Step::Cancel),
        5 => order.clone().prop_map(Step::Pay),
        4 => order.clone().prop_map(Step::Begin),
        3 => order.clone().prop_map(Step::Complete),
        1 => order.clone().prop_map(Step::Accept),
        4 => order.clone().prop_map(Step::Reject),
        3 => order.clone().prop_map(Step::OfferRedelivery),
        4 => (order.clone(), refunds()).prop_map(|(order, fen)| Step::OfferRefund { order, fen }),
        2 => order.clone().prop_map(Step::Redeliver),
        2 => order.clone().prop_map(Step::AcceptCure),
        2 => order.clone().prop_map(Step::RejectCure),
        2 => order.clone().prop_map(Step::Dispute),
        3 => (order.clone(), select(Outcome::ALL), 0..=PRICE + 1)
            .prop_map(|(order, outcome, fen)| Step::Decide { order, outcome, fen }),
        2 => order.clone().prop_map(Step::Appeal),
        2 => (order.clone(), select(Outcome::ALL), 0..=PRICE + 1)
            .prop_map(|(order, outcome, fen)| Step::DecideAppeal { order, outcome, fen }),
        1 => order.clone().prop_map(Step::Suspend),
        1 => order.clone().prop_map(Step::Reinstate),
        1 => (order.clone(), any::<bool>()).prop_map(|(order, refund)| Step::Revoke { order, refund }),
        2 => order.clone().prop_map(Step::Extend),
        2 => (0..PAYEES, 0..2 * PRICE).prop_map(|(payee, leave)| Step::PayOut { payee, leave }),
        1 => any::<Index>().prop_map(|payout| Step::Treat { payout, to: WithdrawalState::Processing }),
        3 => order.prop_map(Step::PassDeadline),
        3 => days.prop_map(|days| Step::Wait { days }),
    ]
}

/// All, a part, or what is neither.
fn refunds() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(PRICE), 3 => 0..=PRICE + 1]
}

fn vouchers() -> impl Strategy<Value = Step> {
    let (lab, order, programme) = (0..LABS, any::<Index>(), any::<Index>());
    prop_oneof![
        3 => (lab.clone(), PRICE..3 * PRICE).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        2 => lab.clone().prop_map(|lab| Step::Place { lab }),
        1 => lab.clone().prop_map(|lab| Step::Select { lab, language: None }),
        6 => order.clone().prop_map(Step::Sign),
        1 => (lab, 1..2 * PRICE, 1..30_i64).prop_map(|(lab, fen, days)| Step::Announce { lab, fen, days }),
        1 => (programme.clone(), 1..PRICE).prop_map(|(programme, fen)| Step::Fund { programme, fen }),
        1 => programme.clone().prop_map(Step::TakeBack),
        8 => (order.clone(), programme).prop_map(|(order, programme)| Step::PayWith { order, programme }),
        3 => order.clone().prop_map(Step::Begin),
        4 => order.clone().prop_map(Step::Reject),
        5 => (order.clone(), refunds()).prop_map(|(order, fen)| Step::OfferRefund { order, fen }),
        2 => order.prop_map(Step::AcceptCure),
        1 => Just(Step::Wait { days: 6 }),
    ]
}

fn renewals() -> impl Strategy<Value = Step> {
    let (lab, order) = (0..LABS, any::<Index>());
    prop_oneof![
        3 => (lab.clone(), PRICE..3 * PRICE).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        2 => lab.prop_map(|lab| Step::Subscribe { lab }),
        16 => order.clone().prop_map(Step::Sign),
        16 => order.clone().prop_map(Step::Pay),
        8 => order.clone().prop_map(Step::Begin),
        16 => order.clone().prop_map(Step::Accept),
        4 => order.clone().prop_map(Step::Reject),
        12 => order.clone().prop_map(|order| Step::OfferRefund { order, fen: PRICE }),
        2 => order.clone().prop_map(Step::Dispute),
        24 => order.prop_map(Step::Renew),
        1 => Just(Step::ExpireLicences),
        1 => Just(Step::Wait { days: SUBSCRIPTION_DAYS }),
    ]
}

/// What is disputed, in escrow and after the settlement, and how that ends.
fn disputes() -> impl Strategy<Value = Step> {
    let (lab, order) = (0..LABS, any::<Index>());
    let decision = (order.clone(), select(Outcome::ALL), 1..PRICE);
    prop_oneof![
        3 => (lab.clone(), PRICE..2 * PRICE).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        1 => lab.prop_map(|lab| Step::Buy { lab, days: 0 }),
        3 => order.clone().prop_map(Step::Begin),
        3 => order.clone().prop_map(Step::Accept),
        4 => order.clone().prop_map(Step::Dispute),
        5 => decision.clone().prop_map(|(order, outcome, fen)| Step::Decide { order, outcome, fen }),
        3 => order.clone().prop_map(Step::Appeal),
        4 => decision.prop_map(|(order, outcome, fen)| Step::DecideAppeal { order, outcome, fen }),
        3 => order.prop_map(Step::PassDeadline),
        1 => Just(Step::Wait { days: 7 }),
    ]
}

/// What earns money and has it paid out, and what takes it back meanwhile.
fn payouts() -> impl Strategy<Value = Step> {
    use WithdrawalState::{Cancelled, Executed, Processing, Refused, Reversed};
    let (lab, order) = (0..LABS, any::<Index>());
    let to = select(vec![Processing, Processing, Executed, Reversed, Refused, Cancelled]);
    prop_oneof![
        3 => (lab.clone(), PRICE..2 * PRICE).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        3 => lab.prop_map(|lab| Step::Buy { lab, days: 0 }),
        4 => order.clone().prop_map(Step::Begin),
        4 => order.clone().prop_map(Step::Accept),
        2 => order.clone().prop_map(Step::Dispute),
        1 => (order, select(Outcome::ALL), 1..PRICE)
            .prop_map(|(order, outcome, fen)| Step::Decide { order, outcome, fen }),
        4 => (0..PAYEES, 0..PRICE).prop_map(|(payee, leave)| Step::PayOut { payee, leave }),
        4 => (any::<Index>(), to).prop_map(|(payout, to)| Step::Treat { payout, to }),
    ]
}

/// What is bought in part, and what is evaluated before it is bought.
fn parts() -> impl Strategy<Value = Step> {
    let lab = 0..LABS;
    prop_oneof![
        3 => (lab.clone(), prop::option::weighted(0.7, 0..VERSES.len()))
            .prop_map(|(lab, language)| Step::Select { lab, language }),
        1 => lab.clone().prop_map(|lab| Step::Evaluate { lab }),
        2 => lab.prop_map(|lab| Step::Sample { lab }),
    ]
}

/// What happens to the corpus before it is on the board.
fn notice() -> impl Strategy<Value = Step> {
    let decided = (any::<Index>(), prop::bool::weighted(0.2));
    prop_oneof![
        3 => (0..LABS).prop_map(|lab| Step::Object { lab }),
        3 => decided.prop_map(|(objection, is_upheld)| Step::DecideObjection { objection, is_upheld }),
        4 => Just(Step::Review),
        3 => (1..5_i64).prop_map(|days| Step::Wait { days }),
    ]
}

fn offers() -> impl Strategy<Value = Step> {
    let offer = any::<Index>();
    prop_oneof![
        3 => (0..LABS, 1..2 * PRICE, 1..30_i64).prop_map(|(lab, fen, days)| Step::Offer { lab, fen, days }),
        4 => offer.clone().prop_map(Step::PlaceAt),
        1 => offer.prop_map(Step::Withdraw),
        1 => Just(Step::ExpireOffers),
    ]
}

fn negotiations() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..LABS, select(Side::ALL), 1..2 * PRICE, 1..30_i64)
            .prop_map(|(lab, side, fen, days)| Step::Negotiate { lab, side, fen, days }),
        10 => (any::<Index>(), prop::option::weighted(0.4, messages()))
            .prop_map(|(negotiation, message)| Step::Send { negotiation, message }),
        1 => Just(Step::ExpireNegotiations),
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    let side = select(Side::ALL);
    prop_oneof![
        4 => (side.clone(), 1..2 * PRICE, 1..30_i64)
            .prop_map(|(side, fen, days)| Message::Answer { side, fen, days }),
        1 => Just(Message::Accept),
        1 => Just(Message::Agree),
        1 => Just(Message::Verify),
        1 => Just(Message::Finalize),
        2 => side.prop_map(Message::Terminate),
    ]
}

/// What changes the corpus itself, and what brings it licences that are concerned.
fn corpus() -> impl Strategy<Value = Step> {
    let (lab, order, case) = (0..LABS, any::<Index>(), any::<Index>());
    let to = prop_oneof![
        6 => Just(None::<TakedownState>),
        4 => Just(Some(TakedownState::Upheld)),
        1 => select(TakedownState::ALL).prop_map(Some),
    ];
    prop_oneof![
        8 => (lab.clone(), PRICE..3 * PRICE).prop_map(|(lab, fen)| Step::Deposit { lab, fen }),
        8 => lab.prop_map(|lab| Step::Place { lab }),
        16 => order.clone().prop_map(Step::Sign),
        16 => order.prop_map(Step::Pay),
        4 => Just(Step::Pause),
        8 => Just(Step::Resume),
        1 => Just(Step::Delist),
        4 => Just(Step::Claim),
        40 => (case.clone(), to).prop_map(|(case, to)| Step::Examine { case, to }),
        16 => case.clone().prop_map(Step::Counter),
        3 => case.prop_map(Step::AnswerRecalls),
        10 => Just(Step::MarkOverdue),
        7 => Just(Step::Wait { days: 15 }),
    ]
}
