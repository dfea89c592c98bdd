//! Output for people and scripts: results, progress and failures.
//!
//! Much of it was written by strangers. A terminal would obey control characters in it: there they are spelled out.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// After how many things that are counted a line is written, where there is no terminal.
const LINE_EVERY: u64 = 100_000;

/// Begins bold letters on a terminal.
pub(super) const BOLD: &str = "\u{1b}[1m";
/// Ends them.
pub(super) const PLAIN: &str = "\u{1b}[0m";

/// How results are written.
#[derive(Clone)]
pub(super) struct Out {
    json: bool,
    silent: bool,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Self { json, silent: false }
    }

    /// For a command that is a step of another one, which tells the story itself.
    pub(super) fn silent() -> Self {
        Self { json: true, silent: true }
    }

    /// True when one JSON document is wanted.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a command's result: the document when JSON is wanted, else the text a person reads.
    pub(super) fn result<T: Serialize>(&self, document: &T, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.text(&serde_json::to_string_pretty(document)?) } else { self.text(&text()) }
    }

    /// Prints text to standard output, with a newline at its end; on a terminal, what would steer it is spelled out.
    pub(super) fn text(&self, text: &str) -> Result<()> {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let shown = if std::io::stdout().is_terminal() { harmless(text) } else { text.to_string() };
        self.bytes(format!("{shown}{newline}").as_bytes()).map(drop)
    }

    /// Writes bytes to standard output as they are; false when nobody reads them any more.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<bool> {
        if self.silent {
            return Ok(true);
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // The reader has read enough, and closed the pipe.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            outcome => Ok(outcome.map(|()| true)?),
        }
    }

    /// Tells a person what happens, on standard error.
    pub(super) fn note(&self, text: impl AsRef<str>) {
        if !self.json {
            say(text.as_ref());
        }
    }

    /// Progress over `total` things: a bar on a terminal, a line for each hundred thousand elsewhere, nothing with `--json`.
    pub(super) fn count(&self, what: &'static str, total: u64) -> Count {
        let on_a_terminal = !self.json && std::io::stderr().is_terminal();
        let target = if on_a_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:<12} {bar:30} {pos:>10} of {len:<10} {per_sec:>12}  {eta} left")
        {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Count { what, plain: !self.json && !on_a_terminal, bar }
    }

    /// Progress over `total_bytes`: bars on a terminal, a line now and then elsewhere; with `--json` no more than a line when
    /// files wait.
    pub(super) fn progress(&self, what: &'static str, total_bytes: u64) -> Progress {
        let has_bars = !self.json && std::io::stderr().is_terminal();
        let bars = MultiProgress::new();
        if !has_bars {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─")
        };
        let total = bars.add(ProgressBar::new(total_bytes));
        total.set_style(style("{msg:<12} {bar:30} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}  {eta} left"));
        total.set_message(what);
        total.enable_steady_tick(Duration::from_millis(200));
        Progress {
            what,
            plain: !self.json && !has_bars,
            tells_of_waiting: Arc::new(AtomicBool::new(!has_bars && !self.silent)),
            bars,
            total,
            file: style("  {bar:30} {bytes:>10}  {msg}"),
        }
    }
}

/// Says something on standard error; on a terminal, what would steer it is spelled out.
pub(super) fn say(text: &str) {
    write_to_stderr(&format!("{text}\n"));
}

/// Asks something on standard error, and reads a line of standard input.
pub(super) fn ask(question: &str) -> Result<String> {
    write_to_stderr(question);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_string())
}

/// A reader that has read enough may have closed the pipe: the work goes on.
fn write_to_stderr(text: &str) {
    let shown = if std::io::stderr().is_terminal() { harmless(text) } else { text.to_string() };
    let _ = std::io::stderr().write_all(shown.as_bytes());
}

/// So many of a thing: `1 shard`, `2 shards`, `0 entries`.
pub(super) fn counted(count: impl Display, thing: &str) -> String {
    let (count, stem) = (count.to_string(), thing.strip_suffix('y'));
    match stem {
        _ if count == "1" => format!("{count} {thing}"),
        Some(stem) => format!("{count} {stem}ies"),
        None if thing.ends_with('s') => format!("{count} {thing}es"),
        None => format!("{count} {thing}s"),
    }
}

