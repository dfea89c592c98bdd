//! The contract's document: everything that is agreed, and nothing that changes later.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rendering::Renderings;
use crate::catalog::{Measure, Part};
use crate::error::{Error, Kind, Result};
use crate::identity::Organisation;
use crate::provenance::{ResourceDescriptor, Statement, StatementKind};
use crate::terms::{self, ExpectedDownloads, Price, TermsDocument, Unit, Use};
use crate::text_enum;
use crate::types::{Digest, Instant, ListingId, Money, NegotiationId, OrderId, TermsId};

/// The member of the predicate that holds the digests of the renderings.
const RENDERINGS: &str = "renderings";

/// What the parties agree on: the predicate of a contract (`schemas/contract.v1.json`) without its `renderings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractDocument {
    /// The order that it governs.
    pub order: OrderId,
    /// The listing under which the version is offered.
    pub listing: ListingId,
    /// Who buys.
    pub buyer: Party,
    /// Who sells.
    pub provider: Party,
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// The provider's signed manifest of that version.
    pub manifest_sha256: Digest,
    /// The part of that version that is licensed; the whole when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The terms, which are part of the contract.
    pub terms: TermsId,
    /// The provider's signed statement of those terms.
    pub terms_sha256: Digest,
    /// The number of the version's registration certificate.
    pub certificate: String,
    /// The kind of use.
    pub r#use: Use,
    /// The declared use, in the buyer's words.
    pub purpose: String,
    /// What the terms allow.
    pub licence: Licence,
    /// The private offer at which it was ordered, or the last one of the negotiation; none for what is offered to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_sha256: Option<Digest>,
    /// The negotiation that led to it: the provider signs the contract, too. None where its signature was given in advance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negotiation: Option<NegotiationId>,
    /// What the buyer pays.
    pub price: Money,
    /// How it was counted; absent where it is one amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_by: Option<PricedBy>,
    /// The exchange's part of it.
    pub fee: Money,
    /// Days from the payment within which the buyer begins the download; what it does not download then counts as accepted.
    /// Present in contracts alone that do not say when it completes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_days: Option<i32>,
    /// Days from the payment within which the buyer completes the download; what it does not download then counts as accepted.
    /// Absent in contracts from before there was such a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_days: Option<i32>,
    /// Days from the complete delivery after which what was delivered counts as accepted.
    pub acceptance_days: i32,
    /// The order whose licence it renews: the term begins where that licence ends. Absent for a licence of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<OrderId>,
    /// When the contract was made out.
    pub made_at: Instant,
}

/// One side of a contract, as it was registered when the contract was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its handle.
    pub handle: String,
    /// Its name in law.
    pub legal_name: String,
    /// Its number in the country's register.
    pub registration_number: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

text_enum! {
    /// What a price was counted in.
    pub enum PricedIn {
        /// Records.
        Record = "record",
        /// Bytes.
        Byte = "byte",
        /// Tokens.
        Token = "token",
        /// Days of the term.
        Day = "day",
    }
}

impl From<Unit> for PricedIn {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Record => Self::Record,
            Unit::Byte => Self::Byte,
            Unit::Token => Self::Token,
        }
    }
}

/// How a price was counted: so many units, at so much for so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PricedBy {
    /// What was counted.
    pub unit: PricedIn,
    /// How many there are.
    pub count: i64,
    /// What is asked …
    pub amount: Money,
    /// … for how many.
    pub per: i64,
}

/// What the terms allow and forbid, repeated in the contract: it can be read alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// The uses that the terms prohibit.
    pub prohibited_uses: Vec<Use>,
    /// ISO 3166-1 alpha-2 codes, or `*` alone for everywhere.
    pub territory: Vec<String>,
    /// For how many days from the grant; null for ever.
    pub duration_days: Option<i32>,
    /// Whether the versions of the dataset that come on the board on subscription terms while the term runs are licensed
    /// too; absent where they are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_versions: bool,
    /// Whether the buyer must name the provider.
    pub attribution: bool,
    /// Whether the buyer's affiliates may use the corpus too.
    pub affiliates: bool,
    /// How many of the buyer's API tokens may use the licence at a time; absent for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seats: Option<i32>,
    /// How often the buyer is expected to download what is licensed; absent where nothing is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_downloads: Option<ExpectedDownloads>,
}

impl Party {
    /// An organisation as it is registered now.
    pub fn of(organisation: &Organisation) -> Self {
        let Organisation { handle, legal_name, registration_number, country, .. } = organisation.clone();
        Self { handle, legal_name, registration_number, country }
    }
}

impl PricedBy {
    /// How the price of a measure is counted under terms; none where they ask one amount, or nothing.
    pub fn under(terms: &TermsDocument, measure: &Measure) -> Option<Self> {
        match terms.price {
            Price::Free {} | Price::OneOff { .. } => None,
            Price::PerUnit { unit, amount, per } => {
                Some(Self { unit: unit.into(), count: measure.units(unit)?, amount, per })
            }
            Price::Subscription { amount, per_days } => {
                let (count, per) = (i64::from(terms.duration_days?), i64::from(per_days));
                Some(Self { unit: PricedIn::Day, count, amount, per })
            }
        }
    }
}

impl Licence {
    /// What terms allow and forbid.
    pub fn under(terms: &TermsDocument) -> Self {
        Self {
            prohibited_uses: terms.prohibited_uses.clone(),
            territory: terms.territory.clone(),
            duration_days: terms.duration_days,
            new_versions: terms::is_subscription(terms),
            attribution: terms.attribution,
            affiliates: terms.affiliates,
            seats: terms.seats,
            expected_downloads: terms.expected_downloads,
        }
    }
}

/// The statement that the parties sign. Its subjects are the manifest and the terms; its predicate is the document and
/// the digests of its renderings.
pub fn statement(document: &ContractDocument) -> Result<Statement> {
    let subjects = vec![
        ResourceDescriptor::new("manifest", document.manifest_sha256),
        ResourceDescriptor::new("terms", document.terms_sha256),
    ];
    let mut predicate = serde_json::to_value(document)?;
    if let Some(members) = predicate.as_object_mut() {
        members.insert(RENDERINGS.to_string(), serde_json::to_value(Renderings::of(document))?);
    }
    Ok(Statement::new(StatementKind::Contract, subjects, predicate))
}

/// Reads the predicate of a contract, and makes its renderings anew: they must have the digests that were signed.
///
/// # Errors
/// `Unverified`, naming the rendering that differs.
pub fn check(mut predicate: Value) -> Result<ContractDocument> {
    let unread = |why: serde_json::Error| {
        Error::new(Kind::Unverified, format!("this is not a contract that can be rendered here: {why}"))
    };
    let signed = predicate.as_object_mut().and_then(|members| members.remove(RENDERINGS)).unwrap_or_default();
    let signed: Renderings = serde_json::from_value(signed).map_err(unread)?;
    let document: ContractDocument = serde_json::from_value(predicate).map_err(unread)?;
    match signed.first_difference(&Renderings::of(&document)) {
        None => Ok(document),
        Some(name) => Err(Error::new(
            Kind::Unverified,
            format!("the contract's rendering as {name} has another digest than the parties signed"),
        )
        .field(format!("{RENDERINGS}.{name}"))),
    }
}
