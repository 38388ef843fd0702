//! What a run measured.
//!
//! Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::latency::{Latencies, LatencySummary};

/// The results of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub produce: Option<ProduceReport>,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume: Option<ConsumeReport>,
    /// The generator's own part.
    pub generator: GeneratorReport,
    /// What makes the figures doubtful, in sentences.
    pub warnings: Vec<String>,
}

/// What was produced after the warm-up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ProduceReport {
    /// Records that the cluster acknowledged; with acks=0, those that were sent.
    pub records: u64,
    /// Their keys and values, in bytes.
    pub bytes: u64,
    /// Requests that were answered without an error.
    pub requests: u64,
    /// The time that these took, in seconds.
    pub seconds: f64,
    /// Records a second.
    pub records_per_second: f64,
    /// Millions of bytes of keys and values a second.
    pub mb_per_second: f64,
    /// The records a second that were to be produced; `None` for as many as possible.
    pub target_records_per_second: Option<f64>,
    /// From the time at which a record was due to its acknowledgement. Records that were due and
    /// not acknowledged when the run ended count with the time until then.
    pub latency: LatencySummary,
    /// Records that the cluster refused, or whose connection broke.
    pub failed_records: u64,
    /// Records that were due, but not sent when the run ended.
    pub unsent_records: u64,
    /// Records that were sent and not answered when the run ended.
    pub unanswered_records: u64,
    /// Failed requests by their reason.
    pub errors: BTreeMap<String, u64>,
    /// How often a broker was connected to again.
    pub reconnects: u64,
    /// How often leaders were asked for again.
    pub metadata_refreshes: u64,
    /// Transactions, where there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<TransactionReport>,
}

/// The transactions of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TransactionReport {
    /// Committed ones.
    pub committed: u64,
    /// Those that were given up after an error.
    pub aborted: u64,
    /// From the request to commit to its response.
    pub commit_latency: LatencySummary,
}

/// What was read after the warm-up.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ConsumeReport {
    /// Records, control records left out.
    pub records: u64,
    /// Bytes of batches, as the brokers sent them.
    pub bytes: u64,
    /// Responses.
    pub fetches: u64,
    /// The time that this took, in seconds.
    pub seconds: f64,
    /// Records a second.
    pub records_per_second: f64,
    /// Millions of bytes a second.
    pub mb_per_second: f64,
    /// From a request to its whole response, for responses with records; counts responses.
    pub fetch_latency: LatencySummary,
    /// From the time at which a record was due to its arrival, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_latency: Option<LatencySummary>,
    /// Records of this run that were acknowledged and did not arrive before the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_records: Option<u64>,
    /// Batches whose checksum or records are wrong; only where they are verified.
    pub invalid_batches: u64,
    /// Failed requests by their reason.
    pub errors: BTreeMap<String, u64>,
    /// How often a broker was connected to again.
    pub reconnects: u64,
    /// How often leaders were asked for again.
    pub metadata_refreshes: u64,
}

/// What the generator needed, and how well it kept to its schedule.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GeneratorReport {
    /// Threads.
    pub threads: usize,
    /// The measured part of the run, in seconds.
    pub seconds: f64,
    /// CPU time of all threads in the measured part, in seconds; `None` where the system does not
    /// report it.
    pub cpu_seconds: Option<f64>,
    /// The part of the time for which the busiest thread used a CPU, in percent.
    pub busiest_thread_percent: Option<f64>,
    /// The part of the time for which a thread was ready and had to wait for a CPU, in percent, at
    /// most.
    pub waiting_for_cpu_percent: Option<f64>,
    /// How much later than possible batches were sent: possible from the time at which they were
    /// due, or from the one at which the connection accepted another request.
    pub send_delay: LatencySummary,
}

/// A thread's share of the CPU in the measured part, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuShare {
    pub busy: f64,
    pub waiting: f64,
}

/// A thread that uses more of its CPU is the limit.
const BUSY_MAX: f64 = 0.9;
/// A thread that waits longer for a CPU distorts latencies.
const WAITING_MAX: f64 = 0.1;
/// A batch that is sent later by the generator's fault distorts latencies, in milliseconds.
const SEND_DELAY_MAX_MS: f64 = 1.0;
/// Of a rate that was asked for, at least this part has to be reached.
const RATE_MIN: f64 = 0.99;

/// Describes why the figures show something else than the cluster.
pub(crate) fn warnings(
    shares: &[CpuShare],
    send_delay: &Latencies,
    produce: Option<&ProduceReport>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let most = |of: fn(&CpuShare) -> f64| shares.iter().map(of).fold(0.0, f64::max);
    let (busy, waiting) = (most(|share| share.busy), most(|share| share.waiting));
    if busy >= BUSY_MAX {
        warnings.push(format!(
            "The generator is the limit, not the cluster: one of its {} threads used {:.0} % of a \
             CPU. Raise --threads, or use several machines.",
            shares.len(),
            busy * 100.0
        ));
    }
    if waiting >= WAITING_MAX {
        warnings.push(format!(
            "The generator waited for a CPU for {:.0} % of the time: other programs on this \
             machine, perhaps the cluster itself, needed it. Latencies include that.",
            waiting * 100.0
        ));
    }
    let is_paced = produce.is_some_and(|it| it.target_records_per_second.is_some());
    let delay = send_delay.percentile_ms(99.0);
    if is_paced && delay > SEND_DELAY_MAX_MS {
        warnings.push(format!(
            "The generator was behind its schedule: 1 % of the batches were sent {delay:.1} ms or \
             more later than the connections would have accepted them. Latencies include that."
        ));
    }
    if let Some(produce) = produce
        && let Some(target) = produce.target_records_per_second
        && produce.records_per_second < target * RATE_MIN
    {
        let by = match warnings.is_empty() {
            true => "The cluster",
            false => "The run",
        };
        warnings.push(format!(
            "{by} did not keep up with the rate: {:.0} of {target:.0} records a second were \
             acknowledged. Latencies grow with the length of such a run.",
            produce.records_per_second
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(share: (f64, f64), delay_ms: u64, reached: f64) -> String {
        let share = CpuShare {
            busy: share.0,
            waiting: share.1,
        };
        let idle = CpuShare {
            busy: 0.1,
            waiting: 0.0,
        };
        let mut delays = Latencies::default();
        delays.record(delay_ms * 1_000_000, 100);
        let produce = ProduceReport {
            records_per_second: reached,
            target_records_per_second: Some(1000.0),
            ..ProduceReport::default()
        };
        warnings(&[idle, share], &delays, Some(&produce)).join("\n")
    }

    #[test]
    fn the_generator_is_named_when_it_is_the_limit() {
        assert_eq!(warned((0.5, 0.0), 0, 1000.0), "");
        assert!(warned((0.95, 0.0), 0, 1000.0).contains("one of its 2 threads used 95 %"));
        assert!(warned((0.5, 0.2), 0, 1000.0).contains("waited for a CPU for 20 %"));
        assert!(warned((0.5, 0.0), 7, 1000.0).contains("7.0 ms or more later"));
        // A slow cluster is not the generator's fault.
        let slow = warned((0.5, 0.0), 0, 500.0);
        assert!(slow.starts_with("The cluster did not keep up with the rate: 500 of 1000"));
        let both = warned((0.95, 0.0), 0, 500.0);
        assert!(both.contains("The generator is the limit") && both.contains("The run did not"));
    }
}
