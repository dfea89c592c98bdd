//! Path patterns, as the Hub's clients read them in the `data_files` of a card: `*` and `?` within a segment, `[…]` for one
//! of some characters, `**` for any depth. Matching takes at most the pattern's length times that of the path, whatever the
//! pattern.

/// The longest pattern, in bytes; a longer one matches nothing.
const MAX_PATTERN_BYTES: usize = 4096;

/// Whether a path fits a pattern.
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut steps = u64::MAX;
    Pattern::new(pattern).matches(path, &mut steps).unwrap_or(false)
}

/// A pattern that was read.
pub struct Pattern(Option<Vec<Segment>>);

enum Segment {
    /// `**`
    AnyDepth,
    Named(Vec<Token>),
}

enum Token {
    /// `*`
    Some,
    /// `?`
    Any,
    /// `[…]`, and with `!` or `^` none of these.
    OneOf {
        members: Vec<char>,
        negated: bool,
    },
    One(char),
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Self {
        let segment = |segment: &str| match segment {
            "**" => Segment::AnyDepth,
            named => Segment::Named(tokens(named)),
        };
        let short = text.len() <= MAX_PATTERN_BYTES;
        Self(short.then(|| text.trim_start_matches("./").split('/').map(segment).collect()))
    }

    /// Whether a path fits; nothing once that took all `steps`, from which each letter that is looked at is taken.
    pub fn matches(&self, path: &str, steps: &mut u64) -> Option<bool> {
        let path: Vec<&str> = path.split('/').collect();
        self.0.as_ref().map_or(Some(false), |segments| fits(segments, &path, steps))
    }
}

fn tokens(segment: &str) -> Vec<Token> {
    let segment: Vec<char> = segment.chars().collect();
    let (mut rest, mut tokens) = (segment.as_slice(), Vec::new());
    let mut closes = true;
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            '*' => Token::Some,
            '?' => Token::Any,
            '[' if closes => match class(after) {
                Some((class, after)) => {
                    rest = after;
                    class
                }
                None => {
                    closes = false; // nor does any later one
                    Token::One('[')
                }
            },
            one => Token::One(*one),
        });
    }
    tokens
}

/// Reads the members after a `[`; nothing when no `]` ends them.
fn class(text: &[char]) -> Option<(Token, &[char])> {
    let (negated, text) = match text {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let end = text.iter().skip(1).position(|c| *c == ']')?.checked_add(1)?; // a `]` that stands first is a member
    Some((Token::OneOf { members: text.get(..end)?.to_vec(), negated }, text.get(end.checked_add(1)?..)?))
}

/// Compares segment by segment; where one does not fit, the last `**` takes one segment more.
fn fits(mut pattern: &[Segment], mut path: &[&str], steps: &mut u64) -> Option<bool> {
    let mut back: Option<(&[Segment], &[&str])> = None;
    loop {
        *steps = steps.checked_sub(1)?;
        (pattern, path) = match (pattern, path) {
            ([], []) => return Some(true),
            ([Segment::AnyDepth], rest) => return Some(!rest.is_empty()),
            ([Segment::AnyDepth, after @ ..], rest) => {
                back = Some((after, rest));
                (after, rest)
            }
            ([Segment::Named(one), after @ ..], [segment, below @ ..]) if fits_segment(one, segment, steps)? => {
                (after, below)
            }
            _ => match back {
                Some((after, [_, rest @ ..])) => {
                    back = Some((after, rest));
                    (after, rest)
                }
                _ => return Some(false),
            },
        };
    }
}

/// Compares character by character; where one does not fit, the last `*` takes one character more.
fn fits_segment(mut pattern: &[Token], text: &str, steps: &mut u64) -> Option<bool> {
    let all: Vec<char> = text.chars().collect();
    let mut text = all.as_slice();
    let mut back: Option<(&[Token], &[char])> = None;
    loop {
        *steps = steps.checked_sub(1)?;
        (pattern, text) = match (pattern, text) {
            ([], []) => return Some(true),
            ([Token::Some, after @ ..], rest) => {
                back = Some((after, rest));
                (after, rest)
            }
            ([one, after @ ..], [c, rest @ ..]) if one.fits(*c, steps)? => (after, rest),
            _ => match back {
                Some((after, [_, rest @ ..])) => {
                    back = Some((after, rest));
                    (after, rest)
                }
                _ => return Some(false),
            },
        };
    }
}

impl Token {
    fn fits(&self, c: char, steps: &mut u64) -> Option<bool> {
        Some(match self {
            Self::Some | Self::Any => true,
            Self::One(one) => *one == c,
            Self::OneOf { members, negated } => {
                *steps = steps.checked_sub(u64::try_from(members.len()).unwrap_or(u64::MAX))?;
                holds(members, c) != *negated
            }
        })
    }
}

/// Whether a character is one of these: each a character, or a range such as `a-z`.
fn holds(mut members: &[char], c: char) -> bool {
    while let [first, rest @ ..] = members {
        let (found, after) = match rest {
            ['-', last, after @ ..] => ((*first..=*last).contains(&c), after),
            after => (*first == c, after),
        };
        if found {
            return true;
        }
        members = after;
    }
    false
}

/// The pattern that fits this text and nothing else.
pub fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[') {
            pattern.extend(['[', c, ']']);
        } else {
            pattern.push(c);
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_the_clients() {
        for (pattern, path, fitting) in [
            ("data/*.jsonl", "data/a.jsonl", true),
            ("./data/*.jsonl", "data/a.jsonl", true),
            ("data/*.jsonl", "data/deep/a.jsonl", false),
            ("**/*.jsonl", "data/deep/a.jsonl", true),
            ("**/*.jsonl", "a.jsonl", true),
            ("data/**", "data/deep/a.jsonl", true),
            ("data/**", "data", false),
            ("*.jsonl", "data/a.jsonl", false),
            ("a?c", "abc", true),
            ("a[bx-z]c", "ayc", true),
            ("a[!b]c", "abc", false),
            ("a[b", "a[b", true),
            ("train-*-of-*.parquet", "train-00000-of-00003.parquet", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), fitting, "{pattern} against {path}");
        }
    }

    #[test]
    fn an_escaped_path_fits_itself_alone() {
        for path in ["a[1]*.jsonl", "what?.txt", "]x[", "春/夏.parquet"] {
            assert!(matches(&escape(path), path), "{path}");
        }
        assert!(!matches(&escape("a*"), "ab"));
    }

    #[test]
    fn a_pattern_made_to_take_for_ever_or_to_nest_without_end_is_answered() {
        assert!(!matches(&("*a".repeat(40) + "b"), &"a".repeat(400)));
        assert!(matches(&"*".repeat(MAX_PATTERN_BYTES), "a"));
        assert!(!matches(&"*".repeat(1 << 20), "a"));
        assert!(!matches(&("*".to_string() + &"[".repeat(4000)), &"[".repeat(1000)));
        assert!(matches(&("**/".repeat(1000) + "a"), &("b/".repeat(500) + "a")));
        assert!(!matches(&("**/".repeat(1000) + "a"), &("b/".repeat(500) + "c")));
    }

    #[test]
    fn whoever_has_many_to_compare_says_how_long_that_may_take() {
        let (pattern, path) = (Pattern::new(&("*a".repeat(40) + "[b-z]")), "a".repeat(400));
        let mut steps = 1_000_000;
        assert_eq!(pattern.matches(&path, &mut steps), Some(false));
        let one = 1_000_000 - steps;
        while pattern.matches(&path, &mut steps).is_some() {}
        assert!(steps < one && one < 40 * 2 * 400, "{one}");
    }
}
