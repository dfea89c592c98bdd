//! Licence terms: what a provider allows, for how long, where, and at what price.
//!
//! Terms are a document that the provider signs; a changed document is another document, with another digest. What a
//! document permits and costs are pure functions of it, so that a licensee and a court compute the same answer.
//!
//! Invariant: what is not mentioned is not permitted, and what is prohibited is not permitted even where it is
//! mentioned as permitted too.

mod downloads;
pub mod odrl;
mod price;
mod queries;
pub mod routes;
mod shares;
mod subscription;

pub use downloads::ExpectedDownloads;
pub use price::{MAX_AMOUNT_MINOR, Price, Unit, price};
pub use shares::{MAX_ROYALTY_BASIS_POINTS, RevenueShare};
pub use subscription::{is_subscription, joins};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Role, countries};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, Statement, StatementKind, VerifiedEnvelope};
use crate::signing::{Envelope, canonical_json};
use crate::text_enum;
use crate::types::{DAY, Digest, Instant, OrganisationId, Page, PageQuery, StatementId, TermsId, kind};

/// The longest licence that is not perpetual, in days.
pub const MAX_DURATION_DAYS: i32 = 36_500;
/// The most seats of a licence that limits them.
pub const MAX_SEATS: i32 = 1000;
/// The longest evaluation, in days.
pub const MAX_EVALUATION_DAYS: i32 = 365;
/// The territory that stands for every country.
const EVERYWHERE: &str = "*";
/// The name of the document among a statement's subjects.
const SUBJECT: &str = "terms";

text_enum! {
    /// What a licensee may do with a corpus.
    pub enum Use {
        /// Train a model from the beginning.
        Pretrain = "pretrain",
        /// Train an existing model further.
        Finetune = "finetune",
        /// Measure a model.
        Evaluate = "evaluate",
        /// Look passages up while a model answers.
        Retrieve = "retrieve",
        /// Pass the corpus on.
        Redistribute = "redistribute",
        /// Make another corpus from it.
        Derive = "derive",
    }
}

/// A licence terms document, version 1 (`schemas/terms.v1.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TermsDocument {
    /// The uses that are permitted; one or more.
    pub permitted_uses: Vec<Use>,
    /// The uses that are prohibited, whatever else the document says.
    pub prohibited_uses: Vec<Use>,
    /// Where: ISO 3166-1 alpha-2 codes, or `*` alone for everywhere.
    pub territory: Vec<String>,
    /// For how long from the grant, 1 to 36,500 days; null for ever.
    pub duration_days: Option<i32>,
    /// Whether the licensee must name the provider.
    pub attribution: bool,
    /// Whether the licensee's affiliates may also use the corpus.
    pub affiliates: bool,
    /// How many of the licensee's API tokens may use the licence at a time, 1 to 1,000; any number when this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<i32>,
    /// What it costs.
    pub price: Price,
    /// Whether a buyer may license some of the shards only: those that it selects by language, domain or licence.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub divisible: bool,
    /// Whether anyone who is signed in may see the first records of the version's sample. Not when absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
    /// For how many days, 1 to 365, a lab may evaluate the version's sample free of charge before it buys; not at all when this
    /// is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_days: Option<i32>,
    /// How often the licensee is expected to download what it licensed; no expectation when absent. More is not refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_downloads: Option<ExpectedDownloads>,
    /// How what a sale leaves is divided between those who built the corpus: parts of 10,000 that sum to it. The provider
    /// has all of it when this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue_shares: Option<Vec<RevenueShare>>,
    /// What the provider asks of each sale of a corpus that was made from this one: 1 to 5,000 parts of 10,000 of what the
    /// exchange's fee leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivative_royalty_basis_points: Option<i64>,
}

/// What a provider signs: a document, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsPredicate {
    /// The handle of the provider.
    pub organisation: String,
    /// The terms.
    pub document: TermsDocument,
}

/// Published terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The terms.
    pub id: TermsId,
    /// Whose they are.
    pub organisation_id: OrganisationId,
    /// The digest of the signed document: of the envelope's pre-authentication encoding.
    pub sha256: Digest,
    /// What they say.
    pub document: TermsDocument,
    /// The signed statement.
    pub statement_id: StatementId,
    /// When they were published.
    pub published_at: Instant,
}

