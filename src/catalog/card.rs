//! Dataset cards: Markdown with YAML front matter, as on the Hugging Face Hub.
//!
//! The exchange keeps a card byte for byte, because the signed manifest holds its digest; it only checks that the
//! front matter can be read.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess as _, Visitor};
use yaml_serde::Mapping;

use super::lineage::NamedParent;
use super::manifest::Origin;
use crate::error::{Error, Kind, Result};

/// The largest card, in bytes.
pub const MAX_CARD_BYTES: usize = 1024 * 1024;

/// A card taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Card<'a> {
    /// The YAML between the two `---` lines; empty when there is none.
    pub front_matter: Mapping,
    /// The Markdown after it.
    pub body: &'a str,
}

impl<'a> Card<'a> {
    /// Reads a card.
    ///
    /// # Errors
    /// `TooLarge` above [`MAX_CARD_BYTES`]; `Invalid` when the front matter does not end, is not YAML or is not a
    /// mapping. The field is `card`.
    pub fn parse(text: &'a str) -> Result<Self> {
        let invalid = |why: String| Error::invalid("card", why);
        if text.len() > MAX_CARD_BYTES {
            let detail = format!("a card of {} bytes is larger than {MAX_CARD_BYTES}", text.len());
            return Err(Error::new(Kind::TooLarge, detail).field("card"));
        }
        if text.contains('\0') {
            return Err(invalid("the card contains a NUL character".to_string()));
        }
        let Some((yaml, body)) = split(text)? else {
            return Ok(Self { front_matter: Mapping::new(), body: text });
        };
        check_expansion(yaml)?;
        let value: yaml_serde::Value = yaml_serde::from_str(yaml)
            .map_err(|error| invalid(format!("the front matter is not YAML: {error}")).because(error))?;
        match value {
            yaml_serde::Value::Mapping(front_matter) => Ok(Self { front_matter, body }),
            yaml_serde::Value::Null => Ok(Self { front_matter: Mapping::new(), body }),
            _ => Err(invalid("the front matter is not a mapping (lines of `name: value`)".to_string())),
        }
    }

    /// The Markdown of a card whose front matter is of no interest; where that does not end, all of the card.
    pub fn body_of(text: &str) -> &str {
        split(text).ok().flatten().map_or(text, |(_, body)| body)
    }

    /// What the front matter's `provenance` key says about the origin of the data, in the words of the manifest.
    ///
    /// # Errors
    /// `Invalid`, field `card`, when the key is missing or is not an [`Origin`].
    pub fn origin(&self) -> Result<Origin> {
        let value = self.front_matter.get("provenance").ok_or_else(|| {
            Error::invalid("card", "the front matter has no `provenance`").remedy(
                "add `provenance:` with collection_method, source_licence, consent and personal_data to the card",
            )
        })?;
        yaml_serde::from_value(value.clone())
            .map_err(|error| Error::invalid("card", format!("`provenance` in the front matter: {error}")))
    }

    /// What the data was made from: the list under the front matter's `parents` key; nothing when there is none.
    ///
    /// # Errors
    /// `Invalid`, field `card`, when one of them is not a parent.
    pub fn parents(&self) -> Result<Vec<NamedParent>> {
        let Some(value) = self.front_matter.get("parents") else { return Ok(Vec::new()) };
        let refused = |what: &str, error: &dyn fmt::Display| {
            Error::invalid("card", format!("`{what}` in the front matter: {error}"))
                .remedy("name each parent by dataset and version, or by url or sha256")
        };
        let items = value.as_sequence().ok_or_else(|| refused("parents", &"this is not a list"))?;
        let read = |(index, item): (usize, &yaml_serde::Value)| {
            yaml_serde::from_value(item.clone()).map_err(|error| refused(&format!("parents[{index}]"), &error))
        };
        items.iter().enumerate().map(read).collect()
    }
}

/// Refuses YAML whose aliases (`*name`) make more of it than its text could hold: a small card could otherwise fill
/// the memory of whoever reads it.
fn check_expansion(yaml: &str) -> Result<()> {
    if !yaml.contains('*') {
        return Ok(()); // without an alias, it is as much as its text
    }
    let left = Cell::new(yaml.len().saturating_add(1));
    let read = Counting(&left).deserialize(yaml_serde::Deserializer::from_str(yaml));
    read.map_err(|error| Error::invalid("card", format!("the front matter is not YAML: {error}")).because(error))
}

/// Reads anything, keeps nothing, and gives up when there are more values than were left.
#[derive(Clone, Copy)]
struct Counting<'a>(&'a Cell<usize>);

