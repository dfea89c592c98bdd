//! Vouchers (语料券): public programmes that pay a part of purchases.
//!
//! A funder fills a programme's pool from its wallet. At payment the pool pays its rate of the price into escrow, in
//! the same transaction as the buyer pays the rest; on a refund the same part of it goes back. What was used where is a
//! file for the funder.
//!
//! Invariant: what a pool holds is what was paid in and clawed back, less what was used and returned; never below zero.
//! Invariant: nobody gets a voucher for a purchase that pays a party which it belongs to, or from a programme of such a party.

pub mod file;
mod queries;
pub mod routes;
mod uses;

pub use file::{MovementKind, VoucherMovement};
pub use uses::{Voucher, apply, refund_lines};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog::Domain;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::types::{Currency, Instant, Json, Money, MovementId, OrganisationId, PageQuery, ProgrammeId, kind, text};

/// The most that a programme pays of a price: thirty per cent.
pub const MAX_RATE_BASIS_POINTS: i64 = 3000;
const MAX_NAME_CHARS: usize = 200;

/// A public programme that subsidises purchases.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::voucher_programmes, check_for_backend(crate::db::MultiBackend))]
pub struct Programme {
    /// Its identifier.
    pub id: ProgrammeId,
    /// Who pays for it.
    pub funder_id: OrganisationId,
    /// Its name.
    pub name: String,
    /// For prices in this currency.
    pub currency: Currency,
    /// Its part of each price, in basis points.
    pub rate_basis_points: i64,
    /// The most that one buyer gets, in minor units.
    pub cap_minor: i64,
    /// What a corpus must be about.
    pub domains: Json<Vec<Domain>>,
    /// Since when it pays.
    pub starts_at: Instant,
    /// Until when, that moment excluded.
    pub ends_at: Instant,
    /// When it was announced.
    pub created_at: Instant,
}

impl Programme {
    /// The most that one buyer gets.
    pub fn cap(&self) -> Money {
        Money::new(self.cap_minor, self.currency)
    }
    fn pool(&self) -> AccountRef {
        AccountRef::Vouchers(self.id)
    }
}

/// What a funder announces.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProgramme {
    /// The funder's handle.
    pub organisation: String,
    /// Its name, at most 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What is put in now, from the funder's wallet; above zero. The programme pays in this currency.
    pub pool: Money,
    /// Its part of each price in basis points, 1 to 3,000.
    #[schema(minimum = 1, maximum = 3000)]
    pub rate_basis_points: i64,
    /// The most that one buyer gets, in minor units; above zero.
    #[schema(minimum = 1)]
    pub cap_minor: i64,
    /// What a corpus must be about; one or more.
    #[schema(min_items = 1)]
    pub domains: Vec<Domain>,
    /// Since when it pays.
    pub starts_at: Instant,
    /// Until when, that moment excluded.
    pub ends_at: Instant,
}

impl NewProgramme {
    fn check(&self) -> Result<()> {
        let refuse = |field: &str, detail: String, remedy: &str| Err(Error::invalid(field, detail).remedy(remedy));
        if !(1..=MAX_RATE_BASIS_POINTS).contains(&self.rate_basis_points) {
            let detail = format!("a rate of {} basis points", self.rate_basis_points);
            return refuse("rate_basis_points", detail, "give 1 to 3000: at most 30 % of a price");
        }
        if self.cap_minor <= 0 {
            return refuse(
                "cap_minor",
                format!("a cap of {} gives nothing", self.cap_minor),
                "give an amount above zero",
            );
        }
        if self.domains.is_empty() {
            return refuse("domains", "no corpus is eligible".to_string(), "name one domain or more");
        }
        if self.ends_at <= self.starts_at {
            let detail = format!("the period from {} ends at {}, before it begins", self.starts_at, self.ends_at);
            return refuse("ends_at", detail, "give a time after `starts_at`");
        }
        Ok(())
    }
}

/// A funder announces a programme and fills its pool.
///
/// # Errors
/// `NotFound` and `Forbidden` for those who may not act for the funder; `Invalid`; `InsufficientFunds`.
pub fn announce(c: &mut Conn, caller: &Caller, input: &NewProgramme, now: Instant) -> Result<Programme> {
    let funder = identity::for_standing_member(c, caller, &input.organisation, Role::TRADERS, now)
        .map_err(|e| e.field("organisation"))?;
    identity::require_verified(&funder).map_err(|e| e.field("organisation"))?;
    input.check()?;
    let mut domains = input.domains.clone();
    domains.sort();
    domains.dedup();
    let programme = Programme {
        id: ProgrammeId::new(now),
        funder_id: funder.id,
        name: text::readable("name", &input.name, MAX_NAME_CHARS)?,
        currency: input.pool.currency,
        rate_basis_points: input.rate_basis_points,
        cap_minor: input.cap_minor,
        domains: Json(domains),
        starts_at: input.starts_at,
        ends_at: input.ends_at,
        created_at: now,
    };
    queries::insert_programme(c, &programme)?;
    history::record(c, programme.id, None, "announced", caller.user_id, "by its funder", now)?;
    fill(c, &programme, ("pool", input.pool), now)?;
    Ok(programme)
}

