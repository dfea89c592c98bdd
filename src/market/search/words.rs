//! How text becomes words: the same way when a listing is indexed, when somebody searches, and when matches are shown.
//!
//! Chinese has no spaces: jieba cuts a run of Han characters by its dictionary, in its search mode, which gives the shorter
//! words inside a long one as well. It guesses no words beyond the dictionary: a guess depends on what stands around it, and
//! would cut the same name differently in a card and in a search. Other runs of letters and digits are words as they are, in
//! compatibility form and lower case, without accents, and cut back to their stem as in English.

use std::collections::HashMap;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;
use std::sync::LazyLock;

use jieba_rs::{Jieba, TokenizeMode};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, RawTokenizer, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer,
};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The longest word, in bytes: longer runs of letters are left out.
const LONGEST_BYTES: usize = 80;
/// So many runs of letters are remembered with their words; then all are forgotten.
const MOST_KNOWN: usize = 10_000;
/// No guesses: see above.
const GUESS: bool = false;

static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// The analyzer that cuts text into words.
pub(super) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(Segmenter::new()).build()
}

/// Every word of a text, and where it stands; the shorter words inside a long one follow it or precede it.
pub(super) fn words(text: &str) -> Vec<(String, Range<usize>)> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    let mut found = Vec::new();
    stream.process(&mut |token| found.push((token.text.clone(), token.offset_from..token.offset_to)));
    found
}

/// A word that somebody searches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    /// The word.
    pub(super) whole: String,
    /// The shorter words inside it: a listing that has all of these is found, too.
    pub(super) parts: Vec<String>,
}

/// The words that somebody searches for, each once. Characters that have a meaning in other search languages only separate words,
/// as every other sign does.
pub(super) fn sought(text: &str) -> Vec<Sought> {
    let mut found: Vec<Sought> = Vec::new();
    for (run, is_han) in runs(text) {
        let piece = text.get(run).unwrap_or_default();
        let new = match is_han {
            true => JIEBA.cut(piece, GUESS).into_iter().map(|token| han(token.word)).collect(),
            false => words(piece).into_iter().map(|(whole, _)| Sought { whole, parts: Vec::new() }).collect::<Vec<_>>(),
        };
        for word in new {
            if !found.contains(&word) {
                found.push(word);
            }
        }
    }
    found
}

fn han(word: &str) -> Sought {
    let inside = JIEBA.tokenize(word, TokenizeMode::Search, GUESS).into_iter().map(|token| token.word);
    Sought { whole: word.to_string(), parts: inside.filter(|part| *part != word).map(str::to_string).collect() }
}

/// Cuts text into tokens.
#[derive(Clone)]
struct Segmenter {
    of_letters: TextAnalyzer,
    /// The words that runs of letters are: the same ones come again and again.
    known: HashMap<String, String>,
    /// The token of the text that is being cut.
    token: Token,
}

impl Segmenter {
    fn new() -> Self {
        let of_letters = TextAnalyzer::builder(RawTokenizer::default());
        let of_letters = of_letters.filter(AsciiFoldingFilter).filter(Stemmer::new(Language::English));
        Self { of_letters: of_letters.build(), known: HashMap::new(), token: Token::default() }
    }

    /// Writes the word that a run of letters is to the token.
    fn write(&mut self, run: &str) {
        if run.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.token.text.push_str(run); // a number is its own word, and there are too many to remember
        }
        if let Some(word) = self.known.get(run) {
            return self.token.text.push_str(word);
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        let mut word = String::new();
        self.of_letters.token_stream(&plain(run)).process(&mut |token| word.push_str(&token.text));
        self.token.text.push_str(&word);
        self.known.insert(run.to_string(), word);
    }
}

impl Tokenizer for Segmenter {
    type TokenStream<'a> = Tokens<'a>;
    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens<'a> {
        self.token.reset();
        Tokens { segmenter: self, text, runs: runs(text), start: 0, inside: Vec::new().into_iter() }
    }
}

/// A run of letters in compatibility form and lower case.
fn plain(piece: &str) -> String {
    match piece.is_ascii() {
        true => piece.to_ascii_lowercase(),
        false => piece.nfkc().collect::<String>().to_lowercase(),
    }
}

