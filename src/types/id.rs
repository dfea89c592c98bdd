//! Typed identifiers in the TypeID format: a prefix that names the noun, and a time-ordered UUID v7.
//!
//! Invariant: of two identifiers made in one process for the same `now`, the later one sorts later. Lists are
//! ordered by identifier, and one transaction often makes several at its one instant.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use serde::{Deserialize, Serialize};
use type_safe_id::{StaticType, TypeSafeId};

use crate::error::Error;
use crate::text_column;
use crate::types::{Instant, from_text};

/// A kind of thing that has identifiers.
pub trait Noun: StaticType + 'static {}
impl<T: StaticType + 'static> Noun for T {}

/// The identifier of one `T`, for example `org_01jd…`. Sorts by the time it was made, to the microsecond, and then by
/// the order in which this process made it.
#[derive(AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct Id<T: Noun>(uuid::Uuid, PhantomData<fn() -> T>);

impl<T: Noun> Id<T> {
    /// A fresh identifier: its time part is `now`, then comes a counter, and the rest is random.
    pub fn new(now: Instant) -> Self {
        let micros = u64::try_from(now.unix_micros()).unwrap_or(0);
        Self(uuid_v7(micros, next_in_process(), rand::random()), PhantomData)
    }
}

impl<T: Noun> Id<T> {
    /// A fresh identifier that sorts after `before`, which another process may have made, whose clock is ahead.
    pub fn after(before: Option<Self>, now: Instant) -> Self {
        let id = Self::new(now);
        match before {
            Some(before) if id <= before => Self::new(before.made_at().plus(Duration::from_micros(1))),
            _ => id,
        }
    }

    /// Sorts before every identifier that is made at `at` or later, and after all others.
    pub fn first_at(at: Instant) -> Self {
        Self(uuid_v7(u64::try_from(at.unix_micros()).unwrap_or(0), 0, 0), PhantomData)
    }

    /// When it was made, to the microsecond.
    pub fn made_at(self) -> Instant {
        let (millis, beyond) = (self.0.as_u128() >> 80, (self.0.as_u128() >> 64) & 0xfff);
        Instant::from_unix_micros(i64::try_from(millis * 1000 + beyond).unwrap_or(i64::MAX))
    }

    /// The identifier as a number, which sorts as its text does.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// The identifier that [`Id::as_u128`] gave as a number.
    pub fn from_u128(number: u128) -> Self {
        Self(uuid::Uuid::from_u128(number), PhantomData)
    }
}

/// A UUID v7 (RFC 9562) of a time in microseconds: the milliseconds; in `rand_a` the microseconds beyond (method 3 of
/// section 6.2); in `rand_b` 32 bits of `counter` (method 1), and 30 bits that are `random`.
fn uuid_v7(unix_micros: u64, counter: u32, random: u32) -> uuid::Uuid {
    let beyond = u128::from(unix_micros % 1000);
    let rand_b = (u128::from(counter) << 30) | u128::from(random >> 2);
    let tail = (beyond << 64) | rand_b;
    let [_, _, _, _, _, _, bytes @ ..] = tail.to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(unix_micros / 1000, &bytes).into_uuid()
}

/// Counts identifiers from a random number on, so that two processes do not count alike. After some 2^31 of them it
/// starts over at zero.
fn next_in_process() -> u32 {
    static COUNTER: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random::<u32>() >> 1));
    COUNTER.fetch_add(1, Ordering::Relaxed)
}

impl<T: Noun> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = TypeSafeId::<T>::from_uuid(self.0);
        match f.width().or(f.precision()) {
            None => fmt::Display::fmt(&id, f),
            Some(_) => f.pad(&id.to_string()),
        }
    }
}

impl<T: Noun> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T: Noun> FromStr for Id<T> {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = TypeSafeId::<T>::from_str(text).map(|id| Self(id.uuid(), PhantomData));
        read.map_err(|_| Error::invalid("", format!("{text:?} is not an identifier of the form {}_…", T::TYPE)))
    }
}

