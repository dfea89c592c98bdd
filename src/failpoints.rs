//! Failpoints: places around every write at which a test can make the exchange fail or end, as a full disk or a power cut
//! would.
//!
//! Only builds with the feature `failpoints` have them, as the tests' builds do. The variable `FAILPOINTS` arms them in the
//! syntax of the crate `fail`: `db-commit=2*off->1*return` fails the third commit, and `return(abort)` ends the program
//! there.

use std::io;

/// A place around a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A statement that changes rows has run, within its transaction.
    DbStatement,
    /// A transaction is about to be committed.
    DbCommit,
    /// A transaction is committed, and nobody is told yet.
    DbCommitted,
    /// The object store is about to be changed.
    StoreChange,
    /// The object store is changed, and nobody is told yet.
    StoreChanged,
    /// A file is about to be moved to its place in the object directory.
    DiskMove,
    /// A folder of the object directory is about to be synced.
    DiskSync,
}

impl Site {
    /// Every place.
    pub const ALL: [Self; 7] = [
        Self::DbStatement,
        Self::DbCommit,
        Self::DbCommitted,
        Self::StoreChange,
        Self::StoreChanged,
        Self::DiskMove,
        Self::DiskSync,
    ];

    /// The name that arms it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DbStatement => "db-statement",
            Self::DbCommit => "db-commit",
            Self::DbCommitted => "db-committed",
            Self::StoreChange => "store-change",
            Self::StoreChanged => "store-changed",
            Self::DiskMove => "disk-move",
            Self::DiskSync => "disk-sync",
        }
    }
}

/// Whether a test has armed the place: for what costs something to find out before it is passed.
#[cfg(feature = "failpoints")]
pub(crate) fn is_armed(site: Site) -> bool {
    fail::list().iter().any(|(name, _)| name == site.name())
}

/// Never: this build has no failpoints.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn is_armed(_: Site) -> bool {
    false
}

/// Fails, or does not come back, when the place is armed.
///
/// # Errors
/// That of a disk of which nothing more is known.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(site: Site) -> io::Result<()> {
    let name = site.name();
    fail::fail_point!(name, |how| {
        tracing::warn!(site = name, "a failpoint gives way");
        match how.as_deref() {
            Some("abort") => std::process::abort(),
            _ => Err(io::Error::other(format!("the failpoint {name} gave way"))),
        }
    });
    Ok(())
}

/// Fails never: this build has no failpoints.
///
/// # Errors
/// None.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn pass(_: Site) -> io::Result<()> {
    Ok(())
}