/// A funder puts more into the pool, from its wallet.
///
/// # Errors
/// As [`announce`]; `WrongState` once the programme has ended.
pub fn fund(c: &mut Conn, caller: &Caller, id: ProgrammeId, amount: Money, now: Instant) -> Result<Programme> {
    let programme = programme(c, id)?;
    let funder = identity::organisation(c, programme.funder_id)?.handle;
    identity::for_standing_member(c, caller, &funder, Role::TRADERS, now)?;
    if programme.ends_at <= now {
        let detail = format!("programme {id} ended at {}", programme.ends_at);
        return Err(Error::new(Kind::WrongState, detail).remedy("announce another programme"));
    }
    if amount.currency != programme.currency {
        let detail = format!("the programme pays in {}, not in {}", programme.currency, amount.currency);
        return Err(Error::invalid("amount.currency", detail).remedy("use the currency of the programme"));
    }
    fill(c, &programme, ("amount", amount), now)?;
    Ok(programme)
}

/// A funder takes back what an ended programme has left. What is clawed back later can be taken back again.
///
/// # Errors
/// As [`fund`]; `WrongState` until the programme has ended, and when nothing is left.
pub fn take_back_rest(c: &mut Conn, caller: &Caller, id: ProgrammeId, now: Instant) -> Result<Programme> {
    let programme = programme(c, id)?;
    caller.may_for(programme.funder_id, "the programme's funder", Role::TRADERS)?;
    if now < programme.ends_at {
        let detail = format!("programme {id} pays until {}", programme.ends_at);
        return Err(Error::new(Kind::WrongState, detail).remedy("take back what is left when it has ended"));
    }
    let rest = pool(c, &programme)?;
    if rest.amount_minor == 0 {
        return Err(Error::new(Kind::WrongState, format!("programme {id} has nothing left"))
            .remedy("nothing is to be done until a refund gives some back"));
    }
    let movement = movement(c, &programme, MovementKind::Return, rest.negated()?, now)?;
    let lines = [(programme.pool(), rest.negated()?), (AccountRef::Wallet(programme.funder_id), rest)];
    ledger::post(c, TransactionKind::VoucherReturn, &movement.id.to_string(), &lines, now)?;
    queries::insert_movement(c, &movement)?;
    Ok(programme)
}

/// Moves an amount, which the request gives in `field`, from the funder's wallet into the pool.
fn fill(c: &mut Conn, programme: &Programme, (field, amount): (&str, Money), now: Instant) -> Result<()> {
    let field = format!("{field}.amount_minor");
    if amount.amount_minor <= 0 {
        let detail = format!("{amount} is not above zero");
        return Err(Error::invalid(field, detail).remedy("give whole minor units above zero"));
    }
    let movement = movement(c, programme, MovementKind::Funding, amount, now)?;
    let lines = [(AccountRef::Wallet(programme.funder_id), amount.negated()?), (programme.pool(), amount)];
    ledger::post(c, TransactionKind::VoucherFunding, &movement.id.to_string(), &lines, now)
        .map_err(|error| if error.kind == Kind::InsufficientFunds { error.field(field) } else { error })?;
    queries::insert_movement(c, &movement)?;
    Ok(())
}

/// A change of a programme's pool, whose identifier sorts after those of the changes before, whatever the clock says.
fn movement(
    c: &mut Conn,
    programme: &Programme,
    kind: MovementKind,
    amount: Money,
    now: Instant,
) -> Result<queries::Movement> {
    Ok(queries::Movement {
        id: MovementId::after(queries::find_last_movement(c, programme.id)?, now),
        programme_id: programme.id,
        kind,
        order_id: None,
        buyer_id: None,
        amount_minor: amount.amount_minor,
        moved_at: now,
    })
}

/// A programme; everybody may see it.
pub fn programme(c: &mut Conn, id: ProgrammeId) -> Result<Programme> {
    queries::find_programme(c, id)?.ok_or_else(|| Error::not_found(format!("programme {id}")))
}

/// The programmes, oldest first: up to one more than a page.
pub fn programmes(c: &mut Conn, page: &PageQuery) -> Result<Vec<Programme>> {
    Ok(queries::list_programmes(c, page.after_id::<kind::Programme>()?, page.limit()?.saturating_add(1))?)
}

/// What a programme's pool holds.
pub fn pool(c: &mut Conn, programme: &Programme) -> Result<Money> {
    ledger::balance(c, programme.pool(), programme.currency)
}

/// What the movements of each programme sum to: what must be in its pool.
pub fn pools(c: &mut Conn) -> Result<Vec<(ProgrammeId, Currency, i64)>> {
    Ok(queries::sum_movements_of_programmes(c)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_of_a_programme_is_named() {
        let good = NewProgramme {
            organisation: "city-bureau".into(),
            name: "语料券 2026".into(),
            pool: Money::new(1, Currency::CNY),
            rate_basis_points: 3000,
            cap_minor: 1,
            domains: vec![Domain::Education],
            starts_at: Instant::from_unix_micros(0),
            ends_at: Instant::from_unix_micros(1),
        };
        good.check().unwrap();
        let field = |change: &dyn Fn(&mut NewProgramme)| {
            let mut input = good.clone();
            change(&mut input);
            input.check().unwrap_err().field.unwrap()
        };
        for rate in [0, -1, 3001, i64::MAX] {
            assert_eq!(field(&|p| p.rate_basis_points = rate), "rate_basis_points");
        }
        assert_eq!(field(&|p| p.cap_minor = 0), "cap_minor");
        assert_eq!(field(&|p| p.domains.clear()), "domains");
        assert_eq!(field(&|p| p.ends_at = p.starts_at), "ends_at");
    }
}
