//! Subscriptions: terms that license, for one price, the versions of a dataset that come on the board while the term runs.
//!
//! A provider decides version by version: what it lists on subscription terms joins the subscriptions that run, unless
//! those terms allow less than the subscriber's contract does. What it lists on other terms only is sold by itself. The
//! subscriber holds what joined on the terms of its own contract.

use super::{EVERYWHERE, Price, TermsDocument, Use, is_permitted};

/// Whether a licence on these terms grows with its dataset.
pub fn is_subscription(document: &TermsDocument) -> bool {
    matches!(document.price, Price::Subscription { .. })
}

/// Whether a version that is offered on some terms joins a subscription for this use: both are subscriptions, and the
/// offer allows the use wherever, to whomever and as freely as the subscriber's own terms do.
pub fn joins(own: &TermsDocument, wanted: Use, offered: &TermsDocument) -> bool {
    let everywhere = |document: &TermsDocument| document.territory.iter().any(|code| code == EVERYWHERE);
    let places = everywhere(offered)
        || (!everywhere(own) && own.territory.iter().all(|country| offered.territory.contains(country)));
    let seats = match (own.seats, offered.seats) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(offered)) => own <= offered,
    };
    is_subscription(own)
        && is_subscription(offered)
        && is_permitted(offered, wanted)
        && places
        && seats
        && (offered.affiliates || !own.affiliates)
        && (own.attribution || !offered.attribution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::tests::document;
    use crate::types::{Currency, Money};

    fn subscription() -> TermsDocument {
        let price = Price::Subscription { amount: Money::new(1000, Currency::CNY), per_days: 30 };
        TermsDocument { price, duration_days: Some(360), ..document(&[Use::Pretrain, Use::Evaluate], &[]) }
    }

    #[test]
    fn what_is_offered_on_subscription_terms_that_allow_as_much_joins() {
        let own = subscription();
        let dearer = Price::Subscription { amount: Money::new(9000, Currency::CNY), per_days: 10 };
        for offered in [
            own.clone(),
            TermsDocument { price: dearer, duration_days: Some(10), ..own.clone() },
            TermsDocument { territory: vec!["*".into()], ..own.clone() },
            TermsDocument { affiliates: true, attribution: false, ..own.clone() },
            TermsDocument { permitted_uses: vec![Use::Pretrain], ..own.clone() },
        ] {
            assert!(joins(&own, Use::Pretrain, &offered), "{offered:?}");
        }
    }

    #[test]
    fn what_is_offered_otherwise_or_allows_less_does_not() {
        let own = TermsDocument { affiliates: true, attribution: false, ..subscription() };
        let one_off = document(&[Use::Pretrain], &[]).price;
        for offered in [
            TermsDocument { price: one_off.clone(), ..own.clone() },
            TermsDocument { territory: vec!["US".into()], ..own.clone() },
            TermsDocument { seats: Some(5), ..own.clone() },
            TermsDocument { affiliates: false, ..own.clone() },
            TermsDocument { attribution: true, ..own.clone() },
            TermsDocument { prohibited_uses: vec![Use::Pretrain], ..own.clone() },
            TermsDocument { permitted_uses: vec![Use::Evaluate], ..own.clone() },
        ] {
            assert!(!joins(&own, Use::Pretrain, &offered), "{offered:?}");
        }
        let worldwide = TermsDocument { territory: vec!["*".into()], ..own.clone() };
        assert!(!joins(&worldwide, Use::Pretrain, &own));
        let (few, many) =
            (TermsDocument { seats: Some(2), ..own.clone() }, TermsDocument { seats: Some(3), ..own.clone() });
        assert!(joins(&few, Use::Pretrain, &many) && !joins(&many, Use::Pretrain, &few));
        assert!(!joins(&TermsDocument { price: one_off, ..own.clone() }, Use::Pretrain, &own));
    }
}
