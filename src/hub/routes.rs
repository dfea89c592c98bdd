//! The Hub's paths, its headers and its documents.

mod info;
mod list;
mod reply;
mod resolve;
mod tree;

pub(crate) use info::*;
pub(crate) use list::*;
pub(crate) use reply::{HubCaller, no_such_repository, read};
pub(crate) use resolve::*;
pub(crate) use tree::*;