/// Whether a document permits a use: it mentions the use, and does not prohibit it.
pub fn is_permitted(document: &TermsDocument, wanted: Use) -> bool {
    document.permitted_uses.contains(&wanted) && !document.prohibited_uses.contains(&wanted)
}

/// Checks that a document permits a use.
///
/// # Errors
/// `UseNotPermitted`, with the field `use`, when the use is prohibited or not mentioned.
pub fn permits(document: &TermsDocument, wanted: Use) -> Result<()> {
    let refused = |why: &str| {
        let permitted = document.permitted_uses.iter().filter(|u| is_permitted(document, **u));
        let permitted: Vec<&str> = permitted.map(|u| u.as_str()).collect();
        let remedy = match permitted.is_empty() {
            true => "look for an offer with other terms".to_string(),
            false => format!("these terms permit: {}; or look for an offer with other terms", permitted.join(", ")),
        };
        Err(Error::new(Kind::UseNotPermitted, format!("the terms {why} {wanted}")).field("use").remedy(remedy))
    };
    if document.prohibited_uses.contains(&wanted) {
        return refused("prohibit the use");
    }
    if !document.permitted_uses.contains(&wanted) {
        return refused("do not mention, and so do not permit, the use");
    }
    Ok(())
}

/// For how long a document lets a lab evaluate the sample before it buys.
///
/// # Errors
/// `UseNotPermitted`.
pub fn evaluation(document: &TermsDocument) -> Result<Duration> {
    let days = document.evaluation_days.and_then(|days| u32::try_from(days).ok());
    days.map(|days| DAY * days).ok_or_else(|| {
        Error::new(Kind::UseNotPermitted, "these terms offer no evaluation before the purchase")
            .remedy("look for an offer whose terms have `evaluation_days`, or buy a licence")
    })
}

/// Whether a document lets a buyer license some of the shards only.
///
/// # Errors
/// `Invalid`, field `selection`.
pub fn divides(document: &TermsDocument) -> Result<()> {
    if document.divisible {
        return Ok(());
    }
    Err(Error::invalid("selection", "these terms license the whole version only")
        .remedy("leave the selection out, or look for an offer whose terms are `divisible`"))
}

/// Checks a document beyond its JSON Schema, and where the schema's refusal would be less clear.
///
/// # Errors
/// `Invalid`, naming the field within the document.
pub fn check(document: &TermsDocument) -> Result<()> {
    let refused = |field: &str, detail: String| Err(Error::invalid(format!("document.{field}"), detail));
    if document.permitted_uses.is_empty() {
        return refused("permitted_uses", "terms that permit nothing cannot be licensed; name at least one use".into());
    }
    for (field, uses) in [("permitted_uses", &document.permitted_uses), ("prohibited_uses", &document.prohibited_uses)]
    {
        if let Some(twice) = repeated(uses) {
            return refused(field, format!("{twice} is named twice"));
        }
    }
    price::check(document)?;
    if let Some(days) = document.evaluation_days
        && !(1..=MAX_EVALUATION_DAYS).contains(&days)
    {
        let detail = format!("{days} is not between 1 and {MAX_EVALUATION_DAYS}; for no evaluation leave it out");
        return refused("evaluation_days", detail);
    }
    if document.divisible && matches!(document.price, Price::OneOff { .. } | Price::Subscription { .. }) {
        return refused("divisible", "one amount for the whole version cannot be divided; ask a price per unit".into());
    }
    if let Some(days) = document.duration_days
        && !(1..=MAX_DURATION_DAYS).contains(&days)
    {
        return refused("duration_days", format!("{days} is not between 1 and {MAX_DURATION_DAYS}; for ever is null"));
    }
    if let Some(seats) = document.seats
        && !(1..=MAX_SEATS).contains(&seats)
    {
        return refused("seats", format!("{seats} is not between 1 and {MAX_SEATS}; leave it out for any number"));
    }
    downloads::check(document)?;
    shares::check(document)?;
    check_territory(&document.territory)
}

fn check_territory(territory: &[String]) -> Result<()> {
    let refused = |detail: &str| Err(Error::invalid("document.territory", detail));
    if territory.is_empty() {
        return refused("name the countries, or \"*\" for everywhere");
    }
    if let Some(twice) = repeated(territory) {
        return refused(&format!("{twice} is named twice"));
    }
    match territory {
        [everywhere] if everywhere == EVERYWHERE => Ok(()),
        _ if territory.iter().any(|code| code == EVERYWHERE) => refused("\"*\" stands alone or not at all"),
        _ => territory.iter().try_for_each(|code| countries::check(code)).map_err(|e| e.field("document.territory")),
    }
}

