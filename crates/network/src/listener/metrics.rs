//! The metrics of listeners.

use dohle_telemetry::{Collect, Sample, Value, mbeans};

use super::NetworkContext;

/// Kafka counts by the thread that serves a connection. Here the number of threads may change, and
/// only the sum is of interest.
const ALL_THREADS: &str = "all";

impl Collect for NetworkContext {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for (listener, count) in self.counts.by_listener() {
            out(Sample::Attribute {
                bean: &mbeans::SOCKET_SERVER,
                keys: &[&listener, ALL_THREADS],
                attribute: "connection-count",
                value: Value::Long(i64::try_from(count).unwrap_or(i64::MAX)),
            });
        }
    }
}
