//! Deposits: money that arrived at the bank for an organisation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::AccountRef;
use super::postings::{TransactionKind, post, transaction_of};
use super::{approval, queries};
use crate::config::Config;
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller};
use crate::text_enum;
use crate::types::{Currency, DepositId, Instant, Money, OrganisationId, PageQuery, TransactionId, UserId, kind, text};

text_enum! {
    /// Where a deposit is in its life.
    pub enum DepositState {
        /// Recorded by one operator; a second must approve it. Nothing was credited yet.
        AwaitingApproval = "awaiting_approval",
        /// Credited to the wallet.
        Posted = "posted",
        /// Not approved; nothing moved.
        Refused = "refused",
        /// One operator found it wrong; a second must approve its reversal. It is still credited.
        Reversing = "reversing",
        /// It was wrong, and its opposite was posted.
        Reversed = "reversed",
    }
}

impl DepositState {
    /// Whether a deposit in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use DepositState::{AwaitingApproval, Posted, Refused, Reversed, Reversing};
        matches!(
            (self, next),
            (AwaitingApproval, Posted | Refused) | (Posted, Reversing | Reversed) | (Reversing, Posted | Reversed)
        )
    }
}

/// Money that arrived at the exchange's bank for an organisation.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::deposits, check_for_backend(crate::db::MultiBackend))]
pub struct Deposit {
    /// Its identifier.
    pub id: DepositId,
    /// Whose wallet it credits.
    pub organisation_id: OrganisationId,
    /// What arrived, in minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
    /// The bank's reference.
    pub reference: String,
    /// Where it is in its life.
    pub state: DepositState,
    /// The operator who recorded it, or who last asked for its reversal.
    pub proposed_by: UserId,
    /// When it was recorded.
    pub recorded_at: Instant,
}

impl Deposit {
    /// Whether it was credited, then or now. The reference of one that was not may have been used by another since.
    fn was_credited(&self) -> bool {
        !matches!(self.state, DepositState::AwaitingApproval | DepositState::Refused)
    }
    /// What arrived.
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// What an operator read from the bank's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeposit {
    /// The handle of the organisation whose wallet is credited.
    pub organisation: String,
    /// What arrived; above zero.
    pub amount: Money,
    /// The bank's reference, 1 to 140 characters. It can be used once, unless the deposit is refused.
    #[schema(min_length = 1, max_length = 140)]
    pub reference: String,
}

/// Records that money arrived for an organisation, and credits its wallet: at once, or when a second operator approves.
///
/// # Errors
/// `Forbidden` for everybody but operators; `Invalid`; `AlreadyExists` when the reference was used before.
pub fn record(c: &mut Conn, caller: &Caller, config: &Config, input: &NewDeposit, now: Instant) -> Result<Deposit> {
    caller.require_standing_operator(c, now)?;
    let organisation = identity::find_organisation(c, &input.organisation).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&organisation).map_err(|e| e.field("organisation"))?;
    approval::check_amount(input.amount)?;
    approval::check_reference("reference", &input.reference)?;
    if let Some(standing) = queries::find_deposit_by_reference(c, &input.reference)? {
        let detail = format!("the reference {:?} is that of {}, {}", input.reference, standing.id, standing.state);
        return Err(Error::new(Kind::AlreadyExists, detail)
            .field("reference")
            .remedy("a reference works once; check whether this is the same deposit"));
    }
    let deposit = Deposit {
        id: DepositId::new(now),
        organisation_id: organisation.id,
        amount_minor: input.amount.amount_minor,
        currency: input.amount.currency,
        reference: input.reference.clone(),
        state: match approval::is_needed(c, caller, config, input.amount, now)? {
            true => DepositState::AwaitingApproval,
            false => DepositState::Posted,
        },
        proposed_by: caller.user_id,
        recorded_at: now,
    };
    queries::insert_deposit(c, &deposit)?;
    history::record(c, deposit.id, None, deposit.state.as_str(), caller.user_id, &deposit.reference, now)?;
    if deposit.state == DepositState::Posted {
        credit(c, &deposit, now)?;
    }
    Ok(deposit)
}

/// A second operator approves what waits: the deposit, or its reversal.
///
/// # Errors
/// `WrongState` when nothing waits; `Forbidden` for the operator who recorded it; those of [`super::post`].
pub fn approve(c: &mut Conn, caller: &Caller, id: DepositId, now: Instant) -> Result<Deposit> {
    caller.require_standing_operator(c, now)?;
    let deposit = find(c, id)?;
    let next = match deposit.state {
        DepositState::AwaitingApproval => DepositState::Posted,
        DepositState::Reversing => DepositState::Reversed,
        _ => return Err(nothing_waits(&deposit)),
    };
    approval::require_another(caller, deposit.proposed_by)?;
    match next {
        DepositState::Posted => credit(c, &deposit, now)?,
        _ => take_back(c, &deposit, now)?,
    }
    advance(c, caller, deposit, next, "approved by a second operator", now)
}

