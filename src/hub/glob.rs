//! Patterns of paths as the `data_files` of a card use them: `*` and `?` within a segment, `[…]` for one of some
//! characters, `**` for any depth.

/// The most steps one comparison may take; a pattern that needs more matches nothing.
const MAX_STEPS: u32 = 100_000;

/// Whether a path fits a pattern.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_start_matches("./").split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    let mut steps = MAX_STEPS;
    fits(&pattern, &path, &mut steps)
}

fn fits(pattern: &[&str], path: &[&str], steps: &mut u32) -> bool {
    let Some(left) = steps.checked_sub(1) else { return false };
    *steps = left;
    match (pattern, path) {
        ([], []) => true,
        (["**"], rest) => !rest.is_empty(),
        (["**", after @ ..], [_, below @ ..]) => fits(after, path, steps) || fits(pattern, below, steps),
        ([one, after @ ..], [segment, below @ ..]) => {
            let (one, segment): (Vec<char>, Vec<char>) = (one.chars().collect(), segment.chars().collect());
            fits_segment(&one, &segment, steps) && fits(after, below, steps)
        }
        _ => false,
    }
}

fn fits_segment(pattern: &[char], text: &[char], steps: &mut u32) -> bool {
    let Some(left) = steps.checked_sub(1) else { return false };
    *steps = left;
    match (pattern, text) {
        ([], []) => true,
        (['*', after @ ..], _) => {
            fits_segment(after, text, steps)
                || text.split_first().is_some_and(|(_, rest)| fits_segment(pattern, rest, steps))
        }
        (['?', after @ ..], [_, rest @ ..]) => fits_segment(after, rest, steps),
        (['[', after @ ..], [c, rest @ ..]) => match class(after) {
            Some((class, after)) => class.holds(*c) && fits_segment(after, rest, steps),
            None => *c == '[' && fits_segment(after, rest, steps),
        },
        ([one, after @ ..], [c, rest @ ..]) => one == c && fits_segment(after, rest, steps),
        _ => false,
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
pub(super) fn escape(text: &str) -> String {
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
    fn a_pattern_made_to_take_for_ever_is_given_up() {
        assert!(!matches(&("*a".repeat(40) + "b"), &"a".repeat(400)));
    }
}
