//! Looking ahead: what the members of a group are about to ask for one by one is loaded for all of them before the first
//! one runs.
//!
//! Each purchase of a group looks up a buyer, a key and a wallet. It says beforehand which, as far as its request tells, and one
//! query loads all things of a kind for the whole group. They are only loaded sooner: what was not named beforehand, or was not
//! found, is looked up when it is asked for.
//!
//! Invariant: nobody's key makes the question fail for the others. PostgreSQL takes no text with a NUL in it: such
//! a key is left out, and fails when it is asked for alone.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Conn;
use crate::error::{Error, Result};

/// Loads the things of one kind that go by these keys, by [`load_ahead`](super::load_ahead), or has each at hand by
/// [`keep`](super::keep).
type Load = fn(&mut Conn, &[String]) -> Result<()>;

/// Something that is about to be asked for.
#[derive(Debug, Clone)]
pub struct Ahead {
    key: String,
    load: Load,
}

impl Ahead {
    /// What goes by `key`, which `load` loads together with others.
    pub fn new(key: impl Display, load: Load) -> Self {
        Self { key: key.to_string(), load }
    }
}

/// Loads all of these, each kind together and each key once. What panics has failed.
pub(super) fn load_all<'a>(c: &mut Conn, wanted: impl IntoIterator<Item = &'a Ahead>) -> Result<()> {
    let mut kinds: Vec<(Load, BTreeSet<&str>)> = Vec::new();
    for Ahead { key, load } in wanted.into_iter().filter(|ahead| !ahead.key.contains('\0')) {
        match kinds.iter_mut().find(|(kind, _)| std::ptr::fn_addr_eq(*kind, *load)) {
            Some((_, keys)) => drop(keys.insert(key)),
            None => kinds.push((*load, BTreeSet::from([key.as_str()]))),
        }
    }
    for (load, keys) in kinds {
        let keys: Vec<_> = keys.into_iter().map(str::to_string).collect();
        let loaded = catch_unwind(AssertUnwindSafe(|| load(c, &keys)));
        loaded.unwrap_or_else(|_| Err(Error::internal("what loads ahead panicked")))?;
    }
    Ok(())
}
