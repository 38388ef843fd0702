//! The text of the progress line, and when it is shown.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

/// How long work takes before its progress is shown.
const PATIENCE: Duration = Duration::from_millis(500);
/// The least time from one text to the next.
const INTERVAL: Duration = Duration::from_millis(200);

/// The counts under way, and what the terminal shows of them.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The outermost first, each with the time when it began.
    tallies: Vec<(Instant, Tally)>,
    /// When the first of all counts began.
    began: Option<Instant>,
    /// When a text was shown last.
    shown: Option<Instant>,
    /// The text that is shown; empty when none is.
    standing: String,
    /// Whether something was printed that does not end its line: it would be wiped out.
    mid_line: bool,
}

/// One count.
#[derive(Debug)]
pub(super) struct Tally {
    unit: Unit,
    done: u64,
    total: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Items(&'static str),
    Bytes,
}

impl Tally {
    pub(super) fn items(what: &'static str, total: Option<usize>) -> Self {
        Self {
            unit: Unit::Items(what),
            done: 0,
            total: total.map(|total| total as u64),
        }
    }

    pub(super) fn bytes(total: u64) -> Self {
        Self {
            unit: Unit::Bytes,
            done: 0,
            total: Some(total),
        }
    }

    /// Empty for a single item, and while no item of an unknown number is done.
    fn text(&self) -> Option<String> {
        match (self.unit, self.total) {
            (_, Some(0 | 1)) => None,
            (Unit::Bytes, total) => {
                let total = total?;
                // A file may grow while it is read.
                let percent = self.done.min(total).saturating_mul(100) / total;
                Some(format!("{percent}% of {} read", size(total)))
            }
            (Unit::Items(what), Some(total)) => Some(format!("{} of {total} {what}", self.done)),
            (Unit::Items(what), None) => (self.done > 0).then(|| format!("{} {what}", self.done)),
        }
    }
}

impl Line {
    /// Begins a count within those under way. Returns how many there were.
    pub(super) fn begin(&mut self, now: Instant, tally: Tally) -> usize {
        self.began.get_or_insert(now);
        self.tallies.push((now, tally));
        self.tallies.len() - 1
    }

    /// Ends a count, and those within it. Tells whether the line has to go.
    pub(super) fn end(&mut self, depth: usize) -> bool {
        self.tallies.truncate(depth);
        depth == 0 && self.take()
    }

    pub(super) fn set(&mut self, depth: usize, done: u64) {
        if let Some((_, tally)) = self.tallies.get_mut(depth) {
            tally.done = done;
        }
    }

    pub(super) fn add(&mut self, depth: usize, done: u64) {
        if let Some((_, tally)) = self.tallies.get_mut(depth) {
            tally.done += done;
        }
    }

    /// Something is printed. Tells whether the line has to go before.
    pub(super) fn give_way(&mut self, text: &str) -> bool {
        if !text.is_empty() {
            self.mid_line = !text.ends_with('\n');
        }
        self.take()
    }

    /// The text to show now, where it differs from the one before.
    pub(super) fn at(&mut self, now: Instant) -> Option<String> {
        let due = match self.shown {
            Some(shown) => shown + INTERVAL,
            None => self.began? + PATIENCE,
        };
        if now < due || self.mid_line {
            return None;
        }
        let text = self.text(now);
        if text == self.standing {
            return None;
        }
        self.shown = Some(now);
        self.standing.clone_from(&text);
        Some(text)
    }

    /// The text of the counts. A count within another one is shown only once it takes long.
    pub(super) fn text(&self, now: Instant) -> String {
        let outermost = self.tallies.iter().take(1);
        let within = self.tallies.iter().skip(1);
        let long = within.filter(|(began, _)| now >= *began + PATIENCE);
        let texts: Vec<String> = outermost
            .chain(long)
            .filter_map(|(_, tally)| tally.text())
            .collect();
        texts.join(", ")
    }

    /// Whether a text stood there; it does no longer.
    fn take(&mut self) -> bool {
        !std::mem::take(&mut self.standing).is_empty()
    }
}

/// `2.5 GB`.
fn size(bytes: u64) -> String {
    let mut rest = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB"].into_iter();
    while rest >= 999.95
        && let Some(_) = units.next()
    {
        rest /= 1000.0;
    }
    match units.next() {
        Some("B") => format!("{bytes} B"),
        unit => format!("{rest:.1} {}", unit.unwrap_or("TB")),
    }
}

#[cfg(test)]
mod tests;
