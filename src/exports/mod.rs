//! The catalogue and versions in published vocabularies: DCAT for catalogues, Croissant for tools that load data.
//!
//! Each document is JSON-LD that brings its own context, and links to the licence terms as ODRL ([`crate::terms::odrl`]).
//! Nothing is said here that the exchange's own API does not say to the same caller.
//!
//! Invariant: what is not on the board is in no catalogue.

pub mod croissant;
pub mod dcat;
pub(crate) mod routes;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::identity::Organisation;
use crate::terms::odrl;

/// What may not stand in an IRI (RFC 3987), though people write it into addresses.
const NOT_IN_IRIS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// An organisation, as every vocabulary here takes it.
fn agent(public_url: &str, organisation: &Organisation) -> Value {
    json!({
        "@id": odrl::organisation_iri(public_url, &organisation.handle), "@type": "foaf:Agent",
        "foaf:name": organisation.legal_name,
    })
}

fn named(iri: impl Into<String>) -> Value {
    json!({ "@id": iri.into() })
}

/// An address that somebody gave, as an IRI.
fn iri(address: &str) -> String {
    utf8_percent_encode(address, NOT_IN_IRIS).to_string()
}

fn typed(value: impl ToString, kind: &str) -> Value {
    json!({ "@value": value.to_string(), "@type": kind })
}

/// What people read of a corpus: the first paragraph of its card that is no heading; nothing if there is none.
fn summary(card_body: &str) -> Option<String> {
    const MOST_CHARS: usize = 1000;
    let card_body = card_body.replace("\r\n", "\n");
    let paragraphs = card_body.split("\n\n").map(str::trim);
    let found =
        paragraphs.flat_map(|text| text.split("\n# ")).find(|text| !text.is_empty() && !text.starts_with('#'))?;
    Some(found.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_is_summed_up_by_the_first_paragraph_that_is_no_heading() {
        let card = "# Poems\n\nSongs of\nmany springs.\n\nMore.\n";
        for card in [card.to_string(), card.replace('\n', "\r\n")] {
            assert_eq!(summary(&card).as_deref(), Some("Songs of many springs."), "{card:?}");
        }
        for nothing in ["", "\n\n", "# Poems\n", "# Poems\n\n## Songs\n"] {
            assert_eq!(summary(nothing), None, "{nothing:?}");
        }
        assert_eq!(summary(&"诗".repeat(2000)).unwrap().chars().count(), 1000);
    }

    #[test]
    fn an_address_that_is_no_iri_is_made_one() {
        assert_eq!(iri("https://a.org/{x}|y?q=%20&r=[1]#诗"), "https://a.org/%7Bx%7D%7Cy?q=%20&r=[1]#%E8%AF%97");
    }
}