fn repeated<T: PartialEq>(items: &[T]) -> Option<&T> {
    items
        .iter()
        .enumerate()
        .find(|(index, item)| items.iter().take(*index).any(|before| before == *item))
        .map(|(_, item)| item)
}

/// The statement by which `organisation` publishes a document: what a provider signs, and what [`publish`] expects.
/// Its one subject is the document itself, by the digest of its canonical JSON.
///
/// # Errors
/// `Invalid` when the document cannot be written as canonical JSON.
pub fn statement(organisation: &str, document: &TermsDocument) -> Result<Statement> {
    let subject = ResourceDescriptor::new(SUBJECT, Digest::of(canonical_json(document)?));
    let predicate = json!({ "organisation": organisation, "document": document });
    Ok(Statement::new(StatementKind::Terms, vec![subject], predicate))
}

/// Publishes terms that an active key of the caller's organisation signed. Publishing the same document again gives
/// the terms that stand already; the flag tells whether they are new.
///
/// # Errors
/// `NotFound` or `Forbidden` unless the caller is an admin or signer of the organisation; `Invalid`; `BadSignature`.
pub fn publish(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    envelope: &Envelope,
    now: Instant,
) -> Result<(Terms, bool)> {
    let organisation = identity::for_member(c, caller, &provenance::claimed_organisation(envelope)?, Role::SIGNERS)?;
    identity::require_verified(&organisation)?;
    if let Some(terms) = queries::find_terms_by_sha256(c, organisation.id, envelope.pae_sha256())? {
        return Ok((terms, false));
    }
    let key = identity::signing_key_for(c, organisation.id, envelope.sole_signature()?.keyid)?.public_key;
    let (verified, signed) = VerifiedEnvelope::open(envelope.clone(), &[key], StatementKind::Terms)?;
    let predicate: TermsPredicate = serde_json::from_value(signed.predicate.clone())
        .map_err(|error| Error::invalid("envelope.payload", format!("the predicate is not terms: {error}")))?;
    check(&predicate.document)?;
    shares::check_known(c, &predicate.document)?;
    if signed != statement(&organisation.handle, &predicate.document)? {
        return Err(Error::invalid("subject", "the statement must have one subject: the terms, by their digest")
            .remedy("name it \"terms\", with the SHA-256 of the document's canonical JSON (RFC 8785)"));
    }
    let id = TermsId::new(now);
    let recorded = provenance::admit(c, keys, id, &verified, now)?;
    let terms = Terms {
        id,
        organisation_id: organisation.id,
        sha256: recorded.pae_sha256,
        document: predicate.document,
        statement_id: recorded.id,
        published_at: now,
    };
    queries::insert_terms(c, &terms)?;
    Ok((terms, true))
}

/// The terms with this identifier. Published terms are public.
///
/// # Errors
/// `NotFound`.
pub fn terms(c: &mut Conn, id: TermsId) -> Result<Terms> {
    db::fact(c, id, |c| queries::find_terms(c, id))?.ok_or_else(|| Error::not_found(format_args!("terms {id}")))
}

/// Loads these terms together, for a page that asks [`terms`] for each.
pub fn load_terms(c: &mut Conn, ids: impl IntoIterator<Item = TermsId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_terms_by_id)?)
}

