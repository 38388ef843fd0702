//! The metrics of listeners.

use dohle_telemetry::{Collect, Sample, Value, mbeans};

use super::NetworkContext;

/// The label of the sum over all threads. Kafka has a count for each thread that serves
/// connections; here their number may change.
const ALL_THREADS: &str = "all";

impl Collect for NetworkContext {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for (listener, count) in self.counts.by_listener() {
            out(Sample::Attribute {
                bean: &mbeans::SOCKET_SERVER,
                keys: &[&listener, ALL_THREADS],
                attribute: "connection-count",
                value: Value::from(count),
            });
        }
    }
}
