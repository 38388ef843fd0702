//! Counts what happened to the records of a run.
//!
//! Pure: times are arguments, in nanoseconds since the run began.

use std::collections::BTreeMap;

use crate::latency::Latencies;
use crate::report::{ConsumeReport, ProduceReport, TransactionReport};

/// A batch that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentBatch {
    pub due: u64,
    pub sent: u64,
    pub measured: bool,
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    pub correlation_id: i32,
}

/// What a client produced.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProduceTally {
    pub latencies: Latencies,
    pub send_delays: Latencies,
    pub commits: Latencies,
    pub records: u64,
    pub bytes: u64,
    pub requests: u64,
    /// Records that were acknowledged, the warm-up included.
    pub acknowledged: u64,
    pub last_ack: u64,
    pub failed: u64,
    pub unsent: u64,
    pub unanswered: u64,
    pub errors: BTreeMap<String, u64>,
    pub reconnects: u64,
    pub refreshes: u64,
    pub committed: u64,
    pub aborted: u64,
}

impl ProduceTally {
    /// Counts a batch that the cluster acknowledged. The latency begins when the batch was due, not
    /// when it was sent: a batch that had to wait for the cluster before it could be sent is late
    /// by that time, too.
    pub(crate) fn on_ack(&mut self, batch: &SentBatch, now: u64) {
        self.acknowledged += batch.records;
        if batch.measured {
            self.latencies.record(now - batch.due, batch.records);
            self.records += batch.records;
            self.bytes += batch.bytes;
            self.requests += 1;
            self.last_ack = self.last_ack.max(now);
        }
    }

    /// Counts a batch that the cluster refused, or whose connection broke.
    pub(crate) fn on_failure(&mut self, batch: &SentBatch, reason: &str) {
        *self.errors.entry(reason.to_owned()).or_default() += 1;
        if batch.measured {
            self.failed += batch.records;
        }
    }

    /// Counts a batch that was sent, and not answered when the run ended.
    pub(crate) fn on_unanswered(&mut self, batch: &SentBatch, now: u64) {
        if batch.measured {
            self.latencies.record(now - batch.due, batch.records);
            self.unanswered += batch.records;
        }
    }

    /// Counts records that were due, and not sent when the run ended.
    pub(crate) fn on_unsent(&mut self, due: u64, records: u64, now: u64) {
        self.latencies.record(now - due, records);
        self.unsent += records;
    }

    /// Adds the counts of another client.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.send_delays.add(&other.send_delays);
        self.commits.add(&other.commits);
        self.records += other.records;
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.last_ack = self.last_ack.max(other.last_ack);
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        add_counts(&mut self.errors, &other.errors);
        self.reconnects += other.reconnects;
        self.refreshes += other.refreshes;
        self.committed += other.committed;
        self.aborted += other.aborted;
    }

    /// Returns the report of a run that was measured from `began` to at least `ended`.
    pub(crate) fn report(
        &self,
        began: u64,
        ended: u64,
        target: Option<f64>,
        transactional: bool,
    ) -> ProduceReport {
        let seconds = self.last_ack.max(ended).saturating_sub(began) as f64 / 1e9;
        ProduceReport {
            records: self.records,
            bytes: self.bytes,
            requests: self.requests,
            seconds,
            records_per_second: rate(self.records, seconds),
            mb_per_second: rate(self.bytes, seconds) / 1e6,
            target_records_per_second: target,
            latency: self.latencies.summary(),
            failed_records: self.failed,
            unsent_records: self.unsent,
            unanswered_records: self.unanswered,
            errors: self.errors.clone(),
            reconnects: self.reconnects,
            metadata_refreshes: self.refreshes,
            transactions: transactional.then(|| TransactionReport {
                committed: self.committed,
                aborted: self.aborted,
                commit_latency: self.commits.summary(),
            }),
        }
    }
}

/// What a client read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConsumeTally {
    pub fetch_latencies: Latencies,
    pub end_to_end: Latencies,
    pub records: u64,
    pub bytes: u64,
    pub fetches: u64,
    pub last_read: u64,
    /// Records that were read, the warm-up included.
    pub read: u64,
    /// Records of this run that arrived, the warm-up included.
    pub arrived: u64,
    pub invalid: u64,
    pub errors: BTreeMap<String, u64>,
    pub reconnects: u64,
    pub refreshes: u64,
}

