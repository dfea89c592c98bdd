//! Every refusal and failure, for two audiences: the caller, who reads what was wrong, where, and what to do;
//! and the operator, who also reads the source in the log.
//!
//! Actions return [`Error`]; HTTP comes last, through one table from [`Kind`] to slug, status and title
//! (RFC 9457 problem details).
//!
//! Invariant: a source is logged, never sent.

use std::fmt::{self, Write as _};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every action returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was refused or failed.
pub struct Error {
    /// Which row of the table this is.
    pub kind: Kind,
    /// The input field at fault, as the caller named it, if one is.
    pub field: Option<String>,
    /// What was wrong, in one sentence a stranger can act on.
    pub detail: String,
    /// What to do about it, where the detail does not already say.
    pub remedy: Option<String>,
    /// After how many seconds it may be tried again, where that is known.
    retry_after: Option<u64>,
    /// Whether it is there, and not for this caller: for the audit trail, and never told.
    withheld: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $slug:literal, $status:ident, $title:literal;)+) => {
        /// The kinds of refusal and failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[$meta])* $kind),+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind),+];
            /// The stable name of the kind: the last part of the problem's `type`.
            pub fn slug(self) -> &'static str { match self { $(Kind::$kind => $slug),+ } }
            /// The kind that a problem's `type` names.
            pub fn from_problem_type(text: &str) -> Option<Self> {
                let slug = text.strip_prefix(PROBLEM_TYPE_PREFIX)?;
                Kind::ALL.iter().copied().find(|kind| kind.slug() == slug)
            }
            /// The HTTP status.
            pub fn status(self) -> StatusCode { match self { $(Kind::$kind => StatusCode::$status),+ } }
            /// A short title, the same for every problem of the kind.
            pub fn title(self) -> &'static str { match self { $(Kind::$kind => $title),+ } }
        }
    };
}

kinds! {
    /// The request could not be read at all.
    Malformed = "malformed", BAD_REQUEST, "The request could not be read";
    /// A field is missing, unknown or has a value that is not allowed.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "A field was refused";
    /// No credential, or one that is unknown, expired or revoked.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "Sign in";
    /// The caller is known and may not do this.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// The thing does not exist, or the caller may not know that it does.
    NotFound = "not-found", NOT_FOUND, "Not found";
    /// It was there, and is no longer kept.
    Gone = "gone", GONE, "No longer kept";
    /// The address is there, and answers other methods.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// Something of this name stands already.
    AlreadyExists = "already-exists", CONFLICT, "Already exists";
    /// The thing is not in a state in which this can be done.
    WrongState = "wrong-state", CONFLICT, "Not possible in this state";
    /// The thing changed since the caller read it.
    Stale = "stale", PRECONDITION_FAILED, "Changed in the meantime";
    /// The request must carry an `Idempotency-Key`.
    IdempotencyKeyRequired = "idempotency-key-required", BAD_REQUEST, "Idempotency-Key required";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "Idempotency-Key used for another request";
    /// A body, path or list is larger than its bound.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "Too large";
    /// The media type is not one that is read here.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "Media type not supported";
    /// The byte range lies outside the object.
    RangeNotSatisfiable = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "Range not satisfiable";
    /// Bytes do not have the declared digest or size.
    DigestMismatch = "digest-mismatch", UNPROCESSABLE_ENTITY, "Bytes differ from what was declared";
    /// A signature, or the key that made it, is not acceptable.
    BadSignature = "bad-signature", UNPROCESSABLE_ENTITY, "Signature refused";
    /// The declared use is not permitted by the terms.
    UseNotPermitted = "use-not-permitted", UNPROCESSABLE_ENTITY, "Use not permitted by the terms";
    /// No valid assessment: not compliant, not listed.
    NotAssessed = "not-assessed", UNPROCESSABLE_ENTITY, "No valid compliance assessment";
    /// The paying account does not hold enough.
    InsufficientFunds = "insufficient-funds", UNPROCESSABLE_ENTITY, "Insufficient funds";
    /// No active entitlement covers this.
    NotEntitled = "not-entitled", FORBIDDEN, "No active licence";
    /// The caller must slow down.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The request took too long to arrive.
    Timeout = "timeout", REQUEST_TIMEOUT, "Too slow";
    /// The server, or something it depends on, cannot answer now. Nothing was changed: the same may be asked again.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Try again later";
    /// A change was sent to the database, and no answer came: nobody knows whether it was made.
    OutcomeUnknown = "outcome-unknown", GATEWAY_TIMEOUT, "Perhaps done, perhaps not";
    /// A stored signed document or log does not verify.
    Unverified = "unverified", INTERNAL_SERVER_ERROR, "Verification failed";
    /// A log shrank, split, or serves what it did not sign.
    LogMisbehaved = "log-misbehaved", INTERNAL_SERVER_ERROR, "The log is not append-only";
    /// A fault of the exchange.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The exchange failed";
}