impl Counting<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| E::custom("its aliases expand to too much"))?;
        self.0.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Counting<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Counting<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.count()
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.count()
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.count()
    }
    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<(), E> {
        self.count()
    }
    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<(), E> {
        self.count()
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.count()
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.count()
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.count()
    }
    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.count()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.count()?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.count()?;
        while entries.next_key_seed(self)?.is_some() {
            entries.next_value_seed(self)?;
        }
        Ok(())
    }
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let ((), value) = tagged.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}

/// The front matter and what follows it, if the text starts with a `---` line.
fn split(text: &str) -> Result<Option<(&str, &str)>> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return Ok(None);
    };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        let after = end + line.len();
        if line.trim_end() == "---" {
            return Ok(rest.get(..end).zip(rest.get(after..)));
        }
        end = after;
    }
    Err(Error::invalid("card", "the front matter does not end").remedy("close it with a line `---`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_and_body_are_told_apart() {
        for text in [
            "---\nlicense: mit\n---\n# Tang\n",
            "---\r\nlicense: mit\r\n---\r\n# Tang\n",
            "\u{FEFF}---\nlicense: mit\n---\n# Tang\n",
        ] {
            let card = Card::parse(text).unwrap();
            assert_eq!(card.front_matter.get("license").and_then(|value| value.as_str()), Some("mit"), "{text:?}");
            assert_eq!((card.body, Card::body_of(text)), ("# Tang\n", "# Tang\n"));
        }
    }

    #[test]
    fn a_card_without_front_matter_is_all_body() {
        for text in ["", "# Tang\n---\nx", "----\n"] {
            let card = Card::parse(text).unwrap();
            assert!(card.front_matter.is_empty());
            assert_eq!((card.body, Card::body_of(text)), (text, text));
        }
        assert_eq!(Card::body_of("---\nlicense: mit\n"), "---\nlicense: mit\n");
        assert!(Card::parse("---\n---\n").unwrap().front_matter.is_empty());
    }

    #[test]
    fn each_unreadable_card_is_refused_with_its_reason() {
        let bomb =
            format!("---\na: &a [x,x,x,x,x,x,x,x]\n{}---\n", (0..12).map(|_| "b: &b [*a,*a,*a]\n").collect::<String>());
        for (text, reason) in [
            ("---\nlicense: mit\n", "does not end"),
            ("---\n- a\n- b\n---\n", "not a mapping"),
            ("---\na: [\n---\n", "not YAML"),
            ("a\0b", "NUL"),
            (&bomb, "not YAML"),
            (&"x".repeat(MAX_CARD_BYTES + 1), "larger"),
        ] {
            let error = Card::parse(text).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("card"));
            assert!(error.detail.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_origin_of_the_data_can_be_written_in_the_card() {
        let text = "---\nprovenance:\n  collection_method: feeds\n  source_licence: MIT\n  consent: public domain\n  personal_data: none\n---\n";
        assert_eq!(Card::parse(text).unwrap().origin().unwrap().source_licence, "MIT");
        assert!(Card::parse("").unwrap().origin().unwrap_err().remedy.is_some());
    }

    #[test]
    fn the_parents_can_be_written_in_the_card() {
        let card = |yaml: &str| Card::parse(&format!("---\n{yaml}---\n")).unwrap().parents();
        assert_eq!(card("license: mit\n").unwrap(), []);
        let named =
            card("parents:\n- dataset: a/b\n  version: 2\n- url: https://a.org/\n  licence: CC0-1.0\n").unwrap();
        assert_eq!(named[0], NamedParent::Version("a/b".into(), 2, None));
        assert!(matches!(&named[1], NamedParent::Source(source) if source.licence.as_deref() == Some("CC0-1.0")));
        for (yaml, reason) in [
            ("parents: a/b\n", "`parents` in the front matter: this is not a list"),
            ("parents:\n- sha256: abc\n", "`parents[0]` in the front matter: "),
            ("parents:\n- url: https://a.org/\n- dataset: a/b\n", "`parents[1]` in the front matter: version: "),
        ] {
            let error = card(yaml).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("card"));
            assert!(error.detail.contains(reason) && error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn aliases_may_repeat_a_little_and_not_multiply() {
        let card = |yaml: &str| format!("---\n{yaml}---\n");
        let modest = card("a: &a [x, y]\nb: *a\nc: !tag {d: 1.5, e: null, f: true, g: -1}\nlicense: mit\n");
        assert_eq!(Card::parse(&modest).unwrap().front_matter.len(), 4);
        let bomb = card(&format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(50_000), "*a, ".repeat(50_000)));
        let error = Card::parse(&bomb).unwrap_err();
        assert!(error.detail.contains("expand"), "{error}");
    }
}
