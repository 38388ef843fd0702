//! The MBeans of Apache Kafka that a node has numbers for.
//!
//! Names, attributes and types are Kafka's, so that the rule files that people have name the same
//! series. What a node does not measure is not in the table.

/// The type of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JmxType {
    /// `long` or `int`.
    Long,
    /// `double`.
    Double,
    /// `java.lang.String`.
    Text,
}

/// An attribute of an MBean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeDef {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: JmxType,
    /// What it is.
    pub help: &'static str,
}

/// The attributes of an MBean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "all values are in one constant table"
)]
enum Attributes {
    /// `Value`.
    Gauge(AttributeDef),
    /// `Count`, of a meter of Yammer's library. Its rates are left out: Prometheus computes them.
    Meter(AttributeDef),
    /// Those of a histogram of Yammer's library.
    Histogram([AttributeDef; 11]),
    /// Those of a group of Kafka's own metrics.
    Named(&'static [AttributeDef]),
}

/// An MBean of Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MBean {
    /// Its name; the value of a property that differs between its instances is `*`.
    pub name: &'static str,
    attributes: Attributes,
    /// The KIP that added it, or the page that documents it.
    pub source: &'static str,
}

impl MBean {
    /// Returns the attributes.
    #[must_use]
    pub const fn attributes(&self) -> &[AttributeDef] {
        match &self.attributes {
            Attributes::Gauge(attribute) | Attributes::Meter(attribute) => {
                std::slice::from_ref(attribute)
            }
            Attributes::Histogram(attributes) => attributes,
            Attributes::Named(attributes) => attributes,
        }
    }

    /// Returns the attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeDef> {
        let mut attributes = self.attributes().iter();
        attributes.find(|attribute| attribute.name == name)
    }

    /// Returns the domain of the name.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        self.name.split(':').next().unwrap_or_default()
    }

    /// Returns the properties of the name, in their order; those whose value is `*` vary.
    pub fn properties(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let list = self.name.split_once(':').map_or("", |(_, list)| list);
        list.split(',').filter_map(|item| item.split_once('='))
    }
}

/// Kafka's documentation of its metrics.
const MONITORING: &str = "Monitoring";

const fn gauge(name: &'static str, source: &'static str, help: &'static str) -> MBean {
    MBean {
        name,
        attributes: Attributes::Gauge(AttributeDef {
            name: "Value",
            kind: JmxType::Long,
            help,
        }),
        source,
    }
}

const fn meter(name: &'static str, source: &'static str, help: &'static str) -> MBean {
    MBean {
        name,
        attributes: Attributes::Meter(AttributeDef {
            name: "Count",
            kind: JmxType::Long,
            help,
        }),
        source,
    }
}

/// A histogram. Its numbers have the unit that the name ends in.
const fn histogram(name: &'static str, source: &'static str, help: &'static str) -> MBean {
    const fn double(name: &'static str, help: &'static str) -> AttributeDef {
        AttributeDef {
            name,
            kind: JmxType::Double,
            help,
        }
    }
    MBean {
        name,
        attributes: Attributes::Histogram([
            double("50thPercentile", help),
            double("75thPercentile", help),
            double("95thPercentile", help),
            double("98thPercentile", help),
            double("99thPercentile", help),
            double("999thPercentile", help),
            long("Count", help),
            double("Max", help),
            double("Mean", help),
            double("Min", help),
            double("StdDev", help),
        ]),
        source,
    }
}

const fn group(
    name: &'static str,
    source: &'static str,
    attributes: &'static [AttributeDef],
) -> MBean {
    MBean {
        name,
        attributes: Attributes::Named(attributes),
        source,
    }
}

const fn long(name: &'static str, help: &'static str) -> AttributeDef {
    AttributeDef {
        name,
        kind: JmxType::Long,
        help,
    }
}

const fn text(name: &'static str, help: &'static str) -> AttributeDef {
    AttributeDef {
        name,
        kind: JmxType::Text,
        help,
    }
}