/// An operator refuses what waits: a deposit, which is then never credited, or a reversal, and the deposit stays credited.
///
/// # Errors
/// `WrongState` when nothing waits; `Invalid` without a reason.
pub fn refuse(c: &mut Conn, caller: &Caller, id: DepositId, reason: &str, now: Instant) -> Result<Deposit> {
    caller.require_standing_operator(c, now)?;
    let reason = text::reason(reason)?;
    let deposit = find(c, id)?;
    let next = match deposit.state {
        DepositState::AwaitingApproval => DepositState::Refused,
        DepositState::Reversing => DepositState::Posted,
        _ => return Err(nothing_waits(&deposit)),
    };
    advance(c, caller, deposit, next, &reason, now)
}

/// An operator takes a wrong deposit back: at once, or when a second operator approves.
///
/// # Errors
/// `WrongState` unless it is credited; `Invalid` without a reason; `InsufficientFunds` when it was spent.
pub fn reverse(
    c: &mut Conn,
    caller: &Caller,
    config: &Config,
    id: DepositId,
    reason: &str,
    now: Instant,
) -> Result<Deposit> {
    caller.require_standing_operator(c, now)?;
    let reason = text::reason(reason)?;
    let deposit = find(c, id)?;
    if deposit.state != DepositState::Posted {
        return Err(wrong_state(&deposit, "only what is posted can be reversed"));
    }
    let next = match approval::is_needed(c, caller, config, deposit.amount(), now)? {
        true => DepositState::Reversing,
        false => DepositState::Reversed,
    };
    if next == DepositState::Reversed {
        take_back(c, &deposit, now)?;
    }
    queries::set_deposit_proposer(c, id, caller.user_id)?;
    advance(c, caller, Deposit { proposed_by: caller.user_id, ..deposit }, next, &reason, now)
}

/// The deposits that the caller may know of, oldest first: those of its organisations, or all for the exchange's staff.
/// Up to one more than a page.
pub fn deposits(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Deposit>> {
    let own = caller.organisations();
    let only_of = (!caller.is_staff()).then_some(own.as_slice());
    Ok(queries::list_deposits(c, only_of, page.after_id::<kind::Deposit>()?, page.limit()?.saturating_add(1))?)
}

/// The ledger transaction that credited a deposit, if one did. Callers authorise.
pub fn transaction(c: &mut Conn, deposit: &Deposit) -> Result<Option<TransactionId>> {
    let Deposit { reference, .. } = deposit;
    match deposit.was_credited() {
        true => db::load_once(c, reference, |c| transaction_of(c, TransactionKind::Deposit, reference)),
        false => Ok(None),
    }
}

/// Loads the transactions that credited these deposits together, for a page that asks [`transaction`] for each.
pub fn load_transactions(c: &mut Conn, deposits: &[Deposit]) -> Result<()> {
    let credited = deposits.iter().filter(|deposit| deposit.was_credited());
    let references = credited.map(|deposit| deposit.reference.clone());
    Ok(db::load_ahead(c, references, |c, references| {
        queries::list_transactions(c, TransactionKind::Deposit, references)
    })?)
}

fn find(c: &mut Conn, id: DepositId) -> Result<Deposit> {
    queries::find_deposit(c, id)?.ok_or_else(|| Error::not_found(format!("deposit {id}")))
}

fn credit(c: &mut Conn, deposit: &Deposit, now: Instant) -> Result<()> {
    let (amount, wallet) = (deposit.amount(), AccountRef::Wallet(deposit.organisation_id));
    let lines = [(AccountRef::Bank, amount.negated()?), (wallet, amount)];
    post(c, TransactionKind::Deposit, &deposit.reference, &lines, now).map(drop)
}

fn take_back(c: &mut Conn, deposit: &Deposit, now: Instant) -> Result<()> {
    let (amount, wallet) = (deposit.amount(), AccountRef::Wallet(deposit.organisation_id));
    let wrong = transaction(c, deposit)?.ok_or_else(|| Error::internal(format!("{} was never posted", deposit.id)))?;
    let lines = [(wallet, amount.negated()?), (AccountRef::Bank, amount)];
    post(c, TransactionKind::Reversal, &wrong.to_string(), &lines, now).map(drop)
}

/// Moves a deposit to its next state, if it is still where it was read.
fn advance(
    c: &mut Conn,
    caller: &Caller,
    deposit: Deposit,
    to: DepositState,
    reason: &str,
    now: Instant,
) -> Result<Deposit> {
    let from = deposit.state;
    if !from.may_become(to) || queries::set_deposit_state(c, deposit.id, from, to)? != 1 {
        return Err(wrong_state(&deposit, &format!("it cannot become {to}")));
    }
    history::record(c, deposit.id, Some(from.as_str()), to.as_str(), caller.user_id, reason, now)?;
    Ok(Deposit { state: to, ..deposit })
}

/// The organisation whose wallet a deposit credits.
///
/// # Errors
/// `NotFound`.
pub fn beneficiary(c: &mut Conn, id: DepositId) -> Result<OrganisationId> {
    Ok(find(c, id)?.organisation_id)
}

fn nothing_waits(deposit: &Deposit) -> Error {
    wrong_state(deposit, "nothing about it waits for a decision")
}

fn wrong_state(deposit: &Deposit, why: &str) -> Error {
    Error::new(Kind::WrongState, format!("deposit {} is {}: {why}", deposit.id, deposit.state))
}