impl Error {
    /// An error of a kind, with its detail.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            field: None,
            detail: detail.into(),
            remedy: None,
            retry_after: None,
            withheld: false,
            source: None,
        }
    }
    /// A field's value is not acceptable. An empty `field` means that the caller of this function names it.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail).field(field)
    }
    /// Nothing is there, or nothing the caller may know of.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} does not exist, or you may not see it"))
    }
    /// As [`Error::not_found`], of what is there and not for this caller. Nothing that is told says so.
    pub fn withheld(what: impl fmt::Display) -> Self {
        Self { withheld: true, ..Self::not_found(what) }
    }
    /// The caller may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }
    /// A fault of the exchange itself.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, detail)
    }
    /// Names the field at fault.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        self.field = (!field.is_empty()).then_some(field);
        self
    }
    /// Says what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
    /// Says after how many seconds to try again.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
    /// After how many seconds to try again, if that is known.
    pub fn seconds_to_wait(&self) -> Option<u64> {
        self.retry_after
    }
    /// Whether what was asked for is there, and is not for this caller.
    pub fn is_withheld(&self) -> bool {
        self.withheld
    }
    /// Keeps what caused it, for the log.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The same for another whom it concerns, without the cause.
    pub fn for_another(&self) -> Self {
        let Self { kind, field, detail, remedy, retry_after, withheld, source: _ } = self;
        let (field, detail, remedy) = (field.clone(), detail.clone(), remedy.clone());
        Self { kind: *kind, field, detail, remedy, retry_after: *retry_after, withheld: *withheld, source: None }
    }
    /// The cause, if it is an `E`.
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref().and_then(|source| source.downcast_ref())
    }
    /// What the caller is told.
    pub fn problem(&self) -> Problem {
        let fault =
            self.kind.status().is_server_error() && !matches!(self.kind, Kind::Unavailable | Kind::OutcomeUnknown);
        Problem {
            r#type: format!("{PROBLEM_TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title().to_string(),
            status: self.kind.status().as_u16(),
            detail: if fault {
                "something went wrong on our side; the request id tells us what".to_string()
            } else {
                self.detail.clone()
            },
            field: self.field.clone(),
            remedy: self.remedy.clone(),
        }
    }
}

/// Problem types are URNs: names that need no server to be looked up.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:corpex:problem:";

/// The body of every error answer: an RFC 9457 problem, with `field` and `remedy` as extension members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:corpex:problem:<slug>`: what scripts match on.
    pub r#type: String,
    /// The same for every problem of the type.
    pub title: String,
    /// The HTTP status, repeated for when the body is kept without its head.
    pub status: u16,
    /// What was wrong this time.
    pub detail: String,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.detail)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What callers sent may be in it: a line of the log stays one line, whatever that was.
        let mut text = format!("{}: {self}", self.kind.slug());
        if let Some(source) = &self.source {
            text += &format!(" (because: {source})");
        }
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(f, "{}", letter.escape_default()),
            false => f.write_char(letter),
        })
    }
}
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }
    fn error_response(&self) -> HttpResponse {
        if self.kind.status().is_server_error() {
            tracing::error!(error = ?self, "request failed");
        } else {
            tracing::debug!(error = ?self, "request refused");
        }
        let mut response = HttpResponse::build(self.status_code());
        match self.kind {
            Kind::Unauthenticated => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            Kind::Unavailable | Kind::RateLimited => {
                response.insert_header((header::RETRY_AFTER, self.retry_after.unwrap_or(1).to_string()));
            }
            _ => {}
        }
        // For who looks at the answer on its way out.
        response.extensions_mut().insert(self.kind);
        response.content_type(PROBLEM_JSON).json(self.problem())
    }
}