impl<T: Noun> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Noun> Copy for Id<T> {}
impl<T: Noun> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T: Noun> Eq for Id<T> {}
impl<T: Noun> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T: Noun> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T: Noun> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T: Noun> Serialize for Id<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, T: Noun> Deserialize<'de> for Id<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
impl<T: Noun> utoipa::PartialSchema for Id<T> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", T::TYPE)))
            .into()
    }
}
impl<T: Noun> utoipa::ToSchema for Id<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}_id", T::TYPE).into()
    }
}
text_column!(Id<T: Noun>);

macro_rules! identifiers {
    ($($(#[$meta:meta])* $alias:ident = $kind:ident $prefix:literal;)+) => {
        /// The kinds of things that have identifiers; they exist only as type parameters.
        pub mod kind {
            $(
                #[doc = concat!("The kind whose identifiers start with `", $prefix, "_`.")]
                #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
                pub struct $kind;
                impl type_safe_id::StaticType for $kind { const TYPE: &'static str = $prefix; }
            )+
        }
        $($(#[$meta])* pub type $alias = Id<kind::$kind>;)+
    };
}

identifiers! {
    /// A company or institution that trades.
    OrganisationId = Organisation "org";
    /// A person who signs in.
    UserId = User "user";
    /// A signing key registered by an organisation.
    SigningKeyId = SigningKey "key";
    /// A sign-in of a user, from password to sign-out.
    SessionId = Session "session";
    /// An API token.
    TokenId = Token "token";
    /// A place among the members of an organisation that waits for somebody.
    InvitationId = Invitation "invitation";
    /// A named corpus.
    DatasetId = Dataset "dataset";
    /// One immutable edition of a dataset.
    VersionId = Version "version";
    /// An upload in progress or done.
    UploadId = Upload "upload";
    /// Verified bytes in the store.
    ObjectId = Object "object";
    /// A licence terms document.
    TermsId = Terms "terms";
    /// A compliance assessment.
    AssessmentId = Assessment "assessment";
    /// A registration certificate.
    CertificateId = Certificate "certificate";
    /// A version offered on the board.
    ListingId = Listing "listing";
    /// A protest against a listing on public notice.
    ObjectionId = Objection "objection";
    /// What a provider offers to one buyer.
    OfferId = Offer "offer";
    /// Two sides on their way to a contract.
    NegotiationId = Negotiation "negotiation";
    /// A purchase.
    OrderId = Order "order";
    /// A dispute over an order.
    DisputeId = Dispute "dispute";
    /// A signed agreement.
    ContractId = Contract "contract";
    /// A licensee's right to download a version.
    EntitlementId = Entitlement "entitlement";
    /// A lab's right to evaluate a version by its sample.
    EvaluationId = Evaluation "evaluation";
    /// The use of a licence by one API token.
    SeatId = Seat "seat";
    /// A lab's declaration of what a model was trained on.
    ModelId = Model "model";
    /// The record of one delivered link.
    ReceiptId = Receipt "receipt";
    /// Receipts that were committed and logged together.
    ReceiptBatchId = ReceiptBatch "batch";
    /// A signed statement.
    StatementId = Statement "statement";
    /// An entry of the transparency log.
    EntryId = Entry "entry";
    /// A ledger account.
    AccountId = Account "account";
    /// A balanced ledger transaction.
    TransactionId = Transaction "txn";
    /// One line of a ledger transaction.
    PostingId = Posting "posting";
    /// Money that arrived at the bank.
    DepositId = Deposit "deposit";
    /// A payout to an organisation.
    WithdrawalId = Withdrawal "withdrawal";
    /// A public programme that subsidises purchases.
    ProgrammeId = Programme "programme";
    /// A funding, use, clawback or return of a programme's money.
    MovementId = Movement "movement";
    /// A claim against a version.
    TakedownId = Takedown "takedown";
    /// The recall of one licence.
    RecallId = Recall "recall";
    /// Where an organisation is sent its events.
    WebhookId = Webhook "webhook";
    /// One try to deliver an event to a webhook.
    AttemptId = Attempt "attempt";
    /// A queued job.
    JobId = Job "job";
    /// One step in the life of a version, listing, order or entitlement.
    TransitionId = Transition "step";
    /// A privileged read, kept for audit.
    AuditId = Audit "audit";
    /// Bytes that two organisations sealed.
    ConflictId = Conflict "conflict";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_their_time_and_then_by_the_order_they_were_made_in() {
        let now = Instant::from_unix_micros(1_700_000_000_000_123);
        let made: Vec<_> = [now, now, now, now.plus(Duration::from_micros(1)), now.plus(Duration::from_millis(1))]
            .map(|at| TransitionId::new(at).to_string())
            .into();
        assert!(made.is_sorted(), "{made:?}");
    }

    #[test]
    fn every_bit_of_time_counter_and_chance_has_its_place() {
        let id = |micros, counter, random| uuid_v7(micros, counter, random).to_string();
        assert_eq!(id(1_700_000_000_123_456, 0, 0), "018bcfe5-687b-71c8-8000-000000000000");
        assert_eq!(id(0, u32::MAX, 0), "00000000-0000-7000-bfff-ffffc0000000");
        assert_eq!(id(999, 0, u32::MAX), "00000000-0000-73e7-8000-00003fffffff");
    }

    #[test]
    fn the_first_identifier_of_an_instant_parts_what_was_made_before_from_what_is_made_then() {
        let (before, now) =
            (Instant::from_unix_micros(1_699_999_999_999_999), Instant::from_unix_micros(1_700_000_000_000_000));
        let first = TransitionId::first_at(now);
        assert!(TransitionId::new(before) < first && first < TransitionId::new(now));
    }

    #[test]
    fn an_identifier_prints_with_its_prefix_and_parses_back() {
        let id = OrganisationId::new(Instant::from_unix_micros(1_700_000_000_000_000));
        assert!(id.to_string().starts_with("org_"));
        assert_eq!(id.to_string().parse::<OrganisationId>().unwrap(), id);
    }

    #[test]
    fn an_identifier_has_one_spelling() {
        let id = OrganisationId::new(Instant::from_unix_micros(1_700_000_000_000_000)).to_string();
        let digits = id.strip_prefix("org_").unwrap();
        for other in [
            format!("org_{}", digits.to_uppercase()),
            format!("org_8{}", &digits[1..]),
            format!("org_{}o", &digits[..25]),
            format!("org_{digits}0"),
            format!("org__{digits}"),
            format!("ORG_{digits}"),
            format!("{id} "),
            digits.to_string(),
        ] {
            assert!(other.parse::<OrganisationId>().is_err(), "{other}");
        }
    }

    #[test]
    fn identifiers_of_one_instant_sort_as_they_were_made_and_keep_their_time() {
        for micros in [0, 1_700_000_000_000_000, 1_700_000_000_000_001, 1_600_000_000_000_000] {
            let now = Instant::from_unix_micros(micros);
            let made: Vec<_> = (0..1000).map(|_| TransitionId::new(now)).collect();
            assert!(made.is_sorted_by(|a, b| a < b && a.to_string() < b.to_string()), "{micros}");
            let millis = made.iter().map(|id| id.0.get_timestamp().unwrap().to_unix());
            assert!(millis.into_iter().all(|(s, n)| s * 1000 + u64::from(n) / 1_000_000
                == now.unix().0 * 1000 + u64::from(now.unix().1) / 1_000_000));
        }
    }

    #[test]
    fn what_comes_after_sorts_after_whatever_the_clock_says() {
        let now = Instant::from_unix_micros(1_700_000_000_000_999);
        let before = TransitionId::new(now);
        let behind = TransitionId::after(Some(before), now.minus(Duration::from_secs(3600)));
        assert_eq!((before < behind, behind.made_at()), (true, now.plus(Duration::from_micros(1))));
        let ahead = now.plus(Duration::from_secs(3600));
        for before in [None, Some(behind)] {
            assert_eq!(TransitionId::after(before, ahead).made_at(), ahead);
        }
    }

    #[test]
    fn an_identifier_of_another_kind_is_refused() {
        let id = OrganisationId::new(Instant::from_unix_micros(0)).to_string();
        let error = id.parse::<OrderId>().unwrap_err();
        assert!(error.detail.contains("order_"), "{error}");
    }
}
