//! Metrics that are not attributes of an MBean of Kafka's. Rules do not apply to them.
//!
//! Their names are those of the programs that people run beside Kafka for these numbers:
//! kafka_exporter, and Prometheus's client libraries.

use crate::family::Kind;

/// A metric and its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeMetric {
    /// The name, without the suffix `_total` of counters.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
    /// The program that has a metric of this name.
    pub source: &'static str,
}

const EXPORTER: &str = "kafka_exporter";
const CLIENT: &str = "Prometheus's clients";
const AGENT: &str = "jmx_exporter";
const OWN: &str = "Dohle";

const TOPIC: &[&str] = &["topic"];
const PARTITION: &[&str] = &["topic", "partition"];
const OFFSET: &[&str] = &["consumergroup", "topic", "partition"];
const GROUP_TOPIC: &[&str] = &["consumergroup", "topic"];
const GROUP: &[&str] = &["consumergroup"];

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    source: &'static str,
    help: &'static str,
) -> NativeMetric {
    NativeMetric {
        name,
        kind,
        labels,
        help,
        source,
    }
}

/// Declares the metrics, and the table of all of them.
macro_rules! table {
    ($($name:ident = $metric:expr;)*) => {
        $(
            #[doc = concat!("See [`TABLE`]: `", stringify!($name), "`.")]
            pub static $name: NativeMetric = $metric;
        )*

        /// All metrics, in the order of their names.
        pub static TABLE: &[&NativeMetric] = &[$(&$name),*];
    };
}

use Kind::{Counter, Gauge};

#[rustfmt::skip]
table! {
    CLIENT_SERIES_LEFT_OUT = metric("dohle_metrics_client_series_left_out", Gauge, &[], OWN,
        "Numbers that clients pushed and that have no series, because metrics.client.series.max \
         are exposed, or because they are histograms or their labels are too long");
    GROUPS_LEFT_OUT = metric("dohle_metrics_groups_left_out", Gauge, &[], OWN,
        "Groups without series of their own, because metrics.groups.max are exposed");
    TOPICS_LEFT_OUT = metric("dohle_metrics_topics_left_out", Gauge, &[], OWN,
        "Topics without series of their own, because metrics.topics.max are exposed");
    SCRAPE_DURATION = metric("jmx_scrape_duration_seconds", Gauge, &[], AGENT,
        "How long the metrics of this scrape took to gather, in seconds");
    SCRAPE_ERROR = metric("jmx_scrape_error", Gauge, &[], AGENT,
        "Attributes of this scrape for which a rule makes a series that Prometheus rejects");
    BROKERS = metric("kafka_brokers", Gauge, &[], EXPORTER,
        "Brokers of the cluster that are not fenced; exposed by the active controller alone");
    CONSUMER_GROUP_CURRENT_OFFSET = metric(
        "kafka_consumergroup_current_offset", Gauge, OFFSET, EXPORTER,
        "The committed offset of a group that this broker coordinates");
    CONSUMER_GROUP_CURRENT_OFFSET_SUM = metric(
        "kafka_consumergroup_current_offset_sum", Gauge, GROUP_TOPIC, EXPORTER,
        "The sum of the committed offsets of a group, by topic");
    CONSUMER_GROUP_LAG = metric("kafka_consumergroup_lag", Gauge, OFFSET, EXPORTER,
        "Records between the committed offset of a group and the high watermark");
    CONSUMER_GROUP_LAG_SUM = metric("kafka_consumergroup_lag_sum", Gauge, GROUP_TOPIC, EXPORTER,
        "The sum of the lags of a group, by topic");
    CONSUMER_GROUP_MEMBERS = metric("kafka_consumergroup_members", Gauge, GROUP, EXPORTER,
        "Members of a group that this broker coordinates");
    TOPIC_PARTITION_CURRENT_OFFSET = metric(
        "kafka_topic_partition_current_offset", Gauge, PARTITION, EXPORTER,
        "The high watermark of a partition that this broker leads, which is the offset after the \
         last committed record");
    TOPIC_PARTITION_IN_SYNC_REPLICA = metric(
        "kafka_topic_partition_in_sync_replica", Gauge, PARTITION, EXPORTER,
        "Members of the ISR of a partition that this broker leads");
    TOPIC_PARTITION_LEADER = metric("kafka_topic_partition_leader", Gauge, PARTITION, EXPORTER,
        "The id of the leader of a partition, exposed by that broker");
    TOPIC_PARTITION_LEADER_IS_PREFERRED = metric(
        "kafka_topic_partition_leader_is_preferred", Gauge, PARTITION, EXPORTER,
        "1 if the leader of a partition is the first of its replicas, otherwise 0");
    TOPIC_PARTITION_OLDEST_OFFSET = metric(
        "kafka_topic_partition_oldest_offset", Gauge, PARTITION, EXPORTER,
        "The first offset of a partition that this broker leads");
    TOPIC_PARTITION_REPLICAS = metric("kafka_topic_partition_replicas", Gauge, PARTITION, EXPORTER,
        "Replicas of a partition that this broker leads");
    TOPIC_PARTITION_UNDER_REPLICATED = metric(
        "kafka_topic_partition_under_replicated_partition", Gauge, PARTITION, EXPORTER,
        "1 if replicas of a partition that this broker leads are not in its ISR, otherwise 0");
    TOPIC_PARTITIONS = metric("kafka_topic_partitions", Gauge, TOPIC, EXPORTER,
        "Partitions of a topic; exposed by the active controller alone");
    CPU_SECONDS = metric("process_cpu_seconds", Counter, &[], CLIENT,
        "CPU time of the process, user and system, in seconds");
    MAX_FDS = metric("process_max_fds", Gauge, &[], CLIENT,
        "File descriptors that the process may have open");
    OPEN_FDS = metric("process_open_fds", Gauge, &[], CLIENT,
        "File descriptors that the process has open");
    RESIDENT_BYTES = metric("process_resident_memory_bytes", Gauge, &[], CLIENT,
        "Resident memory of the process in bytes");
    START_TIME = metric("process_start_time_seconds", Gauge, &[], CLIENT,
        "When the node was started, in seconds since 1970");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_well_formed_and_in_its_place() {
        let names: Vec<&str> = TABLE.iter().map(|metric| metric.name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for metric in TABLE {
            let name = metric.name;
            assert!(!name.ends_with("_total"), "{name}");
            assert!(
                !metric.help.is_empty() && !metric.help.ends_with('.'),
                "{name}"
            );
        }
    }
}