/// The terms that an organisation published, oldest first: public, as the organisation is once it is verified.
///
/// # Errors
/// `NotFound` when there is no such organisation, or `caller` may not know of it; `Invalid`.
pub fn list(c: &mut Conn, caller: Option<&Caller>, handle: &str, page: &PageQuery) -> Result<Page<Terms>> {
    let organisation = identity::visible_organisation(c, caller, handle)?;
    let limit = page.limit()?;
    let rows = queries::list_terms(c, organisation.id, page.after_id::<kind::Terms>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |terms| terms.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemas;
    use crate::types::{Currency, Money};

    pub(super) fn document(permitted: &[Use], prohibited: &[Use]) -> TermsDocument {
        TermsDocument {
            permitted_uses: permitted.to_vec(),
            prohibited_uses: prohibited.to_vec(),
            territory: vec!["CN".into()],
            duration_days: Some(365),
            attribution: true,
            affiliates: false,
            seats: None,
            price: Price::OneOff { amount: Money::new(88_800, Currency::CNY) },
            divisible: false,
            preview: false,
            evaluation_days: None,
            expected_downloads: None,
            revenue_shares: None,
            derivative_royalty_basis_points: None,
        }
    }

    #[test]
    fn a_use_is_permitted_when_it_is_named_and_not_prohibited() {
        // permitted, prohibited, and whether the use is then allowed: for every use
        for wanted in Use::ALL.iter().copied() {
            let others: Vec<Use> = Use::ALL.iter().copied().filter(|other| *other != wanted).collect();
            for (permitted, prohibited, allowed) in [
                (vec![], vec![], false),
                (vec![wanted], vec![], true),
                (vec![], vec![wanted], false),
                (vec![wanted], vec![wanted], false),
                (Use::ALL.to_vec(), vec![], true),
                (Use::ALL.to_vec(), Use::ALL.to_vec(), false),
                (Use::ALL.to_vec(), others.clone(), true),
                (others.clone(), vec![], false),
                (others, vec![wanted], false),
            ] {
                let terms = document(&permitted, &prohibited);
                match permits(&terms, wanted) {
                    Ok(()) => assert!(allowed, "{wanted} with {terms:?}"),
                    Err(error) => {
                        assert!(!allowed, "{wanted} with {terms:?}: {error}");
                        assert_eq!((error.kind, error.field.as_deref()), (Kind::UseNotPermitted, Some("use")));
                        assert!(error.detail.contains(wanted.as_str()) && error.remedy.is_some(), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn who_is_refused_a_use_reads_what_is_permitted() {
        let terms = document(&[Use::Pretrain, Use::Derive, Use::Evaluate], &[Use::Derive]);
        let remedy = permits(&terms, Use::Derive).unwrap_err().remedy.unwrap();
        assert_eq!(remedy, "these terms permit: pretrain, evaluate; or look for an offer with other terms");
        let nothing = document(&[Use::Derive], &[Use::Derive]);
        assert_eq!(permits(&nothing, Use::Derive).unwrap_err().remedy.unwrap(), "look for an offer with other terms");
    }

    #[test]
    fn everywhere_stands_alone() {
        let placed = ["CN", "*"].map(String::from).to_vec();
        let error = check(&TermsDocument { territory: placed, ..document(&[Use::Derive], &[]) }).unwrap_err();
        assert_eq!(error.detail, "\"*\" stands alone or not at all");
    }

    #[test]
    fn a_document_out_of_bounds_names_the_field() {
        let base = document(&[Use::Pretrain], &[]);
        check(&base).unwrap();
        check(&TermsDocument { territory: vec!["*".into()], duration_days: None, ..base.clone() }).unwrap();
        let priced = |minor| Price::OneOff { amount: Money::new(minor, Currency::CNY) };
        let by_record = |minor, per| {
            let price = Price::PerUnit { unit: Unit::Record, amount: Money::new(minor, Currency::CNY), per };
            TermsDocument { price, ..base.clone() }
        };
        check(&by_record(1, 1000)).unwrap();
        check(&TermsDocument { divisible: true, ..by_record(1, 1000) }).unwrap();
        let royalty = |points| TermsDocument { derivative_royalty_basis_points: Some(points), ..base.clone() };
        let shared = |parts: &[(&str, i64)]| {
            let share = |(handle, points): &(&str, i64)| RevenueShare {
                organisation: (*handle).to_string(),
                basis_points: *points,
            };
            TermsDocument { revenue_shares: Some(parts.iter().map(share).collect()), ..base.clone() }
        };
        check(&shared(&[("a", 3333), ("b", 6667)])).unwrap();
        check(&royalty(5000)).unwrap();
        let expected = |times, per_days| TermsDocument {
            expected_downloads: Some(ExpectedDownloads { times, per_days }),
            ..base.clone()
        };
        check(&expected(1000, 366)).unwrap();
        let placed = |codes: &[&str]| codes.iter().map(|code| (*code).to_string()).collect::<Vec<_>>();
        for (field, bad) in [
            ("permitted_uses", document(&[], &[])),
            ("permitted_uses", document(&[Use::Derive, Use::Derive], &[])),
            ("prohibited_uses", document(&[Use::Pretrain], &[Use::Derive, Use::Derive])),
            ("price.amount.amount_minor", TermsDocument { price: priced(0), ..base.clone() }),
            ("price.amount.amount_minor", TermsDocument { price: priced(-1), ..base.clone() }),
            ("price.amount.amount_minor", TermsDocument { price: priced(i64::MAX), ..base.clone() }),
            ("price.amount.amount_minor", by_record(0, 1)),
            ("price.per", by_record(1, 0)),
            ("price.per", by_record(1, i64::MAX)),
            ("evaluation_days", TermsDocument { evaluation_days: Some(0), ..base.clone() }),
            ("evaluation_days", TermsDocument { evaluation_days: Some(366), ..base.clone() }),
            ("expected_downloads.times", expected(0, 30)),
            ("expected_downloads.times", expected(1001, 30)),
            ("expected_downloads.per_days", expected(1, 0)),
            ("expected_downloads.per_days", expected(1, 367)),
            ("divisible", TermsDocument { divisible: true, ..base.clone() }),
            ("duration_days", TermsDocument { duration_days: Some(0), ..base.clone() }),
            ("duration_days", TermsDocument { duration_days: Some(36_501), ..base.clone() }),
            ("seats", TermsDocument { seats: Some(0), ..base.clone() }),
            ("seats", TermsDocument { seats: Some(1001), ..base.clone() }),
            ("territory", TermsDocument { territory: placed(&[]), ..base.clone() }),
            ("territory", TermsDocument { territory: placed(&["CN", "*"]), ..base.clone() }),
            ("territory", TermsDocument { territory: placed(&["CN", "CN"]), ..base.clone() }),
            ("territory", TermsDocument { territory: placed(&["cn"]), ..base.clone() }),
            ("territory", TermsDocument { territory: placed(&["XX"]), ..base.clone() }),
            ("revenue_shares", TermsDocument { revenue_shares: Some(vec![]), ..base.clone() }),
            ("revenue_shares", shared(&[("a", 9999)])),
            ("revenue_shares", shared(&[("a", 5000), ("b", 5001)])),
            ("revenue_shares[0].basis_points", shared(&[("a", i64::MAX), ("b", i64::MAX)])),
            ("revenue_shares[1].organisation", shared(&[("a", 5000), ("a", 5000)])),
            ("revenue_shares[0].basis_points", shared(&[("a", 0), ("b", 10_000)])),
            ("revenue_shares[1].basis_points", shared(&[("a", 10_000), ("b", -1)])),
            ("derivative_royalty_basis_points", royalty(0)),
            ("derivative_royalty_basis_points", royalty(5001)),
        ] {
            let error = check(&bad).unwrap_err();
            assert_eq!(error.field, Some(format!("document.{field}")), "{bad:?}");
        }
    }

    #[test]
    fn what_is_signed_follows_the_schema_and_unknown_fields_do_not() {
        let signed = statement("lingang-data", &document(&[Use::Pretrain], &[Use::Redistribute])).unwrap();
        schemas::validate("terms.v1", &signed.predicate).unwrap();
        let free = TermsDocument { price: Price::Free {}, duration_days: None, ..document(&[Use::Evaluate], &[]) };
        let counted = Price::PerUnit { unit: Unit::Token, amount: Money::new(5, Currency::CNY), per: 1000 };
        let expected_downloads = Some(ExpectedDownloads { times: 3, per_days: 30 });
        let counted = TermsDocument {
            price: counted,
            divisible: true,
            preview: true,
            evaluation_days: Some(14),
            expected_downloads,
            ..free.clone()
        };
        let subscribed = Price::Subscription { amount: Money::new(5, Currency::CNY), per_days: 30 };
        let subscribed = TermsDocument { price: subscribed, duration_days: Some(60), ..free.clone() };
        for terms in [free, counted, subscribed] {
            schemas::validate("terms.v1", &statement("lingang-data", &terms).unwrap().predicate).unwrap();
        }
        for pointer in ["", "/document", "/document/price", "/document/price/amount"] {
            let mut bad = signed.predicate.clone();
            bad.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert("surprise".into(), json!(1));
            assert!(schemas::validate("terms.v1", &bad).is_err(), "schema, {pointer}");
            assert!(serde_json::from_value::<TermsPredicate>(bad).is_err(), "serde, {pointer}");
        }
        let free = json!({"model": "free", "amount": {"amount_minor": 1, "currency": "CNY"}});
        assert!(serde_json::from_value::<Price>(free).is_err());
    }
}