/// Text without what steers a terminal, or puts letters elsewhere than they are read: that is spelled out. Bold letters stay.
fn harmless(text: &str) -> String {
    let steers = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    let reorders = |letter: char| matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let is_bold = || text.get(at..).is_some_and(|rest| rest.starts_with(BOLD) || rest.starts_with(PLAIN));
        if (steers(letter) || reorders(letter)) && !is_bold() {
            let _ = write!(shown, "\\u{:04x}", u32::from(letter));
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Progress over things that are counted.
pub(super) struct Count {
    what: &'static str,
    plain: bool,
    bar: ProgressBar,
}

impl Count {
    /// Counts so many more.
    pub(super) fn advance(&self, by: usize) {
        self.bar.inc(u64::try_from(by).unwrap_or(0));
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        if self.plain && done.is_multiple_of(LINE_EVERY) {
            say(&format!("{}: {done} of {total}", self.what));
        }
    }
    /// Ends it.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Progress over several files at once.
#[derive(Clone)]
pub(super) struct Progress {
    what: &'static str,
    plain: bool,
    /// Whether a line is to tell of the next file that waits: of the first one, where no bars do.
    tells_of_waiting: Arc<AtomicBool>,
    bars: MultiProgress,
    total: ProgressBar,
    file: ProgressStyle,
}

impl Progress {
    /// Begins a file of `size_bytes`.
    pub(super) fn file(&self, name: &str, size_bytes: u64) -> FileProgress {
        let bar = self.bars.insert_before(&self.total, ProgressBar::new(size_bytes));
        bar.set_style(self.file.clone());
        bar.set_message(name.to_string());
        FileProgress { all: self.clone(), name: name.to_string(), bar }
    }
    /// Ends the whole.
    pub(super) fn finish(&self) {
        self.total.finish_and_clear();
    }
}

/// Progress over one file.
pub(super) struct FileProgress {
    all: Progress,
    name: String,
    bar: ProgressBar,
}

impl FileProgress {
    /// Counts bytes done.
    pub(super) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.all.total.inc(bytes);
    }
    /// Tells what the file waits for; where there are no bars, of the first that waits only.
    pub(super) fn waits(&self, what: &str) {
        self.bar.set_message(format!("{} {what}", self.name));
        if self.all.tells_of_waiting.swap(false, Ordering::Relaxed) {
            say(&format!("{}: {} {what}", self.all.what, self.name));
        }
    }
    /// Ends the file; `how` says what became of it.
    pub(super) fn finish(&self, how: &str) {
        self.bar.finish_and_clear();
        if self.all.plain {
            let (done, total) = (self.all.total.position(), self.all.total.length().unwrap_or(0));
            say(&format!("{}: {} {how} ({done} of {total} bytes)", self.all.what, self.name));
        }
    }
}

/// Prints a failure and gives the exit code for it.
pub(super) fn fail(error: &Error, json: bool) -> ExitCode {
    tracing::debug!(?error, "failed");
    let document = || {
        serde_json::json!({ "error": {
            "kind": error.kind.slug(), "detail": error.detail, "field": error.field, "remedy": error.remedy } })
    };
    say(&if json { document().to_string() } else { format!("corpex: {error}") });
    // A log that was caught must not look like a network that failed.
    ExitCode::from(if error.kind == Kind::LogMisbehaved { 3 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_as_one() {
        let told = [(1, "shard"), (2, "shard"), (0, "entry"), (1, "entry"), (3, "witness")];
        let told = told.map(|(count, thing)| counted(count, thing));
        assert_eq!(told, ["1 shard", "2 shards", "0 entries", "1 entry", "3 witnesses"]);
    }

    #[test]
    fn a_terminal_is_shown_what_would_steer_it() {
        let copies = "{\"\u{1b}]52;c;Y3VybA==\u{7}\": 1}";
        assert_eq!(harmless(copies), r#"{"\u001b]52;c;Y3VybA==\u0007": 1}"#);
        assert_eq!(harmless("\u{9b}2J\u{7f}\r"), r"\u009b2J\u007f\u000d");
        assert_eq!(harmless("safe\u{202e}gnp.exe"), r"safe\u202egnp.exe");
        assert_eq!(harmless("\u{1b}[1;31mred\u{1b}[0m"), "\\u001b[1;31mred\u{1b}[0m");
        let ordinary = format!("{BOLD}床前{PLAIN}\t明月光\né שלום\n");
        assert_eq!(harmless(&ordinary), ordinary);
    }
}
