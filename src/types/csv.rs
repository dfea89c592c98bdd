//! Comma-separated values as RFC 4180 writes them, safe to open in a spreadsheet.

use crate::text_enum;

text_enum! {
    /// How a list is written.
    pub enum ListFormat {
        /// One page of it.
        Json = "json",
        /// All of it, as comma-separated values with a header.
        Csv = "csv",
    }
}

/// The media type of a file whose first row names its columns.
pub const MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Somebody's words. Where a spreadsheet would take them for a formula, an apostrophe stands before them.
    Text(String),
    /// A number of ours, which may begin with a minus.
    Number(String),
}

/// Appends a row to `text`.
pub fn row(text: &mut String, cells: impl IntoIterator<Item = Cell>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match cell {
            Cell::Text(words) => text.push_str(&quoted(&words)),
            Cell::Number(number) => text.push_str(&number),
        }
    }
    text.push_str("\r\n");
}

/// Words as RFC 4180 quotes them. Others choose them, and a spreadsheet runs text that begins like a formula.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let safe = if formula { format!("'{text}") } else { text.to_string() };
    match safe.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", safe.replace('"', "\"\"")),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be_and_are_never_a_formula() {
        for (text, cell) in [
            ("data/a.jsonl", "data/a.jsonl"),
            ("语料/唐诗.jsonl", "语料/唐诗.jsonl"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("＝1", "'＝1"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(quoted(text), cell);
        }
    }

    #[test]
    fn numbers_stay_numbers() {
        let mut text = String::new();
        row(&mut text, [Cell::Text("-1".into()), Cell::Number("-1".into())]);
        assert_eq!(text, "'-1,-1\r\n");
    }
}
