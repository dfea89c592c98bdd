//! Withdrawals: money that an organisation has paid out to its bank account.
//!
//! The request moves the amount from the wallet or the payable to what is held, where nothing else can spend it. An operator
//! takes it up, has the bank pay, and records the bank's reference: the amount leaves the books. Until it is taken up, which beyond
//! an amount takes two operators, the organisation may take its request back, and a dispute may stop it; from then on it is only
//! paid, or found not to be paid, and the amount returns to where it came from.
//!
//! Invariant: what an operator has the bank pay is neither cancelled nor stopped meanwhile, nor taken up by another operator.
//! Invariant: at most so many requests of an organisation wait to be taken up: a dispute has no more than those to stop.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::{AccountRef, balance};
use super::postings::{TransactionKind, post, transaction_of};
use super::{approval, queries};
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::text_enum;
use crate::types::{Currency, Instant, Money, OrganisationId, PageQuery, UserId, WithdrawalId, kind, text};

/// How many requests of an organisation may wait to be taken up.
const MOST_WAITING: i64 = 10;

text_enum! {
    /// The account from which a withdrawal takes the money.
    pub enum Source {
        /// What was deposited and not spent.
        Wallet = "wallet",
        /// What was earned.
        Payable = "payable",
    }
}

text_enum! {
    /// Where a withdrawal is in its life.
    pub enum WithdrawalState {
        /// The amount is held, and waits for an operator to take it up.
        Requested = "requested",
        /// One operator would take it up; a second must approve. The amount is still held.
        AwaitingApproval = "awaiting_approval",
        /// Taken up: an operator has the bank pay it. The amount is still held.
        Processing = "processing",
        /// The bank has paid.
        Executed = "executed",
        /// Refused by an operator; the amount went back.
        Refused = "refused",
        /// Taken back by the organisation; the amount went back.
        Cancelled = "cancelled",
        /// Stopped by a dispute; the amount went back, and the dispute froze what it needs of it.
        Stopped = "stopped",
        /// One operator found that the bank has not paid; a second must approve the reversal.
        Reversing = "reversing",
        /// The bank did not pay, or the payment came back; the amount went back.
        Reversed = "reversed",
    }
}

impl WithdrawalState {
    /// Whether a withdrawal in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use WithdrawalState::{
            AwaitingApproval, Cancelled, Executed, Processing, Refused, Requested, Reversed, Reversing, Stopped,
        };
        matches!(
            (self, next),
            (Requested, AwaitingApproval | Processing | Refused | Cancelled | Stopped)
                | (AwaitingApproval, Processing | Refused | Cancelled | Stopped)
                | (Processing, Executed | Reversing | Reversed)
                | (Executed, Reversing | Reversed)
                | (Reversing, Processing | Executed | Reversed)
        )
    }
}

/// A payout.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::withdrawals, check_for_backend(crate::db::MultiBackend))]
pub struct Withdrawal {
    /// Its identifier.
    pub id: WithdrawalId,
    /// Who is paid.
    pub organisation_id: OrganisationId,
    /// Where the money comes from.
    pub source: Source,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
    /// The bank account to pay to, in the organisation's words.
    pub pay_to: String,
    /// The bank's reference, once it has paid: before, the amount is held.
    pub reference: Option<String>,
    /// Where it is in its life.
    pub state: WithdrawalState,
    /// Who asked for it, or the operator who took it up, or who found that the bank has not paid.
    pub proposed_by: UserId,
    /// When it was requested.
    pub requested_at: Instant,
}

impl Withdrawal {
    /// How much.
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
    fn source(&self) -> AccountRef {
        match self.source {
            Source::Wallet => AccountRef::Wallet(self.organisation_id),
            Source::Payable => AccountRef::Payable(self.organisation_id),
        }
    }
    fn held(&self) -> AccountRef {
        AccountRef::Held(self.organisation_id)
    }
}

/// What an organisation wants paid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWithdrawal {
    /// How much; above zero.
    pub amount: Money,
    /// `wallet` or `payable`.
    pub from: Source,
    /// The bank account to pay to, 1 to 140 characters.
    #[schema(min_length = 1, max_length = 140)]
    pub pay_to: String,
}