/// The media type of every refusal (RFC 9457).
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What SQLite says when its disk fails.
pub(crate) const DISK_FAILS: &str = "disk I/O error";

/// What databases say when their disk is full: SQLite, and any program that repeats its system's words.
const IS_FULL: [&str; 2] = ["database or disk is full", "No space left on device"];

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Db, Error as Diesel};
        let at_first = match &error {
            Diesel::RollbackErrorOnCommit { commit_error, .. } => commit_error,
            error => error,
        };
        let (kind, detail) = match at_first {
            Diesel::NotFound => (Kind::NotFound, "no such row"),
            Diesel::DatabaseError(Db::UniqueViolation, _) => (Kind::AlreadyExists, "this exists already"),
            Diesel::DatabaseError(Db::ClosedConnection | Db::UnableToSendCommand, _) => {
                (Kind::Unavailable, "the database cannot be reached")
            }
            conflict if crate::db::is_conflict(conflict) => {
                (Kind::Unavailable, "too many changes at once to the same records")
            }
            Diesel::DatabaseError(Db::Unknown, info) if info.message().contains("due to statement timeout") => {
                (Kind::Unavailable, "the database took too long")
            }
            Diesel::DatabaseError(Db::ReadOnlyTransaction, _) => {
                (Kind::Unavailable, "the database takes no changes at the moment")
            }
            Diesel::DatabaseError(_, info) if IS_FULL.iter().any(|full| info.message().contains(full)) => {
                (Kind::Unavailable, "the database has no room for more: nothing was changed")
            }
            Diesel::DatabaseError(_, info) if info.message().contains("out of shared memory") => {
                (Kind::Unavailable, "the database has no room for the locks of more changes: nothing was changed")
            }
            Diesel::DatabaseError(_, info) if info.message().contains(DISK_FAILS) => {
                (Kind::Unavailable, "the database's disk fails")
            }
            // PostgreSQL keeps no NUL in text, and says so with the byte at the end, in whatever language.
            Diesel::DatabaseError(_, info) if info.message().ends_with(": 0x00") => {
                (Kind::Invalid, "a text holds the character U+0000 (NUL), which none may")
            }
            _ => (Kind::Internal, "the database refused a statement"),
        };
        Self::new(kind, detail).because(error)
    }
}
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Kind::Malformed, format!("this is not the JSON expected here: {error}")).because(error)
    }
}
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => {
                Self::new(Kind::Unavailable, "there is no room for more bytes at the moment").because(error)
            }
            _ => Self::internal(error.to_string()).because(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_slug() {
        let slugs: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
    }

    #[test]
    fn a_fault_of_ours_does_not_tell_the_caller_its_cause() {
        let problem = Error::internal("password is hunter2").problem();
        assert!(!problem.detail.contains("hunter2"));
    }

    #[test]
    fn what_callers_sent_makes_no_line_of_its_own_in_the_log() {
        let error = Error::invalid("name", "唐\n2026 INFO forged").because("\u{1b}[31m");
        assert_eq!(format!("{error:?}"), r"invalid: name: 唐\n2026 INFO forged (because: \u{1b}[31m)");
    }

    #[test]
    fn what_a_database_says_tells_whose_fault_it_is() {
        use diesel::result::{DatabaseErrorKind, Error as Diesel};
        let said = |message: &str| Diesel::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_string()));
        let at_commit = Diesel::RollbackErrorOnCommit {
            rollback_error: Box::new(said("no transaction is active")),
            commit_error: Box::new(said("database or disk is full")),
        };
        for (error, kind) in [
            (said(r#"invalid byte sequence for encoding "UTF8": 0x00"#), Kind::Invalid),
            (said("could not extend file \"base/5/16396\": No space left on device"), Kind::Unavailable),
            (said("out of shared memory"), Kind::Unavailable),
            (at_commit, Kind::Unavailable),
            (said("something else"), Kind::Internal),
        ] {
            assert_eq!(Error::from(error).kind, kind);
        }
    }
}
