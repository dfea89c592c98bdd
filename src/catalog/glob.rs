//! Patterns of paths, as the Hub's clients read them in the `data_files` of a card: `*` and `?` within a segment, `[…]` for
//! one of some characters, `**` for any depth. However one is made, matching takes no longer than its length times that
//! of the path.

/// The longest pattern, in bytes; a longer one matches nothing.
const MAX_PATTERN_BYTES: usize = 4096;

/// Whether a path fits a pattern.
pub fn matches(pattern: &str, path: &str) -> bool {
    if pattern.len() > MAX_PATTERN_BYTES {
        return false;
    }
    let pattern: Vec<&str> = pattern.trim_start_matches("./").split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    fits(&pattern, &path)
}

/// Compares segment by segment; where one does not fit, the last `**` takes one segment more.
fn fits(mut pattern: &[&str], mut path: &[&str]) -> bool {
    let mut back: Option<(&[&str], &[&str])> = None;
    loop {
        (pattern, path) = match (pattern, path) {
            ([], []) => return true,
            (["**"], rest) => return !rest.is_empty(),
            (["**", after @ ..], rest) => {
                back = Some((after, rest));
                (after, rest)
            }
            ([one, after @ ..], [segment, below @ ..]) if fits_segment(one, segment) => (after, below),
            _ => match back {
                Some((after, [_, rest @ ..])) => {
                    back = Some((after, rest));
                    (after, rest)
                }
                _ => return false,
            },
        };
    }
}

/// Compares character by character; where one does not fit, the last `*` takes one character more.
fn fits_segment(pattern: &str, text: &str) -> bool {
    let (whole, all): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut pattern, mut text) = (whole.as_slice(), all.as_slice());
    let mut back: Option<(&[char], &[char])> = None;
    loop {
        (pattern, text) = match (pattern, text) {
            ([], []) => return true,
            (['*', after @ ..], rest) => {
                back = Some((after, rest));
                (after, rest)
            }
            _ => match (fits_one(pattern, text), back) {
                (Some(next), _) => next,
                (None, Some((after, [_, rest @ ..]))) => {
                    back = Some((after, rest));
                    (after, rest)
                }
                (None, _) => return false,
            },
        };
    }
}

/// What is left of both when the first character fits what the pattern says of it.
fn fits_one<'p, 't>(pattern: &'p [char], text: &'t [char]) -> Option<(&'p [char], &'t [char])> {
    match (pattern, text) {
        (['?', after @ ..], [_, rest @ ..]) => Some((after, rest)),
        (['[', after @ ..], [c, rest @ ..]) => match class(after) {
            Some((class, after)) => class.holds(*c).then_some((after, rest)),
            None => (*c == '[').then_some((after, rest)),
        },
        ([one, after @ ..], [c, rest @ ..]) => (one == c).then_some((after, rest)),
        _ => None,
    }
}

/// What stands between `[` and `]`.
struct Class<'a> {
    negated: bool,
    members: &'a [char],
}

impl Class<'_> {
    fn holds(&self, c: char) -> bool {
        let mut members = self.members;
        let mut found = false;
        while let [first, rest @ ..] = members {
            (found, members) = match rest {
                ['-', last, rest @ ..] => (found || (*first..=*last).contains(&c), rest),
                _ => (found || *first == c, rest),
            };
        }
        found != self.negated
    }
}

/// The class that begins here, and what follows it; nothing where no `]` closes it.
fn class(text: &[char]) -> Option<(Class<'_>, &[char])> {
    let (negated, text) = match text {
        ['!' | '^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let end = text.iter().skip(1).position(|c| *c == ']')?.checked_add(1)?; // a `]` that stands first is a member
    Some((Class { negated, members: text.get(..end)? }, text.get(end.checked_add(1)?..)?))
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
        assert!(matches(&("**/".repeat(1000) + "a"), &("b/".repeat(500) + "a")));
        assert!(!matches(&("**/".repeat(1000) + "a"), &("b/".repeat(500) + "c")));
    }
}