/// Holds an amount of an organisation's money for payout.
///
/// # Errors
/// `NotFound` and `Forbidden` for those who may not; `Invalid`; `WrongState` when too many wait to be taken up;
/// `InsufficientFunds` when the account holds less.
pub fn request(c: &mut Conn, caller: &Caller, handle: &str, input: &NewWithdrawal, now: Instant) -> Result<Withdrawal> {
    let organisation = identity::for_standing_member(c, caller, handle, Role::TRADERS, now)?;
    approval::check_amount(input.amount)?;
    approval::check_reference("pay_to", &input.pay_to)?;
    if queries::count_waiting_withdrawals(c, organisation.id)? >= MOST_WAITING {
        let detail = format!("{MOST_WAITING} withdrawals of {handle} wait to be taken up");
        return Err(Error::new(Kind::WrongState, detail)
            .remedy("wait until an operator takes one of them up, or cancel one and ask for both amounts together"));
    }
    let withdrawal = Withdrawal {
        id: WithdrawalId::new(now),
        organisation_id: organisation.id,
        source: input.from,
        amount_minor: input.amount.amount_minor,
        currency: input.amount.currency,
        pay_to: input.pay_to.clone(),
        reference: None,
        state: WithdrawalState::Requested,
        proposed_by: caller.user_id,
        requested_at: now,
    };
    let lines = [(withdrawal.source(), input.amount.negated()?), (withdrawal.held(), input.amount)];
    post(c, TransactionKind::WithdrawalHold, &withdrawal.id.to_string(), &lines, now).map_err(|error| {
        if error.kind == Kind::InsufficientFunds { error.field("amount.amount_minor") } else { error }
    })?;
    queries::insert_withdrawal(c, &withdrawal)?;
    history::record(c, withdrawal.id, None, withdrawal.state.as_str(), caller.user_id, "asked for", now)?;
    Ok(withdrawal)
}

/// The organisation takes its request back, until an operator has taken it up.
///
/// # Errors
/// `NotFound` and `Forbidden` for those who may not; `WrongState` once it is taken up, or at its end.
pub fn cancel(c: &mut Conn, caller: &Caller, id: WithdrawalId, now: Instant) -> Result<Withdrawal> {
    let withdrawal = visible(c, caller, id)?;
    caller.may_for(withdrawal.organisation_id, "the organisation that asked for it", Role::TRADERS)?;
    if !withdrawal.state.may_become(WithdrawalState::Cancelled) {
        return Err(wrong_state(&withdrawal, "it can be cancelled until an operator has taken it up"));
    }
    release(c, &withdrawal, now)?;
    advance(c, caller.user_id, withdrawal, WithdrawalState::Cancelled, "taken back", now)
}

/// Stops payouts of an organisation's payable that no operator has taken up, newest first and each as a whole, until the payable
/// holds `wanted` or none is left to stop. Gives what the payable holds then. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn stop(
    c: &mut Conn,
    organisation: OrganisationId,
    wanted: Money,
    (actor, reason): (UserId, &str),
    now: Instant,
) -> Result<Money> {
    let mut there = balance(c, AccountRef::Payable(organisation), wanted.currency)?;
    for withdrawal in queries::list_waiting_payouts(c, organisation, wanted.currency, MOST_WAITING)? {
        if there.amount_minor >= wanted.amount_minor {
            break;
        }
        there = there.plus(withdrawal.amount())?;
        release(c, &withdrawal, now)?;
        advance(c, actor, withdrawal, WithdrawalState::Stopped, reason, now)?;
    }
    Ok(there)
}

/// An operator takes a request up, at once or when a second operator approves. From then on only operators change anything about
/// it, and the bank is to pay it.
///
/// # Errors
/// `WrongState` unless it is requested.
pub fn process(c: &mut Conn, caller: &Caller, config: &Config, id: WithdrawalId, now: Instant) -> Result<Withdrawal> {
    caller.require_standing_operator(c, now)?;
    let withdrawal = find(c, id)?;
    if withdrawal.state != WithdrawalState::Requested {
        return Err(wrong_state(&withdrawal, "it can be taken up while it is requested"));
    }
    let next = match approval::is_needed(c, caller, config, withdrawal.amount(), now)? {
        true => WithdrawalState::AwaitingApproval,
        false => WithdrawalState::Processing,
    };
    queries::set_withdrawal_proposer(c, id, caller.user_id)?;
    advance(c, caller.user_id, Withdrawal { proposed_by: caller.user_id, ..withdrawal }, next, "taken up", now)
}

