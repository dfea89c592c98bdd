//! Text that people will read: its length is bounded, and no character in it is invisible.

use crate::error::{Error, Result};

/// The longest reason that somebody gives for a step, in characters.
pub const MAX_REASON_CHARS: usize = 500;

/// Checks the reason that somebody gives for a step: as [`readable`].
///
/// # Errors
/// `Invalid`, naming `reason`.
pub fn reason(text: &str) -> Result<String> {
    readable("reason", text, MAX_REASON_CHARS)
}

/// Checks text that people will read: trimmed, 1 to `most` characters, none of them invisible.
///
/// # Errors
/// `Invalid`, naming `field`.
pub fn readable(field: &str, text: &str, most: usize) -> Result<String> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > most {
        return Err(Error::invalid(field, format!("this is {length} characters long; 1 to {most} are allowed")));
    }
    visible(field, text)?;
    Ok(text.to_string())
}

/// Checks that no character of a line is invisible.
///
/// # Errors
/// `Invalid`, naming `field`.
pub fn visible(field: &str, line: &str) -> Result<()> {
    match line.chars().find(|c| is_hidden(*c)) {
        None => Ok(()),
        Some(hidden) => {
            let detail = format!("the character U+{:04X} is invisible or changes the order of text", u32::from(hidden));
            Err(Error::invalid(field, detail).remedy("leave it out"))
        }
    }
}

/// True for characters by which two different texts can look the same: control characters, line separators, invisible
/// spaces and joiners, and the marks that reorder text (Unicode TR 9).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_text_is_trimmed_and_bounded() {
        assert_eq!(readable("name", "  上海语料科技 ", 10).unwrap(), "上海语料科技");
        assert_eq!(readable("name", " 1234567890 ", 10).unwrap(), "1234567890");
        for bad in ["", "   ", "12345678901"] {
            assert_eq!(readable("name", bad, 10).unwrap_err().field.as_deref(), Some("name"));
        }
    }

    #[test]
    fn text_with_hidden_characters_is_refused() {
        for bad in ["a\u{202e}b", "a\u{200b}b", "a\nb", "a\0b", "a\u{feff}b"] {
            assert!(readable("name", bad, 10).unwrap_err().detail.contains("U+"), "{bad:?}");
        }
    }
}
