//! The four-eyes rule: in a day (UTC), an operator alone moves at most a configured amount between the bank and the
//! exchange. Anything beyond takes two operators: one records it, or takes it up, and another approves it; nothing moves
//! before.

use super::queries;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::types::{Instant, Money, UserId, text};

/// The longest reference, in characters: what bank statements carry.
const MAX_REFERENCE_CHARS: usize = 140;

/// Whether a step of this amount takes a second operator: with what the caller has moved alone today it exceeds what one
/// operator may move. Minor units of all currencies count alike.
pub(super) fn is_needed(c: &mut Conn, caller: &Caller, config: &Config, amount: Money, now: Instant) -> Result<bool> {
    let alone = queries::sum_moved_alone(c, caller.user_id, now.day_began())?;
    Ok(alone.checked_add(amount.amount_minor).is_none_or(|moved| moved > config.approval_above))
}

/// Refuses the operator who recorded the step that waits.
pub(super) fn require_another(caller: &Caller, proposed_by: UserId) -> Result<()> {
    if caller.user_id != proposed_by {
        return Ok(());
    }
    Err(Error::forbidden("this step is yours, and a second operator must approve it").remedy("ask another operator"))
}

/// Refuses an amount that moves nothing, or moves it backwards.
pub(super) fn check_amount(amount: Money) -> Result<()> {
    if amount.amount_minor > 0 {
        return Ok(());
    }
    let detail = format!("{amount} is not above zero");
    Err(Error::invalid("amount.amount_minor", detail)
        .remedy("give whole minor units above zero, such as 100 for CNY 1.00"))
}

/// Refuses what no bank statement can carry; `field` is what the caller calls it.
pub(super) fn check_reference(field: &str, reference: &str) -> Result<()> {
    if text::readable(field, reference, MAX_REFERENCE_CHARS).is_ok_and(|trimmed| trimmed == reference) {
        return Ok(());
    }
    let detail =
        format!("{reference:?} is not 1 to {MAX_REFERENCE_CHARS} printed characters without space around them");
    Err(Error::invalid(field, detail).remedy("write it as the bank prints it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;

    #[test]
    fn amounts_are_above_zero_and_references_are_printed() {
        check_amount(Money::new(1, Currency::CNY)).unwrap();
        for minor in [0, -1, i64::MIN] {
            let error = check_amount(Money::new(minor, Currency::CNY)).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("amount.amount_minor"));
            assert!(error.remedy.is_some());
        }
        check_reference("reference", "ICBC 2026-000001 语料款").unwrap();
        for bad in ["", " r", "r ", "a\nb", "a\0b", "a\u{202e}b", &"r".repeat(141)] {
            assert_eq!(check_reference("reference", bad).unwrap_err().field.as_deref(), Some("reference"), "{bad:?}");
        }
    }
}
