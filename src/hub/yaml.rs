//! Writes front matter that every YAML parser reads in the same way.
//!
//! Python's parsers follow YAML 1.1, where an unquoted `no` is false, `12:30` a number and `2026-01-01` a date. So a text
//! is unquoted only where it cannot be anything else, and otherwise quoted as in JSON, which YAML reads as well.

use yaml_serde::{Mapping, Value};

/// Words that stand for something else than themselves in one YAML or another.
const OTHERWISE_READ: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// Writes a mapping, one line for each key and more below it.
pub(super) fn write(mapping: &Mapping) -> String {
    let mut out = String::new();
    entries(&mut out, mapping, 0);
    out
}

/// Whether a text is read as itself, and as nothing else, without quotes.
pub(super) fn is_bare(text: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '*' | ' ');
    text.starts_with(char::is_alphabetic)
        && text.chars().all(inside)
        && !text.ends_with(' ')
        && !OTHERWISE_READ.contains(&text.to_lowercase().as_str())
}

fn entries(out: &mut String, mapping: &Mapping, indent: usize) {
    for (key, value) in mapping {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(&scalar(key));
        out.push(':');
        nested(out, value, indent);
    }
}

fn items(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push('-');
        match item {
            Value::Mapping(mapping) if !mapping.is_empty() => {
                let mut inner = String::new();
                entries(&mut inner, mapping, indent.saturating_add(2));
                out.push(' ');
                out.push_str(inner.trim_start_matches(' ')); // its first line stands beside the dash
            }
            other => nested(out, other, indent.saturating_add(2)),
        }
    }
}

/// What follows a colon or a dash.
fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            out.push('\n');
            entries(out, mapping, indent.saturating_add(2));
        }
        Value::Sequence(sequence) if !sequence.is_empty() => {
            out.push('\n');
            items(out, sequence, indent);
        }
        other => {
            out.push(' ');
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_bare(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Sequence(_) => "[]".to_string(),
        Value::Mapping(_) => "{}".to_string(),
        Value::Tagged(tagged) => scalar(&tagged.value),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // What a reader may refuse to see in a document.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let yaml = "a: [x, 'no', '12:30', '2026-01-01', '', ' x ', \"l1\\nl2\\t\\x7f\\\"\", '#', '- a', '语料 一', '*', '&a']\n\
                    b: {c: [[1, 2.5], [], {}], d: null, e: true, 'f: g': {h: i}}\nc:\n- d: 1\n  e:\n  - f: [g]\n    h: -1\n- {}\n";
        let mapping: Mapping = yaml_serde::from_str(yaml).unwrap();
        let written = write(&mapping);
        assert_eq!(yaml_serde::from_str::<Mapping>(&written).unwrap(), mapping, "{written}");
    }

    #[test]
    fn a_text_is_bare_only_where_it_cannot_be_anything_else() {
        for text in ["zh-Hant", "data/train-*.jsonl", "全唐詩", "public domain"] {
            assert!(is_bare(text), "{text}");
        }
        for text in
            ["no", "ON", "1e3", "0x1f", "12:30", "2026-01-01", "~", "", "a: b", "a #b", "-", "*a", "a ", "<<", "="]
        {
            assert!(!is_bare(text), "{text}");
        }
    }
}
