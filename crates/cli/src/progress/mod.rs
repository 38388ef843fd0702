//! Shows the progress of long work: one line on standard error that replaces itself.
//!
//! A tool counts what it does: [`Progress::over`], [`Progress::count`], [`Progress::bytes`]. Counts
//! within counts are shown on the same line. It is shown only where standard error is a terminal,
//! and only once the work has taken a while.
//!
//! Invariant: when no count is under way, the line is empty. A tool that prints in between first
//! calls [`Progress::before_output`], [`Progress::before_note`].

mod line;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dohle_admin::{ItemCount, Over, ProgressReporter};

use self::line::{Line, Tally};

/// How often the line is brought up to date while a tool waits.
const TICK: Duration = Duration::from_millis(100);

/// Goes to the start of the terminal's line and empties it.
const CLEAR: &str = "\r\x1b[K";

/// The line of a run; nothing where standard error is not a terminal. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<Rc<Terminal>>);

#[derive(Debug)]
struct Terminal {
    line: RefCell<Line>,
    /// Whether standard output goes to a terminal too, which is assumed to be the same one.
    has_stdout: bool,
}

/// A count that is under way until it is dropped.
#[derive(Debug)]
pub struct Count {
    progress: Progress,
    depth: usize,
}

impl Progress {
    /// On standard error, where that is a terminal that can clear a line.
    #[must_use]
    pub fn on_stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if dumb || !stderr().is_terminal() {
            return Self(None);
        }
        Self(Some(Rc::new(Terminal {
            line: RefCell::default(),
            has_stdout: stdout().is_terminal(),
        })))
    }

    /// For work that prints results as it finds them: nothing where they go to the terminal, since
    /// the results themselves show how far the work is, and the line would interrupt them.
    #[must_use]
    pub fn while_printing(&self) -> Self {
        let terminal = self.0.as_ref().filter(|terminal| !terminal.has_stdout);
        Self(terminal.cloned())
    }

    /// Begins to count; `what` has been done with the things that are counted, as in "groups
    /// deleted". There is no total where the number of things is unknown.
    #[must_use]
    pub fn count(&self, what: &'static str, total: Option<usize>) -> Count {
        self.begin_tally(Tally::items(what, total))
    }

    /// Begins to count the bytes that are read.
    #[must_use]
    pub fn bytes(&self, total: u64) -> Count {
        self.begin_tally(Tally::bytes(total))
    }

    /// Counts what is done of these items.
    pub fn over<Items>(&self, what: &'static str, items: Items) -> Over<Items::IntoIter>
    where
        Items: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        (self as &dyn ProgressReporter).over(what, items)
    }

    /// Clears the line before this text is printed to standard output; the line is shown again
    /// below it.
    pub fn before_output(&self, text: &str) {
        if let Some(terminal) = self.0.as_ref().filter(|terminal| terminal.has_stdout) {
            terminal.give_way(text);
        }
    }

    /// Clears the line before a line of text is printed on standard error.
    pub fn before_note(&self) {
        if let Some(terminal) = &self.0 {
            terminal.give_way("\n");
        }
    }

    /// Keeps the line up to date while a tool waits for answers.
    pub(crate) async fn keep_current(&self) -> Infallible {
        let Some(terminal) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(TICK).await;
            terminal.show();
        }
    }

    fn begin_tally(&self, tally: Tally) -> Count {
        let begun = |terminal: &Rc<Terminal>| {
            let mut line = terminal.line.borrow_mut();
            line.begin(Instant::now(), tally)
        };
        Count {
            depth: self.0.as_ref().map_or(0, begun),
            progress: self.clone(),
        }
    }
}

impl Terminal {
    fn show(&self) {
        if let Some(text) = self.line.borrow_mut().at(Instant::now()) {
            write(&format!("{CLEAR}{}", fitting(&text, columns())));
        }
    }

    fn give_way(&self, text: &str) {
        if self.line.borrow_mut().give_way(text) {
            write(CLEAR);
        }
    }
}

impl Count {
    fn change(&self, change: impl FnOnce(&mut Line)) {
        if let Some(terminal) = &self.progress.0 {
            change(&mut terminal.line.borrow_mut());
            terminal.show();
        }
    }
}

impl ProgressReporter for Progress {
    fn begin(&self, what: &'static str, total: Option<usize>) -> Box<dyn ItemCount> {
        Box::new(self.count(what, total))
    }
}

impl ItemCount for Count {
    fn set(&self, done: u64) {
        self.change(|line| line.set(self.depth, done));
    }

    fn add(&self, done: usize) {
        self.change(|line| line.add(self.depth, done as u64));
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(terminal) = &self.progress.0
            && terminal.line.borrow_mut().end(self.depth)
        {
            write(CLEAR);
        }
    }
}

/// Ignores errors: standard error may be closed.
fn write(text: &str) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// The width of the terminal, where the system reports it.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The part of a text that fits into one line: if it took two, the first could not be cleared.
fn fitting(text: &str, columns: Option<usize>) -> &str {
    let cut = columns.and_then(|columns| text.char_indices().nth(columns));
    cut.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
