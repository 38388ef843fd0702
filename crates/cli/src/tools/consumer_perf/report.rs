//! What a run of the consumer came to, in Kafka's lines.
//!
//! Pure: times are arguments, in milliseconds since 1970.

use crate::numbers::{date, fixed};

const MIB: f64 = 1024.0 * 1024.0;

/// Counts, and the times they belong to.
#[derive(Debug)]
pub(super) struct Report {
    /// How many records were read.
    pub(super) records: u64,
    /// When the last line was due.
    pub(super) reported: i64,
    /// When the run ended, as far as is known.
    pub(super) ended: i64,
    began: i64,
    bytes: u64,
    records_before: u64,
    bytes_before: u64,
    join_began: i64,
    join: i64,
    join_of_round: i64,
    format: String,
}

impl Report {
    /// The first line.
    pub(super) fn header(detailed: bool) -> String {
        let first = if detailed {
            "time, threadId"
        } else {
            "start.time, end.time"
        };
        format!(
            "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
             rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n"
        )
    }

    /// Begins now, with joining the group.
    pub(super) fn new(now: i64, format: String) -> Self {
        Self {
            records: 0,
            reported: now,
            ended: now,
            began: now,
            bytes: 0,
            records_before: 0,
            bytes_before: 0,
            join_began: now,
            join: 0,
            join_of_round: 0,
            format,
        }
    }

    /// Partitions were taken away.
    pub(super) fn revoked(&mut self, now: i64) {
        self.join_began = now;
    }

    /// Partitions were assigned.
    pub(super) fn joined(&mut self, now: i64) {
        self.join += now - self.join_began;
        self.join_of_round += now - self.join_began;
        self.join_began = now;
    }

    /// A record of so many bytes was read.
    pub(super) fn count(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes += bytes;
    }

    /// The line of an interval, which ends now.
    pub(super) fn progress(&mut self, now: i64) -> String {
        let elapsed = (now - self.reported) as f64;
        let fetching = now - self.reported - self.join_of_round;
        let mib = (self.bytes - self.bytes_before) as f64 / MIB;
        let records = (self.records - self.records_before) as f64;
        let per_second = |count: f64| match fetching {
            ..=0 => 0.0,
            _ => 1000.0 * count / fetching as f64,
        };
        let line = format!(
            "{}, 0, {}, {}, {}, {}, {}, {fetching}, {}, {}\n",
            date(now, &self.format),
            fixed(self.bytes as f64 / MIB, 4),
            fixed(1000.0 * mib / elapsed, 4),
            self.records,
            fixed(records / elapsed * 1000.0, 4),
            self.join_of_round,
            fixed(per_second(mib), 4),
            fixed(per_second(records), 4),
        );
        self.join_of_round = 0;
        self.reported = now;
        self.records_before = self.records;
        self.bytes_before = self.bytes;
        line
    }

    /// The line of the whole run.
    pub(super) fn total(&self, now: i64) -> String {
        let elapsed = (now - self.began) as f64 / 1000.0;
        let fetching = now - self.began - self.join;
        let seconds = fetching as f64 / 1000.0;
        let mib = self.bytes as f64 / MIB;
        let records = self.records as f64;
        format!(
            "{}, {}, {}, {}, {}, {}, {}, {fetching}, {}, {}\n",
            date(self.began, &self.format),
            date(now, &self.format),
            fixed(mib, 4),
            fixed(mib / elapsed, 4),
            self.records,
            fixed(records / elapsed, 4),
            self.join,
            fixed(mib / seconds, 4),
            fixed(records / seconds, 4),
        )
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn lines_are_kafkas() {
        let began = 1_795_239_941_253;
        let mut report = Report::new(began, "yyyy-MM-dd HH:mm:ss:SSS".to_owned());
        report.joined(began + 3687);
        (0..1000).for_each(|_| report.count(71));
        let lines = [
            Report::header(true),
            report.progress(began + 4000),
            report.progress(began + 4016),
            Report::header(false),
            report.total(began + 4016),
        ];
        expect![[r#"
            time, threadId, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
            2026-11-21 05:45:45:253, 0, 0.0677, 0.0169, 1000, 250.0000, 3687, 313, 0.2163, 3194.8882
            2026-11-21 05:45:45:269, 0, 0.0677, 0.0000, 1000, 0.0000, 0, 16, 0.0000, 0.0000
            start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
            2026-11-21 05:45:41:253, 2026-11-21 05:45:45:269, 0.0677, 0.0169, 1000, 249.0040, 3687, 329, 0.2058, 3039.5137
        "#]]
        .assert_eq(&lines.concat());
    }
}