/// The tokens of a text, one after the other.
struct Tokens<'a> {
    segmenter: &'a mut Segmenter,
    text: &'a str,
    runs: Runs<'a>,
    /// Where the run of Han characters that came last begins, and the words inside it.
    start: usize,
    inside: std::vec::IntoIter<jieba_rs::Token<'a>>,
}

impl Tokens<'_> {
    fn place(&mut self, at: Range<usize>) {
        let token = &mut self.segmenter.token;
        (token.offset_from, token.offset_to) = (at.start, at.end);
        token.position = token.position.wrapping_add(1);
    }
}

impl TokenStream for Tokens<'_> {
    fn advance(&mut self) -> bool {
        loop {
            self.segmenter.token.text.clear();
            if let Some(word) = self.inside.next() {
                self.segmenter.token.text.push_str(word.word);
                self.place(self.start + word.byte_start..self.start + word.byte_end);
                return true;
            }
            let Some((run, is_han)) = self.runs.next() else { return false };
            let piece = self.text.get(run.clone()).unwrap_or_default();
            if is_han {
                self.start = run.start;
                self.inside = JIEBA.tokenize(piece, TokenizeMode::Search, GUESS).into_iter();
            } else if piece.len() <= LONGEST_BYTES {
                self.segmenter.write(piece);
                self.place(run);
                return true;
            }
        }
    }
    fn token(&self) -> &Token {
        &self.segmenter.token
    }
    fn token_mut(&mut self) -> &mut Token {
        &mut self.segmenter.token
    }
}

/// The runs of Han characters (true) and of other letters and digits (false) in a text.
fn runs(text: &str) -> Runs<'_> {
    Runs(text.char_indices().peekable())
}

struct Runs<'a>(Peekable<CharIndices<'a>>);

impl Iterator for Runs<'_> {
    type Item = (Range<usize>, bool);
    fn next(&mut self) -> Option<Self::Item> {
        let (start, c, of_han) = self.0.find_map(|(at, c)| Some((at, c, kind(c)?)))?;
        let mut end = start + c.len_utf8();
        while let Some((at, c)) = self.0.next_if(|(_, c)| kind(*c) == Some(of_han)) {
            end = at + c.len_utf8();
        }
        Some((start..end, of_han))
    }
}

/// Whether a character is Han, or another letter or digit; none for what parts words.
fn kind(c: char) -> Option<bool> {
    let is_han = is_han(c);
    (is_han || c.is_alphanumeric() || is_combining_mark(c)).then_some(is_han)
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '々' | '〇')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn english_words_are_stems_whatever_their_case_width_and_accents() {
        assert_eq!(texts("Poems of SPRING"), ["poem", "of", "spring"]);
        assert_eq!(texts("ＧＰＴ４ café"), texts("gpt4 cafe"));
        assert_eq!(texts("training models"), texts("trained model"));
        assert!(texts(&"x".repeat(LONGEST_BYTES + 1)).is_empty());
    }

    #[test]
    fn chinese_is_cut_into_words_and_the_words_inside_them() {
        let found = texts("自动驾驶中文语料库");
        assert!(found.contains(&"自动".to_string()) && found.contains(&"驾驶".to_string()), "{found:?}");
        assert!(texts("LLM预训练语料").contains(&"llm".to_string()));
        for (word, at) in words("a 中文 b") {
            assert_eq!("a 中文 b".get(at), Some(word.as_str()));
        }
    }

    #[test]
    fn signs_of_search_languages_only_part_words() {
        let found = sought(r#"title:"spring" AND -poem* OR (tang~2)^4 \ [a TO b] 唐诗/宋词"#);
        let whole: Vec<&str> = found.iter().map(|word| word.whole.as_str()).collect();
        assert_eq!(whole, ["titl", "spring", "and", "poem", "or", "tang", "2", "4", "a", "to", "b", "唐诗", "宋词"]);
        assert!(sought(r#"*:* "" () ~^ \"#).is_empty());
    }
}