impl ConsumeTally {
    pub(crate) fn on_failure(&mut self, reason: &str) {
        *self.errors.entry(reason.to_owned()).or_default() += 1;
    }

    /// Adds the counts of another client.
    pub(crate) fn add(&mut self, other: &Self) {
        self.fetch_latencies.add(&other.fetch_latencies);
        self.end_to_end.add(&other.end_to_end);
        self.records += other.records;
        self.bytes += other.bytes;
        self.fetches += other.fetches;
        self.last_read = self.last_read.max(other.last_read);
        self.read += other.read;
        self.arrived += other.arrived;
        self.invalid += other.invalid;
        add_counts(&mut self.errors, &other.errors);
        self.reconnects += other.reconnects;
        self.refreshes += other.refreshes;
    }

    /// Returns the report of a run that was measured from `began` to `ended`, or to the last record
    /// where it had no fixed end.
    pub(crate) fn report(&self, began: u64, ended: u64, missing: Option<u64>) -> ConsumeReport {
        let seconds = self.last_read.max(ended).saturating_sub(began) as f64 / 1e9;
        ConsumeReport {
            records: self.records,
            bytes: self.bytes,
            fetches: self.fetches,
            seconds,
            records_per_second: rate(self.records, seconds),
            mb_per_second: rate(self.bytes, seconds) / 1e6,
            fetch_latency: self.fetch_latencies.summary(),
            end_to_end_latency: missing.is_some().then(|| self.end_to_end.summary()),
            missing_records: missing,
            invalid_batches: self.invalid,
            errors: self.errors.clone(),
            reconnects: self.reconnects,
            metadata_refreshes: self.refreshes,
        }
    }
}

fn add_counts(counts: &mut BTreeMap<String, u64>, others: &BTreeMap<String, u64>) {
    for (reason, count) in others {
        *counts.entry(reason.clone()).or_default() += count;
    }
}

fn rate(count: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => count as f64 / seconds,
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn batch(due: u64, measured: bool) -> SentBatch {
        SentBatch {
            due,
            sent: due + 50 * MS,
            measured,
            records: 10,
            bytes: 1000,
            correlation_id: 1,
        }
    }

    #[test]
    fn latency_begins_when_a_batch_was_due_not_when_it_was_sent() {
        let mut tally = ProduceTally::default();
        tally.on_ack(&batch(100 * MS, true), 151 * MS);
        assert_eq!(tally.latencies.count(), 10);
        let latency = tally.latencies.percentile_ms(50.0);
        assert!((latency - 51.0).abs() < 0.1, "{latency}");
    }

    #[test]
    fn a_report_counts_what_was_measured_and_what_was_lost() {
        let mut tally = ProduceTally::default();
        tally.on_ack(&batch(0, false), 51 * MS);
        for number in 0..8 {
            tally.on_ack(&batch((1000 + number) * MS, true), (1060 + number) * MS);
        }
        tally.on_failure(&batch(1500 * MS, true), "NotEnoughReplicas");
        tally.on_failure(&batch(0, false), "NotEnoughReplicas");
        tally.on_unanswered(&batch(1900 * MS, true), 3000 * MS);
        tally.on_unsent(1950 * MS, 10, 3000 * MS);
        let mut sum = ProduceTally::default();
        sum.add(&tally);
        let report = sum.report(1000 * MS, 2000 * MS, Some(100.0), false);
        assert_eq!(
            (report.records, report.bytes, report.requests),
            (80, 8000, 8)
        );
        assert_eq!((report.seconds, report.records_per_second), (1.0, 80.0));
        assert_eq!(report.mb_per_second, 0.008);
        assert_eq!((report.failed_records, report.unsent_records), (10, 10));
        assert_eq!(report.unanswered_records, 10);
        assert_eq!(report.errors["NotEnoughReplicas"], 2);
        // What was due and not acknowledged counts with the time until the end.
        assert_eq!(report.latency.count, 100);
        assert!(report.latency.max_ms > 1090.0);
        assert_eq!(sum.acknowledged, 90);
        assert!(report.transactions.is_none());
    }
}
