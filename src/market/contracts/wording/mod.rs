//! The words of a contract, language by language.
//!
//! A contract that was signed holds the digests of what these make of it: the words of a template never change. New words
//! come with a new member of the contract, or a new version of its schema.

pub(super) mod en;
pub(super) mod zh;

use super::rendering::Line;
use crate::types::Instant;

fn item(label: &'static str, value: impl ToString) -> Line {
    Line::Item(label, value.to_string())
}

fn said(sentence: impl Into<String>) -> Line {
    Line::Said(sentence.into())
}

/// The instant to the second, without its zone: `2026-01-31 08:00:00`.
fn to_the_second(at: Instant) -> String {
    at.to_string().get(..19).unwrap_or_default().replace('T', " ")
}