/// An operator records that the bank has paid: the amount leaves the books.
///
/// # Errors
/// `WrongState` unless it is taken up; `Invalid`; `AlreadyExists` when the reference was used before.
pub fn execute(c: &mut Conn, caller: &Caller, id: WithdrawalId, reference: &str, now: Instant) -> Result<Withdrawal> {
    caller.require_standing_operator(c, now)?;
    approval::check_reference("reference", reference)?;
    let withdrawal = find(c, id)?;
    if withdrawal.state != WithdrawalState::Processing {
        return Err(wrong_state(&withdrawal, "it can be recorded as paid while it is processing"));
    }
    if let Some(standing) = queries::find_withdrawal_by_reference(c, reference)? {
        let detail = format!("the reference {reference:?} is that of {}, {}", standing.id, standing.state);
        return Err(Error::new(Kind::AlreadyExists, detail)
            .field("reference")
            .remedy("a reference works once; check whether this is the same payment"));
    }
    let lines = [(withdrawal.held(), withdrawal.amount().negated()?), (AccountRef::Bank, withdrawal.amount())];
    post(c, TransactionKind::Withdrawal, reference, &lines, now)?;
    let paid = advance(c, caller.user_id, withdrawal, WithdrawalState::Executed, reference, now)?;
    queries::set_withdrawal_reference(c, id, reference)?;
    Ok(Withdrawal { reference: Some(reference.to_string()), ..paid })
}

/// A second operator approves what waits: that it is taken up, or its reversal.
///
/// # Errors
/// `WrongState` when nothing waits; `Forbidden` for the operator who took it up, or found that the bank has not paid.
pub fn approve(c: &mut Conn, caller: &Caller, id: WithdrawalId, now: Instant) -> Result<Withdrawal> {
    caller.require_standing_operator(c, now)?;
    let withdrawal = find(c, id)?;
    let next = match withdrawal.state {
        WithdrawalState::AwaitingApproval => WithdrawalState::Processing,
        WithdrawalState::Reversing => WithdrawalState::Reversed,
        _ => return Err(wrong_state(&withdrawal, "nothing about it waits for approval")),
    };
    approval::require_another(caller, withdrawal.proposed_by)?;
    if next == WithdrawalState::Reversed {
        take_back(c, &withdrawal, now)?;
    }
    advance(c, caller.user_id, withdrawal, next, "approved by a second operator", now)
}

/// An operator refuses what waits: the request, and the amount goes back; or a reversal, and it is processing or paid as before.
///
/// # Errors
/// `WrongState` when nothing waits; `Invalid` without a reason.
pub fn refuse(c: &mut Conn, caller: &Caller, id: WithdrawalId, reason: &str, now: Instant) -> Result<Withdrawal> {
    caller.require_standing_operator(c, now)?;
    let reason = text::reason(reason)?;
    let withdrawal = find(c, id)?;
    let next = match withdrawal.state {
        WithdrawalState::Requested | WithdrawalState::AwaitingApproval => WithdrawalState::Refused,
        WithdrawalState::Reversing if withdrawal.reference.is_none() => WithdrawalState::Processing,
        WithdrawalState::Reversing => WithdrawalState::Executed,
        _ => return Err(wrong_state(&withdrawal, "nothing about it waits for a decision")),
    };
    if next == WithdrawalState::Refused {
        release(c, &withdrawal, now)?;
    }
    advance(c, caller.user_id, withdrawal, next, &reason, now)
}

