//! Why a request of the Hub's clients is refused: each reason becomes one exception of the clients.

use crate::error::{Error, Kind};

/// The text by which clients know that it is the token that was refused, and not the repository that is missing.
const BAD_CREDENTIAL: &str = "Invalid credentials in Authorization header";

/// A refusal in the words of the Hub.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such repository, or the caller may not know of it.
    Repo {
        /// Whether the caller showed a credential.
        signed_in: bool,
    },
    /// The repository is there, and its files take a licence.
    Gated {
        /// Whether the caller showed a credential.
        signed_in: bool,
        /// What is missing, and where to get it.
        why: String,
    },
    /// The repository has no such revision.
    Revision {
        /// What was asked for.
        revision: String,
    },
    /// The revision has no such file or folder.
    Entry {
        /// What was asked for.
        path: String,
        /// The commit that was looked into.
        commit: String,
    },
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

impl Refusal {
    /// A refusal of the receipt desk: a licence that ended since it was looked at counts as none.
    pub(super) fn of_the_desk(error: Error) -> Self {
        match error.kind {
            Kind::NotEntitled => Refusal::Gated { signed_in: true, why: error.to_string() },
            _ => error.into(),
        }
    }

    /// What the exchange calls it.
    pub fn kind(&self) -> Kind {
        match self {
            Refusal::Gated { signed_in: false, .. } => Kind::Unauthenticated,
            Refusal::Gated { .. } => Kind::NotEntitled,
            Refusal::Repo { .. } | Refusal::Revision { .. } | Refusal::Entry { .. } => Kind::NotFound,
            Refusal::Failed(error) => error.kind,
        }
    }

    /// The HTTP status: a caller without a credential is asked for one, whether there is anything or not.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Repo { signed_in: false } => Kind::Unauthenticated,
            refusal => refusal.kind(),
        }
        .status()
        .as_u16()
    }

    /// The value of `X-Error-Code`, which decides what clients raise.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Refusal::Repo { .. } => Some("RepoNotFound"),
            Refusal::Gated { .. } => Some("GatedRepo"),
            Refusal::Revision { .. } => Some("RevisionNotFound"),
            Refusal::Entry { .. } => Some("EntryNotFound"),
            Refusal::Failed(_) => None,
        }
    }

    /// What people read.
    pub fn message(&self) -> String {
        match self {
            Refusal::Repo { .. } => "Repository not found".to_string(),
            Refusal::Gated { why, .. } => why.clone(),
            Refusal::Revision { revision } => format!("Invalid rev id: {revision}"),
            Refusal::Entry { path, .. } => format!("Entry not found: {path}"),
            Refusal::Failed(error) if error.kind == Kind::Unauthenticated => BAD_CREDENTIAL.to_string(),
            Refusal::Failed(error) => error.problem().detail,
        }
    }
}
