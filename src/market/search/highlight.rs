//! Highlighting: a text in pieces, each of which matches the search or not.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{TextAnalyzer, TokenStream as _};
use utoipa::ToSchema;

use super::words;

/// How much of a card is looked through for a match, in bytes.
const SCANNED_BYTES: usize = 8 * 1024;
/// How much of a card is shown around its first match, in bytes.
const BEFORE_BYTES: usize = 60;
const SHOWN_BYTES: usize = 300;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it matches the search.
    pub is_match: bool,
}

/// Marks in texts the words that were looked for.
pub(super) struct Marker<'a> {
    analyzer: TextAnalyzer,
    sought: HashSet<&'a str>,
}

impl<'a> Marker<'a> {
    pub(super) fn new(sought: impl IntoIterator<Item = &'a str>) -> Self {
        Self { analyzer: words::analyzer(), sought: sought.into_iter().collect() }
    }

    /// A whole text in pieces; none when nothing in it was looked for.
    pub(super) fn whole(&mut self, text: &str) -> Option<Vec<Piece>> {
        let matches = self.matches(text, usize::MAX);
        (!matches.is_empty()).then(|| pieces(text, 0..text.len(), &matches))
    }

    /// The part of a longer text around its first match, on one line.
    pub(super) fn around(&mut self, text: &str) -> Option<Vec<Piece>> {
        let text = text.get(..text.floor_char_boundary(SCANNED_BYTES)).unwrap_or(text);
        let matches = self.matches(text, SHOWN_BYTES);
        let first = matches.first()?;
        let start = text.ceil_char_boundary(first.start.saturating_sub(BEFORE_BYTES));
        let end = text.floor_char_boundary(start.saturating_add(SHOWN_BYTES).max(first.end));
        let mut pieces = pieces(text, start..end, &matches);
        for piece in &mut pieces {
            piece.text = piece.text.replace(char::is_control, " ");
        }
        Some(pieces)
    }

    /// Where words that were looked for stand, without overlaps: the first, and what begins within so many bytes of it.
    fn matches(&mut self, text: &str, within: usize) -> Vec<Range<usize>> {
        let (mut ranges, mut end) = (Vec::new(), usize::MAX);
        let mut stream = self.analyzer.token_stream(text);
        while stream.advance() && stream.token().offset_from < end {
            let token = stream.token();
            if self.sought.contains(token.text.as_str()) {
                end = end.min(token.offset_from.saturating_add(within));
                ranges.push(token.offset_from..token.offset_to);
            }
        }
        ranges.sort_unstable_by_key(|range: &Range<usize>| (range.start, range.end));
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

fn pieces(text: &str, shown: Range<usize>, matches: &[Range<usize>]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut push = |range: Range<usize>, is_match| {
        if let Some(text) = text.get(range).filter(|text| !text.is_empty()) {
            pieces.push(Piece { text: text.to_string(), is_match });
        }
    };
    let mut at = shown.start;
    for range in matches.iter().filter(|range| range.start >= shown.start && range.end <= shown.end) {
        push(at..range.start, false);
        push(range.clone(), true);
        at = range.end;
    }
    push(at..shown.end, false);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: Option<Vec<Piece>>) -> String {
        let shown = |piece: Piece| if piece.is_match { format!("[{}]", piece.text) } else { piece.text };
        pieces.unwrap_or_default().into_iter().map(shown).collect()
    }

    #[test]
    fn what_was_looked_for_is_marked_in_whatever_form_it_stands() {
        let mut marker = Marker::new(["poem", "语料", "语料库", "spring"]);
        assert_eq!(shown(marker.whole("Poems of many Springs: 中文语料库")), "[Poems] of many [Springs]: 中文[语料库]");
        assert_eq!(marker.whole("Prose"), None);
    }

    #[test]
    fn of_a_long_text_the_part_around_the_first_match_is_shown() {
        let text = format!("{}春天 a poem\nof spring {}", "很久以前。".repeat(50), "x ".repeat(500));
        let text = shown(Marker::new(["poem", "spring"]).around(&text));
        assert!(text.contains("春天 a [poem] of [spring] x") && text.len() < 400, "{text}");
    }
}
