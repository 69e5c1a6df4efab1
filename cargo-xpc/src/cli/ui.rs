//! What a person or a program sees: status lines on stderr, answers on stdout.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use camino::{Utf8Path, Utf8PathBuf};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Failure;
use crate::exit::Exit;

/// Which form answers take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MessageFormat {
    /// Text for people.
    #[default]
    Human,
    /// One JSON object a line on stdout, each with a `reason`.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and the answer only.
    Quiet,
    /// Also a line per step.
    Normal,
    /// Also every command that is run.
    Verbose,
}

/// Set once an answer could not be written: the run must not end as if it had been.
static FAILED: AtomicBool = AtomicBool::new(false);

/// A path as cargo shows it: from the current folder, if it is in there.
pub fn short(path: &Utf8Path) -> &Utf8Path {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(Utf8Path::from_path(&here).unwrap_or(path)) {
        Ok(rest) if rest.as_str().is_empty() => Utf8Path::new("."),
        Ok(rest) => rest,
        Err(_) => path,
    }
}

/// The only way out to the terminal.
#[derive(Clone, Debug)]
pub struct Ui {
    format: MessageFormat,
    verbosity: Verbosity,
    progress: bool,
    answers: bool,
    color: Option<&'static str>,
}

const GOOD: Style = AnsiColor::BrightGreen.on_default().bold();
const BUSY: Style = AnsiColor::BrightCyan.on_default().bold();
const WARN: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

impl Ui {
    /// Progress is drawn only where stderr is a terminal that nobody reads by program.
    pub fn new(format: MessageFormat, verbosity: Verbosity, color: Option<&'static str>) -> Self {
        let progress = format == MessageFormat::Human
            && verbosity == Verbosity::Normal
            && std::io::stderr().is_terminal()
            && std::env::var_os("CI").is_none();
        Self { format, verbosity, progress, answers: true, color }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.format == MessageFormat::Json
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// `always` or `never`, where the user said so.
    pub fn color_choice(&self) -> Option<&'static str> {
        self.color
    }

    /// A step that was done, in cargo's form: a verb, right-aligned, and what it was done to.
    pub fn status(&self, verb: &str, what: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.stderr(format_args!("{GOOD}{verb:>12}{GOOD:#} {what}"));
        }
    }

    /// A line that only `-v` shows.
    pub fn verbose(&self, verb: &str, what: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.stderr(format_args!("{BUSY}{verb:>12}{BUSY:#} {what}"));
        }
    }

    /// Something that the user should know and may ignore.
    pub fn warn(&self, what: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.stderr(format_args!("{WARN}warning{WARN:#}: {what}"));
        }
        if self.is_json() {
            self.json("warning", &serde_json::json!({ "message": what.to_string() }));
        }
    }

    /// The error that ends the run, with what caused it.
    pub fn error(&self, error: &anyhow::Error, exit: Exit) {
        let mut causes: Vec<String> = Vec::new();
        let mut said = error.to_string();
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            // Many error types print their source within their own text: do not say a thing twice.
            if !said.contains(&cause) {
                said.push_str(&cause);
                causes.push(cause);
            }
        }
        self.stderr(format_args!("{BAD}error{BAD:#}: {error}"));
        if !causes.is_empty() {
            self.stderr("\nCaused by:");
            for cause in &causes {
                self.stderr(format_args!("  {}", cause.replace('\n', "\n  ")));
            }
        }
        if self.is_json() {
            let body = serde_json::json!({ "message": error.to_string(), "causes": causes, "exit-code": exit as u8 });
            self.json("error", &body);
        }
    }

    /// A line of the answer, for people; nothing when answers are JSON.
    pub fn out(&self, text: impl Display) {
        if self.answers && !self.is_json() {
            self.stdout(text);
        }
    }

    /// An answer for programs: one line, the object's own fields after `reason`; nothing when answers are text.
    pub fn json(&self, reason: &str, body: &impl Serialize) {
        if !self.answers || !self.is_json() {
            return;
        }
        #[derive(Serialize)]
        struct Line<'a, T> {
            reason: &'a str,
            #[serde(flatten)]
            body: &'a T,
        }
        match serde_json::to_string(&Line { reason, body }) {
            Ok(line) => self.stdout(line),
            Err(error) => self.stderr(format_args!("{BAD}error{BAD:#}: cannot write JSON: {error}")),
        }
    }

    /// The plan of a dry run: JSON for people too, laid out for reading.
    pub fn plan(&self, reason: &str, plan: &impl Serialize) -> Result<(), Failure> {
        if self.is_json() {
            self.json(reason, plan);
        } else {
            self.out(serde_json::to_string_pretty(plan).map_err(|error| Failure::new(Exit::Software, error))?);
        }
        Ok(())
    }

    /// Finder's and tar's litter that was not taken into a bundle.
    pub fn warn_of_litter(&self, litter: &[Utf8PathBuf]) {
        for path in litter {
            self.warn(format_args!("`{path}` was left out: it would break the seal"));
        }
    }

    /// A line on stdout whatever the format: for commands whose answer has a form of its own.
    pub fn stdout(&self, text: impl Display) {
        match writeln!(anstream::stdout(), "{text}") {
            // A closed pipe (`| head`) is the reader's right, not an error.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) if !FAILED.swap(true, Ordering::Relaxed) => {
                self.stderr(format_args!("{BAD}error{BAD:#}: cannot write the answer: {error}"));
            }
            _ => {}
        }
    }

    /// Whether an answer could not be written, which the user was told.
    pub fn failed() -> bool {
        FAILED.load(Ordering::Relaxed)
    }

    /// As this one, but without answers: for a step whose answers are another program's.
    pub fn without_answers(&self) -> Self {
        Self { answers: false, ..self.clone() }
    }

    fn stderr(&self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// A line that shows that work goes on; invisible unless stderr is a terminal. It vanishes when dropped.
    pub fn progress(&self, verb: &str) -> Progress {
        if !self.progress {
            return Progress { bar: None };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{prefix:>12.cyan.bold} {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(verb.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress { bar: Some(bar) }
    }
}

/// See [`Ui::progress`].
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// What is being worked on now.
    pub fn at(&self, what: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_string());
        }
    }

    /// Clears the line while something else writes to the terminal.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
