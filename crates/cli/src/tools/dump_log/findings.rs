//! What is reported after all files have been shown.
//!
//! Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Pairs of numbers by file.
type Pairs = BTreeMap<String, Vec<(i64, i64)>>;

/// What was found wrong, and gaps.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Offset of the index, offset of the log.
    pub(super) index_mismatches: Pairs,
    /// Timestamp of the index, timestamp of the log.
    pub(super) time_mismatches: Pairs,
    /// Timestamp of the index, the one before.
    pub(super) out_of_order: Pairs,
    /// Offset of the index, offset of the log.
    pub(super) not_found: Pairs,
    /// An offset, and the one that follows it; gaps are expected in a compacted log.
    pub(super) gaps: Pairs,
    broken: bool,
}

impl Findings {
    /// Notes that a file is incomplete or damaged.
    pub(super) fn break_off(&mut self) {
        self.broken = true;
    }

    /// The same, unless the entry is only one of the zeros with which Kafka fills the index of its
    /// active segment. Kafka's own tool reads them as an entry, and reports them.
    pub(super) fn break_off_unless(&mut self, room: bool) {
        self.broken |= !room;
    }

    /// Whether any file is incomplete or damaged.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }

    /// In Kafka's words.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, pairs: &Pairs, line: fn(i64, i64) -> String| {
            for (file, pairs) in pairs {
                let _ = writeln!(text, "{title}{file}");
                for (one, other) in pairs {
                    let _ = writeln!(text, "{}", line(*one, *other));
                }
            }
        };
        section("Mismatches in :", &self.index_mismatches, |index, log| {
            format!("  Index offset: {index}, log offset: {log}")
        });
        section(
            "Found timestamp mismatch in :",
            &self.time_mismatches,
            |index, log| format!("  Index timestamp: {index}, log timestamp: {log}"),
        );
        section(
            "Found out of order timestamp in :",
            &self.out_of_order,
            |index, before| {
                format!("  Index timestamp: {index}, Previously indexed timestamp: {before}")
            },
        );
        let title = "The following indexed offsets are not found in :";
        section(title, &self.not_found, |index, log| {
            format!("Indexed offset: {index}, found log offset: {log}")
        });
        section("Non-consecutive offsets in ", &self.gaps, |one, next| {
            format!("  {one} is followed by {next}")
        });
        text
    }
}

/// Adds a pair.
pub(super) fn add(pairs: &mut Pairs, file: &str, one: i64, other: i64) {
    pairs.entry(file.to_owned()).or_default().push((one, other));
}