/// Declares the MBeans, and the table of all of them.
macro_rules! table {
    ($($name:ident = $bean:expr;)*) => {
        $(
            #[doc = concat!("See [`TABLE`]: `", stringify!($name), "`.")]
            pub static $name: MBean = $bean;
        )*

        /// All MBeans, in the order of their names.
        pub static TABLE: &[&MBean] = &[$(&$name),*];
    };
}

#[rustfmt::skip]
table! {
    PARTITION_AT_MIN_ISR = gauge(
        "kafka.cluster:type=Partition,name=AtMinIsr,topic=*,partition=*", "KIP-351",
        "1 if the ISR of a partition that this broker leads has exactly min.insync.replicas \
         members, \
         otherwise 0");
    PARTITION_IN_SYNC_REPLICAS = gauge(
        "kafka.cluster:type=Partition,name=InSyncReplicasCount,topic=*,partition=*", MONITORING,
        "Members of the ISR of a partition that this broker leads; 0 on followers");
    PARTITION_LAST_STABLE_OFFSET_LAG = gauge(
        "kafka.cluster:type=Partition,name=LastStableOffsetLag,topic=*,partition=*", MONITORING,
        "Records between the last stable offset and the high watermark of a replica");
    PARTITION_REPLICAS = gauge(
        "kafka.cluster:type=Partition,name=ReplicasCount,topic=*,partition=*", MONITORING,
        "Replicas of a partition that this broker leads; 0 on followers");
    PARTITION_UNDER_MIN_ISR = gauge(
        "kafka.cluster:type=Partition,name=UnderMinIsr,topic=*,partition=*", "KIP-164",
        "1 if the ISR of a partition that this broker leads has fewer than min.insync.replicas \
         members, otherwise 0");
    PARTITION_UNDER_REPLICATED = gauge(
        "kafka.cluster:type=Partition,name=UnderReplicated,topic=*,partition=*", MONITORING,
        "1 if replicas of a partition that this broker leads are not in its ISR, otherwise 0");
    ACTIVE_BROKERS = gauge(
        "kafka.controller:type=KafkaController,name=ActiveBrokerCount", MONITORING,
        "Registered brokers that are not fenced");
    ACTIVE_CONTROLLER = gauge(
        "kafka.controller:type=KafkaController,name=ActiveControllerCount", MONITORING,
        "1 on the active controller, otherwise 0");
    FENCED_BROKERS = gauge(
        "kafka.controller:type=KafkaController,name=FencedBrokerCount", MONITORING,
        "Registered brokers that are fenced");
    GLOBAL_PARTITIONS = gauge(
        "kafka.controller:type=KafkaController,name=GlobalPartitionCount", MONITORING,
        "Partitions of the cluster");
    GLOBAL_TOPICS = gauge(
        "kafka.controller:type=KafkaController,name=GlobalTopicCount", MONITORING,
        "Topics of the cluster");
    OFFLINE_PARTITIONS = gauge(
        "kafka.controller:type=KafkaController,name=OfflinePartitionsCount", MONITORING,
        "Partitions of the cluster without a leader");
    PREFERRED_REPLICA_IMBALANCE = gauge(
        "kafka.controller:type=KafkaController,name=PreferredReplicaImbalanceCount", MONITORING,
        "Partitions of the cluster whose leader is not the first of their replicas");
    LOG_END_OFFSET = gauge(
        "kafka.log:type=Log,name=LogEndOffset,topic=*,partition=*", MONITORING,
        "The offset after the last record of a replica");
    LOG_START_OFFSET = gauge(
        "kafka.log:type=Log,name=LogStartOffset,topic=*,partition=*", MONITORING,
        "The first offset of a replica");
    LOG_SIZE = gauge(
        "kafka.log:type=Log,name=Size,topic=*,partition=*", MONITORING,
        "Bytes of the log of a replica");
    REQUEST_LOCAL_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=LocalTimeMs,request=*", MONITORING,
        "Milliseconds until a request was answered, or began to wait for other brokers, records or \
         threads, by API");
    REQUEST_REMOTE_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=RemoteTimeMs,request=*", MONITORING,
        "Milliseconds for which a request waited for other brokers, records or threads, by API");
    REQUEST_BYTES = histogram(
        "kafka.network:type=RequestMetrics,name=RequestBytes,request=*", MONITORING,
        "Bytes of a request, by API");
    REQUEST_QUEUE_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=RequestQueueTimeMs,request=*", MONITORING,
        "Milliseconds for which a request waited for appends of earlier requests of its \
         connection, by API; they are a part of RemoteTimeMs");
    REQUESTS = meter(
        "kafka.network:type=RequestMetrics,name=RequestsPerSec,request=*,version=*", MONITORING,
        "Requests by API and version. Those of consumers count as Fetch and as FetchConsumer");
    RESPONSE_QUEUE_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=ResponseQueueTimeMs,request=*", MONITORING,
        "Milliseconds for which a response waited for earlier responses of its connection, by API");
    RESPONSE_SEND_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=ResponseSendTimeMs,request=*", MONITORING,
        "Milliseconds until the socket had accepted a response, by API");
    REQUEST_THROTTLE_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=ThrottleTimeMs,request=*", MONITORING,
        "Milliseconds for which the sender of a request was throttled because of it, by API");
    REQUEST_TOTAL_TIME = histogram(
        "kafka.network:type=RequestMetrics,name=TotalTimeMs,request=*", MONITORING,
        "Milliseconds from the arrival of a request until the socket had accepted its response, by \
         API");
    BYTES_IN = meter(
        "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec", MONITORING,
        "Bytes of record batches that were appended to partitions that this broker leads");
    TOPIC_BYTES_IN = meter(
        "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic=*", MONITORING,
        "Bytes of record batches that were appended to partitions that this broker leads, by \
         topic");
    BYTES_OUT = meter(
        "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec", MONITORING,
        "Bytes of record batches in responses to consumers");
    TOPIC_BYTES_OUT = meter(
        "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec,topic=*", MONITORING,
        "Bytes of record batches in responses to consumers, by topic");
    FAILED_PRODUCE_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec", MONITORING,
        "Partitions in produce requests that failed for another reason than those that clients \
         handle by themselves");
    TOPIC_FAILED_PRODUCE_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec,topic=*", MONITORING,
        "Partitions in produce requests that failed for another reason than those that clients \
         handle by themselves, by topic");
    MESSAGES_IN = meter(
        "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec", MONITORING,
        "Records that were appended to partitions that this broker leads");
    TOPIC_MESSAGES_IN = meter(
        "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec,topic=*", MONITORING,
        "Records that were appended to partitions that this broker leads, by topic");
    FETCH_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec", MONITORING,
        "Partitions in responses to fetch requests of consumers");
    TOPIC_FETCH_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec,topic=*", MONITORING,
        "Partitions in responses to fetch requests of consumers, by topic");
    PRODUCE_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec", MONITORING,
        "Partitions in produce requests that this broker has a replica of");
    TOPIC_PRODUCE_REQUESTS = meter(
        "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec,topic=*", MONITORING,
        "Partitions in produce requests that this broker has a replica of, by topic");
    ISR_EXPANDS = meter(
        "kafka.server:type=ReplicaManager,name=IsrExpandsPerSec", MONITORING,
        "Additions of replicas to the ISR of a partition that this broker leads");
    ISR_SHRINKS = meter(
        "kafka.server:type=ReplicaManager,name=IsrShrinksPerSec", MONITORING,
        "Removals of replicas from the ISR of a partition that this broker leads");
    REASSIGNING_PARTITIONS = gauge(
        "kafka.server:type=ReplicaManager,name=ReassigningPartitions", "KIP-352",
        "Partitions that this broker leads and that are being reassigned");
    AT_MIN_ISR_PARTITIONS = gauge(
        "kafka.server:type=ReplicaManager,name=AtMinIsrPartitionCount", "KIP-351",
        "Partitions that this broker leads and whose ISR has exactly min.insync.replicas members");
    LEADERS = gauge(
        "kafka.server:type=ReplicaManager,name=LeaderCount", MONITORING,
        "Partitions that this broker leads");
    OFFLINE_REPLICAS = gauge(
        "kafka.server:type=ReplicaManager,name=OfflineReplicaCount", MONITORING,
        "Replicas of this broker whose log is offline");
    PARTITIONS = gauge(
        "kafka.server:type=ReplicaManager,name=PartitionCount", MONITORING,
        "Replicas of this broker");
    UNDER_MIN_ISR_PARTITIONS = gauge(
        "kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount", "KIP-164",
        "Partitions that this broker leads and whose ISR has fewer than min.insync.replicas \
         members");
    UNDER_REPLICATED_PARTITIONS = gauge(
        "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions", MONITORING,
        "Partitions that this broker leads and of which replicas are not in the ISR");
    APP_INFO = group("kafka.server:type=app-info,id=*", MONITORING, &[
        long("start-time-ms", "When the node was started, in milliseconds since 1970"),
        text("version", "The version of Dohle"),
    ]);
    CLIENT_METRICS = group("kafka.server:type=client-metrics", "KIP-714", &[
        long("instance-count", "Instances of clients whose metrics this broker receives"),
        long("unknown-subscription-request-count",
            "Pushes of clients for another subscription than the current one"),
    ]);
    CLIENT_METRICS_INSTANCES = group(
        "kafka.server:type=client-metrics,client_instance_id=*", "KIP-714", &[
        long("plugin-error-count", "Pushes of clients whose metrics could not be read. All \
                                    instances share the counts, so client_instance_id is all"),
        long("plugin-export-count", "Pushes of clients whose metrics were read"),
        long("throttle-count", "Requests of clients about their metrics that came too early"),
    ]);
    GROUPS = group(
        "kafka.server:type=group-coordinator-metrics,protocol=*", "KIP-848", &[
        long("group-count", "Groups that this broker coordinates, by protocol"),
    ]);
    RAFT = group("kafka.server:type=raft-metrics", "KIP-595", &[
        long("current-epoch", "The epoch of the quorum, which is Raft's term"),
        long("current-leader", "The id of the quorum's leader; -1 if there is none"),
        text("current-state", "leader, follower or unattached"),
        long("high-watermark", "The offset after the last committed entry of the metadata log"),
        long("log-end-offset", "The offset after the last entry of this voter's metadata log"),
        long("number-of-observers", "Observers of the quorum"),
        long("number-of-voters", "Voters of the quorum"),
    ]);
    SOCKET_SERVER = group(
        "kafka.server:type=socket-server-metrics,listener=*,networkProcessor=*", MONITORING, &[
        long("connection-count", "Connections of clients that are open. Network threads share \
                                  them, so networkProcessor is all"),
    ]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::object_name::ObjectName;

    #[test]
    fn every_row_is_well_formed_and_in_its_place() {
        let mut names = BTreeSet::new();
        for bean in TABLE {
            ObjectName::parse(bean.name).unwrap();
            assert!(names.insert(bean.name), "{} occurs twice", bean.name);
            assert!(!bean.source.is_empty() && !bean.attributes().is_empty());
            for attribute in bean.attributes() {
                let help = attribute.help;
                assert!(
                    !help.is_empty() && !help.ends_with('.'),
                    "{}: {help}",
                    bean.name
                );
            }
            let first = bean.properties().next();
            assert!(first.is_some_and(|(key, _)| key == "type"), "{}", bean.name);
        }
        let domains: Vec<&str> = TABLE.iter().map(|bean| bean.domain()).collect();
        assert!(domains.is_sorted(), "{domains:?}");
    }
}
