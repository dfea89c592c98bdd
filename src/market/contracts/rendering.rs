//! Renderings: the contract as people read it. The wording makes a [`Paper`] of the document; this prints it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::document::ContractDocument;
use super::wording;
use crate::text_enum;
use crate::types::Digest;
use crate::types::text::is_hidden;

text_enum! {
    /// The language of a rendering.
    pub enum Language {
        /// Chinese.
        Zh = "zh",
        /// English.
        En = "en",
    }
}

text_enum! {
    /// The format of a rendering.
    pub enum RenderingFormat {
        /// A page for a browser.
        Html = "html",
        /// Plain text.
        Text = "text",
    }
}

/// The digests of a contract's renderings, each over the rendering's bytes in UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renderings {
    /// In Chinese.
    pub zh: Rendered,
    /// In English.
    pub en: Rendered,
}

/// The digests of the renderings in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rendered {
    /// Of the page.
    pub html_sha256: Digest,
    /// Of the plain text.
    pub text_sha256: Digest,
}

impl Renderings {
    /// Renders a document in every language and format.
    pub fn of(document: &ContractDocument) -> Self {
        let rendered = |language| {
            let paper = paper(document, language);
            let [html_sha256, text_sha256] =
                [RenderingFormat::Html, RenderingFormat::Text].map(|format| Digest::of(paper.print(format)));
            Rendered { html_sha256, text_sha256 }
        };
        Self { zh: rendered(Language::Zh), en: rendered(Language::En) }
    }
    fn named(&self) -> [(&'static str, Digest); 4] {
        [
            ("zh.html_sha256", self.zh.html_sha256),
            ("zh.text_sha256", self.zh.text_sha256),
            ("en.html_sha256", self.en.html_sha256),
            ("en.text_sha256", self.en.text_sha256),
        ]
    }
    /// The first member in which the two differ.
    pub(super) fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let pairs = self.named().into_iter().zip(other.named());
        pairs.into_iter().find(|(own, others)| own != others).map(|((name, _), _)| name)
    }
}

/// Renders a contract. Pure: the same document gives the same bytes, for ever.
pub fn render(document: &ContractDocument, language: Language, format: RenderingFormat) -> String {
    paper(document, language).print(format)
}

fn paper(document: &ContractDocument, language: Language) -> Paper {
    match language {
        Language::Zh => wording::zh::paper(document),
        Language::En => wording::en::paper(document),
    }
}

/// A contract in words, before it has a format. Its texts are raw: the printers make them harmless.
pub(super) struct Paper {
    /// BCP 47.
    pub(super) language: &'static str,
    /// What stands between a label and its value.
    pub(super) colon: &'static str,
    pub(super) title: &'static str,
    pub(super) head: Vec<Line>,
    pub(super) clauses: Vec<(&'static str, Vec<Line>)>,
    pub(super) foot: Vec<Line>,
}

/// A line of a contract.
pub(super) enum Line {
    /// A label and its value.
    Item(&'static str, String),
    /// A sentence.
    Said(String),
}

impl Paper {
    fn print(&self, format: RenderingFormat) -> String {
        match format {
            RenderingFormat::Text => self.to_text(),
            RenderingFormat::Html => self.to_html(),
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        self.lines_to_text(&mut text, &self.head);
        for (heading, lines) in &self.clauses {
            let _ = write!(text, "\n{heading}\n");
            self.lines_to_text(&mut text, lines);
        }
        text.push('\n');
        self.lines_to_text(&mut text, &self.foot);
        text
    }

    /// A value of several lines is set off: none of them can pass for a line of the contract.
    fn lines_to_text(&self, text: &mut String, lines: &[Line]) {
        for line in lines {
            match line {
                Line::Said(sentence) => text.push_str(&visible(sentence)),
                Line::Item(label, value) => {
                    let _ = write!(text, "{label}{}", self.colon);
                    match value.contains('\n') {
                        false => text.push_str(&visible(value)),
                        true => value.split('\n').for_each(|part| {
                            let _ = write!(text, "\n    | {}", visible(part));
                        }),
                    }
                }
            }
            text.push('\n');
        }
    }

    fn to_html(&self) -> String {
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n</head>\n\
             <body>\n<h1>{title}</h1>\n",
            self.language,
            title = self.title
        );
        self.lines_to_html(&mut page, &self.head);
        for (heading, lines) in &self.clauses {
            let _ = writeln!(page, "<h2>{}</h2>", escaped(heading));
            self.lines_to_html(&mut page, lines);
        }
        page.push_str("<hr>\n");
        self.lines_to_html(&mut page, &self.foot);
        page.push_str("</body>\n</html>\n");
        page
    }

    /// A value stands in a `bdi`: text that runs from right to left cannot reorder what is around it.
    fn lines_to_html(&self, page: &mut String, lines: &[Line]) {
        for line in lines {
            let _ = match line {
                Line::Said(sentence) => writeln!(page, "<p>{}</p>", escaped(sentence)),
                Line::Item(label, value) => {
                    let value = value.split('\n').map(escaped).collect::<Vec<_>>().join("<br>");
                    writeln!(page, "<p>{}{}<bdi>{value}</bdi></p>", escaped(label), self.colon)
                }
            };
        }
    }
}

/// The text with its invisible characters, and those that change the order of text, spelled out.
fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |shown, hidden| {
        let _ = write!(shown, "[U+{:04X}]", u32::from(hidden));
    })
}

/// The visible text, as HTML shows it in an element.
fn escaped(text: &str) -> String {
    let is_markup = |c| matches!(c, '&' | '<' | '>' | '"' | '\'');
    let escape = |html: &mut String, c| {
        html.push_str(match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            _ => "&#39;",
        });
    };
    replaced(&visible(text), is_markup, escape).into_owned()
}

/// The text with some of its characters written otherwise. Most texts have none of them, and are left alone.
fn replaced(text: &str, which: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let (mut written, mut kept) = (String::new(), text);
    while let Some((before, c, after)) = split_at(kept, &which) {
        written.push_str(before);
        write(&mut written, c);
        kept = after;
    }
    match written.is_empty() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(written + kept),
    }
}

/// What is before and after the first such character.
fn split_at(text: &str, which: impl Fn(char) -> bool) -> Option<(&str, char, &str)> {
    let (at, c) = text.char_indices().find(|(_, c)| which(*c))?;
    let (before, rest) = text.split_at(at);
    Some((before, c, rest.get(c.len_utf8()..)?))
}

#[cfg(test)]
#[path = "rendering_tests.rs"]
mod tests;