/// An operator records that the bank does not pay what was taken up, or that what it paid came back: at once, or when a second
/// operator approves.
///
/// # Errors
/// `WrongState` unless it is processing or executed; `Invalid` without a reason.
pub fn reverse(
    c: &mut Conn,
    caller: &Caller,
    config: &Config,
    id: WithdrawalId,
    reason: &str,
    now: Instant,
) -> Result<Withdrawal> {
    caller.require_standing_operator(c, now)?;
    let reason = text::reason(reason)?;
    let withdrawal = find(c, id)?;
    if !matches!(withdrawal.state, WithdrawalState::Processing | WithdrawalState::Executed) {
        return Err(wrong_state(&withdrawal, "only what is processing or executed can be reversed"));
    }
    let next = match approval::is_needed(c, caller, config, withdrawal.amount(), now)? {
        true => WithdrawalState::Reversing,
        false => WithdrawalState::Reversed,
    };
    if next == WithdrawalState::Reversed {
        take_back(c, &withdrawal, now)?;
    }
    queries::set_withdrawal_proposer(c, id, caller.user_id)?;
    advance(c, caller.user_id, Withdrawal { proposed_by: caller.user_id, ..withdrawal }, next, &reason, now)
}

/// The withdrawals that the caller may know of, oldest first: those of its organisations, or all for the exchange's
/// staff. Up to one more than a page.
pub fn withdrawals(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Withdrawal>> {
    let own = caller.organisations();
    let only_of = (!caller.is_staff()).then_some(own.as_slice());
    Ok(queries::list_withdrawals(c, only_of, page.after_id::<kind::Withdrawal>()?, page.limit()?.saturating_add(1))?)
}

fn find(c: &mut Conn, id: WithdrawalId) -> Result<Withdrawal> {
    queries::find_withdrawal(c, id)?.ok_or_else(|| Error::not_found(named(id)))
}

fn visible(c: &mut Conn, caller: &Caller, id: WithdrawalId) -> Result<Withdrawal> {
    let withdrawal = find(c, id)?;
    if caller.sees(withdrawal.organisation_id) {
        return Ok(withdrawal);
    }
    Err(Error::withheld(named(id)))
}

/// Undoes a payout that the bank did not make: posts the opposite of the payment, if that was recorded, and releases the amount.
fn take_back(c: &mut Conn, withdrawal: &Withdrawal, now: Instant) -> Result<()> {
    if let Some(reference) = &withdrawal.reference {
        let paid = transaction_of(c, TransactionKind::Withdrawal, reference)?
            .ok_or_else(|| Error::internal(format!("{} was never paid", withdrawal.id)))?;
        let lines = [(AccountRef::Bank, withdrawal.amount().negated()?), (withdrawal.held(), withdrawal.amount())];
        post(c, TransactionKind::Reversal, &paid.to_string(), &lines, now)?;
    }
    release(c, withdrawal, now)
}

/// Moves the amount of a withdrawal from what is held for payout back to where it came from.
fn release(c: &mut Conn, withdrawal: &Withdrawal, now: Instant) -> Result<()> {
    let lines = [(withdrawal.held(), withdrawal.amount().negated()?), (withdrawal.source(), withdrawal.amount())];
    post(c, TransactionKind::WithdrawalRelease, &withdrawal.id.to_string(), &lines, now).map(drop)
}

/// Moves a withdrawal to its next state, if it is still where it was read.
fn advance(
    c: &mut Conn,
    actor: UserId,
    withdrawal: Withdrawal,
    to: WithdrawalState,
    reason: &str,
    now: Instant,
) -> Result<Withdrawal> {
    let from = withdrawal.state;
    if !from.may_become(to) || queries::set_withdrawal_state(c, withdrawal.id, from, to)? != 1 {
        return Err(wrong_state(&withdrawal, &format!("it cannot become {to}")));
    }
    history::record(c, withdrawal.id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    Ok(Withdrawal { state: to, ..withdrawal })
}

/// The organisation that a withdrawal pays.
///
/// # Errors
/// `NotFound`.
pub fn payee(c: &mut Conn, id: WithdrawalId) -> Result<OrganisationId> {
    Ok(find(c, id)?.organisation_id)
}

fn named(id: WithdrawalId) -> String {
    format!("withdrawal {id}")
}

fn wrong_state(withdrawal: &Withdrawal, why: &str) -> Error {
    Error::new(Kind::WrongState, format!("withdrawal {} is {}: {why}", withdrawal.id, withdrawal.state))
}
