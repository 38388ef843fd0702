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
mod tests {
    use super::*;

    /// Half a second after the work began, and this many milliseconds more.
    fn later(began: Instant, millis: u64) -> Instant {
        began + PATIENCE + Duration::from_millis(millis)
    }

    fn line(tally: Tally) -> (Line, Instant) {
        let mut line = Line::default();
        let began = Instant::now();
        line.begin(began, tally);
        (line, began)
    }

    fn shown(line: &mut Line, now: Instant) -> String {
        line.at(now).unwrap_or_default()
    }

    #[test]
    fn quick_work_shows_nothing() {
        let (mut line, began) = line(Tally::items("groups deleted", Some(3)));
        line.add(0, 2);
        assert_eq!(line.at(began), None);
        assert_eq!(line.at(began + PATIENCE - Duration::from_millis(1)), None);
        assert!(!line.end(0), "nothing to take away");
    }

    #[test]
    fn long_work_is_shown_now_and_then_and_only_what_is_new() {
        let (mut line, began) = line(Tally::items("groups reset", Some(30)));
        line.add(0, 1);
        assert_eq!(shown(&mut line, later(began, 0)), "1 of 30 groups reset");
        line.add(0, 1);
        assert_eq!(line.at(later(began, 199)), None, "too soon");
        assert_eq!(shown(&mut line, later(began, 200)), "2 of 30 groups reset");
        assert_eq!(line.at(later(began, 400)), None, "it stands there");
        line.set(0, 29);
        assert_eq!(shown(&mut line, later(began, 401)), "29 of 30 groups reset");
        assert!(line.end(0), "it is taken away");
        assert_eq!(line.at(later(began, 1000)), None, "nothing is under way");
    }

    #[test]
    fn the_patience_is_that_of_all_counts_together() {
        let (mut line, began) = line(Tally::items("groups described", Some(3)));
        line.end(0);
        line.begin(later(began, 0), Tally::items("groups deleted", Some(3)));
        assert_eq!(shown(&mut line, later(began, 0)), "0 of 3 groups deleted");
    }

    #[test]
    fn counts_within_counts_stand_on_the_same_line() {
        let (mut line, began) = line(Tally::items("groups reset", Some(10)));
        line.add(0, 3);
        let inner = line.begin(began, Tally::items("offsets found", Some(400)));
        line.set(inner, 200);
        let both = "3 of 10 groups reset, 200 of 400 offsets found";
        assert_eq!(shown(&mut line, later(began, 0)), both);
        assert!(!line.end(inner), "the other goes on");
        assert_eq!(shown(&mut line, later(began, 200)), "3 of 10 groups reset");
        let inner = line.begin(later(began, 200), Tally::items("offsets found", Some(400)));
        assert_eq!(line.at(later(began, 699)), None, "it may be short");
        let both = "3 of 10 groups reset, 0 of 400 offsets found";
        assert_eq!(shown(&mut line, later(began, 700)), both);
        line.end(inner);
        assert!(line.end(0));
    }

    #[test]
    fn what_cannot_be_counted_is_not_shown() {
        let (mut line, began) = line(Tally::items("topics described", Some(1)));
        let pages = line.begin(began, Tally::items("partitions described", None));
        assert_eq!(line.at(later(began, 0)), None, "one topic, no page yet");
        line.add(pages, 2000);
        let text = "2000 partitions described";
        assert_eq!(shown(&mut line, later(began, 0)), text);
    }

    #[test]
    fn bytes_are_told_in_percent() {
        let (mut line, began) = line(Tally::bytes(2_500_000_000));
        line.set(0, 1_249_999_999);
        assert_eq!(shown(&mut line, later(began, 0)), "49% of 2.5 GB read");
        line.set(0, 3_000_000_000);
        assert_eq!(shown(&mut line, later(began, 200)), "100% of 2.5 GB read");
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 999, 1000, 999_949, 999_950, 1 << 30, 5_000_000_000_000];
        let texts = sizes.map(size).join(", ");
        assert_eq!(
            texts,
            "0 B, 999 B, 1.0 kB, 999.9 kB, 1.0 MB, 1.1 GB, 5.0 TB"
        );
    }

    #[test]
    fn it_gives_way_to_what_is_printed_and_comes_back_below() {
        let (mut line, began) = line(Tally::items("moves begun", Some(9)));
        assert!(!line.give_way("early\n"), "nothing stands there");
        let text = "0 of 9 moves begun";
        assert_eq!(shown(&mut line, later(began, 0)), text);
        assert!(line.give_way("half a line"));
        assert_eq!(line.at(later(began, 200)), None, "it would be wiped out");
        line.give_way("");
        assert_eq!(line.at(later(began, 200)), None);
        line.give_way(", and its end\n");
        assert_eq!(shown(&mut line, later(began, 200)), text);
    }
}
