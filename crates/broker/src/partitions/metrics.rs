//! The metrics of the replicas of a broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::partition::PartitionRegistration;
use dohle_model::{ErrorCode, NodeId, PartitionIndex, TopicName, TopicPartition};
use dohle_protocol::messages::list_offsets_request::ListOffsetsRequestData;
use dohle_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponseData, ListOffsetsTopicResponse,
};
use dohle_telemetry::{Collect, Counter, MBean, NativeMetric, Sample, Value, mbeans, native};

use super::Partitions;
use crate::partition::{Measures, Partition, TopicCounts, TopicMeter};

/// Reads the metrics of a broker's replicas.
#[derive(Debug, Clone)]
pub struct ReplicaMetrics {
    partitions: Arc<Partitions>,
    topics_max: usize,
}

/// A replica at the time of a scrape.
struct Measured<'a> {
    topic: &'a str,
    partition: String,
    now: Measures,
    /// The registration of a partition that this broker leads.
    leading: Option<Arc<PartitionRegistration>>,
}

impl Measured<'_> {
    /// The replicas that the partition has without those that a reassignment adds.
    fn wanted(&self) -> usize {
        let Some(registration) = &self.leading else {
            return 0;
        };
        let added = &registration.adding_replicas;
        let replicas = registration.replicas.iter();
        replicas.filter(|node| !added.contains(node)).count()
    }

    fn is_under_replicated(&self) -> bool {
        self.now.isr < self.wanted()
    }

    /// `min.insync.replicas`, but no more than there are replicas.
    fn min_isr(&self) -> usize {
        let replicas = self.leading.as_ref().map_or(0, |it| it.replicas.len());
        self.now.min_isr.min(replicas)
    }

    fn is_under_min_isr(&self) -> bool {
        self.leading.is_some() && self.now.isr < self.min_isr()
    }

    fn is_at_min_isr(&self) -> bool {
        self.leading.is_some() && self.now.isr == self.min_isr()
    }
}

/// The numbers of replicas of some kinds on this broker.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    all: usize,
    leaders: usize,
    offline: usize,
    reassigning: usize,
    under_replicated: usize,
    under_min_isr: usize,
    at_min_isr: usize,
}

impl Counts {
    fn add(&mut self, replica: &Measured<'_>) {
        let leading = replica.leading.as_ref();
        self.all += 1;
        self.leaders += usize::from(leading.is_some());
        self.offline += usize::from(replica.now.is_offline);
        self.reassigning += usize::from(leading.is_some_and(|it| it.is_reassigning()));
        self.under_replicated += usize::from(replica.is_under_replicated());
        self.under_min_isr += usize::from(replica.is_under_min_isr());
        self.at_min_isr += usize::from(replica.is_at_min_isr());
    }

    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        let mut gauge = |bean: &'static MBean, value: usize| gauge(out, bean, &[], value as u64);
        gauge(&mbeans::AT_MIN_ISR_PARTITIONS, self.at_min_isr);
        gauge(&mbeans::LEADERS, self.leaders);
        gauge(&mbeans::OFFLINE_REPLICAS, self.offline);
        gauge(&mbeans::PARTITIONS, self.all);
        gauge(&mbeans::REASSIGNING_PARTITIONS, self.reassigning);
        gauge(&mbeans::UNDER_MIN_ISR_PARTITIONS, self.under_min_isr);
        gauge(&mbeans::UNDER_REPLICATED_PARTITIONS, self.under_replicated);
    }
}

fn gauge(out: &mut dyn FnMut(Sample<'_>), bean: &'static MBean, keys: &[&str], value: u64) {
    out(Sample::Attribute {
        bean,
        keys,
        attribute: "Value",
        value: Value::from(value),
    });
}

impl ReplicaMetrics {
    /// Returns the metrics of a broker, of whose topics `topics_max` have series of their own.
    #[must_use]
    pub fn new(partitions: Arc<Partitions>, topics_max: usize) -> Self {
        Self {
            partitions,
            topics_max,
        }
    }
}

/// A count, with the MBean of all topics and that of one.
type CountRow = (fn(&TopicCounts) -> &Counter, &'static MBean, &'static MBean);

const COUNTS: [CountRow; 6] = [
    (
        |it| &it.bytes_in,
        &mbeans::BYTES_IN,
        &mbeans::TOPIC_BYTES_IN,
    ),
    (
        |it| &it.bytes_out,
        &mbeans::BYTES_OUT,
        &mbeans::TOPIC_BYTES_OUT,
    ),
    (
        |it| &it.failed_produce_requests,
        &mbeans::FAILED_PRODUCE_REQUESTS,
        &mbeans::TOPIC_FAILED_PRODUCE_REQUESTS,
    ),
    (
        |it| &it.messages_in,
        &mbeans::MESSAGES_IN,
        &mbeans::TOPIC_MESSAGES_IN,
    ),
    (
        |it| &it.fetch_requests,
        &mbeans::FETCH_REQUESTS,
        &mbeans::TOPIC_FETCH_REQUESTS,
    ),
    (
        |it| &it.produce_requests,
        &mbeans::PRODUCE_REQUESTS,
        &mbeans::TOPIC_PRODUCE_REQUESTS,
    ),
];

fn meter(out: &mut dyn FnMut(Sample<'_>), bean: &'static MBean, keys: &[&str], count: u64) {
    out(Sample::Attribute {
        bean,
        keys,
        attribute: "Count",
        value: Value::from(count),
    });
}

impl ReplicaMetrics {
    /// The counts of all topics, and of those that are listed.
    fn counted(
        &self,
        partitions: &[Arc<Partition>],
        listed: &BTreeSet<&TopicName>,
        out: &mut dyn FnMut(Sample<'_>),
    ) {
        let meters = &self.partitions.shared.meters;
        let mut by_topic: BTreeMap<&TopicName, &TopicMeter> = BTreeMap::new();
        for partition in partitions.iter().filter(|it| listed.contains(it.topic())) {
            by_topic.insert(partition.topic(), partition.meter());
        }
        for (counter, of_all, of_topic) in COUNTS {
            meter(out, of_all, &[], meters.all.sum(counter));
            for (topic, counts) in &by_topic {
                meter(out, of_topic, &[topic.as_str()], counts.sum(counter));
            }
        }
        meter(out, &mbeans::ISR_EXPANDS, &[], meters.isr_expands.get());
        meter(out, &mbeans::ISR_SHRINKS, &[], meters.isr_shrinks.get());
    }
}

impl Collect for ReplicaMetrics {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        let image = self.partitions.shared.image();
        let all = self.partitions.all();
        let topics: BTreeSet<&TopicName> = all.iter().map(|partition| partition.topic()).collect();
        let listed: BTreeSet<&TopicName> = topics.iter().take(self.topics_max).copied().collect();
        self.counted(&all, &listed, out);
        let mut counts = Counts::default();
        for partition in &all {
            let registration = || image.partition(&partition.id()).cloned();
            let replica = measured(partition, registration);
            counts.add(&replica);
            if listed.contains(partition.topic()) {
                series(&replica, self.partitions.node, out);
            }
        }
        counts.collect(out);
        let left_out = (topics.len() - listed.len()) as f64;
        let (metric, labels) = (&native::TOPICS_LEFT_OUT, &[][..]);
        out(Sample::Native {
            metric,
            labels,
            value: left_out,
        });
    }
}

fn measured(
    partition: &Partition,
    registration: impl FnOnce() -> Option<Arc<PartitionRegistration>>,
) -> Measured<'_> {
    let now = partition.measure();
    Measured {
        topic: partition.topic().as_str(),
        partition: partition.name().partition.0.to_string(),
        leading: now.is_leader.then(registration).flatten(),
        now,
    }
}

/// The series of one replica.
fn series(replica: &Measured<'_>, node: NodeId, out: &mut dyn FnMut(Sample<'_>)) {
    let keys = [replica.topic, replica.partition.as_str()];
    let positions = &replica.now.positions;
    let leading = replica.leading.as_ref();
    let lag = positions.high_watermark.since(positions.last_stable_offset);
    let mut bean = |bean: &'static MBean, value: u64| gauge(out, bean, &keys, value);
    bean(
        &mbeans::PARTITION_AT_MIN_ISR,
        replica.is_at_min_isr().into(),
    );
    bean(&mbeans::PARTITION_IN_SYNC_REPLICAS, replica.now.isr as u64);
    bean(
        &mbeans::PARTITION_LAST_STABLE_OFFSET_LAG,
        lag.max(0).unsigned_abs(),
    );
    bean(
        &mbeans::PARTITION_REPLICAS,
        leading.map_or(0, |it| it.replicas.len() as u64),
    );
    bean(
        &mbeans::PARTITION_UNDER_MIN_ISR,
        replica.is_under_min_isr().into(),
    );
    bean(
        &mbeans::PARTITION_UNDER_REPLICATED,
        replica.is_under_replicated().into(),
    );
    let offset = |offset: dohle_model::Offset| offset.0.max(0).unsigned_abs();
    bean(&mbeans::LOG_END_OFFSET, offset(positions.log_end_offset));
    bean(
        &mbeans::LOG_START_OFFSET,
        offset(positions.log_start_offset),
    );
    bean(&mbeans::LOG_SIZE, replica.now.size);
    let Some(registration) = leading else { return };
    let mut native = |metric: &'static NativeMetric, value: f64| {
        let labels = &keys;
        out(Sample::Native {
            metric,
            labels,
            value,
        });
    };
    let is_preferred = registration.preferred_leader() == Some(node);
    native(
        &native::TOPIC_PARTITION_CURRENT_OFFSET,
        positions.high_watermark.0 as f64,
    );
    native(
        &native::TOPIC_PARTITION_IN_SYNC_REPLICA,
        replica.now.isr as f64,
    );
    native(&native::TOPIC_PARTITION_LEADER, f64::from(node.0));
    native(
        &native::TOPIC_PARTITION_LEADER_IS_PREFERRED,
        f64::from(u8::from(is_preferred)),
    );
    native(
        &native::TOPIC_PARTITION_OLDEST_OFFSET,
        positions.log_start_offset.0 as f64,
    );
    native(
        &native::TOPIC_PARTITION_REPLICAS,
        registration.replicas.len() as f64,
    );
    let under = f64::from(u8::from(replica.is_under_replicated()));
    native(&native::TOPIC_PARTITION_UNDER_REPLICATED, under);
}

impl Partitions {
    /// Answers another broker that asks for the high watermarks of partitions that this broker
    /// leads. The times in the request are ignored.
    pub fn high_watermarks(&self, request: &ListOffsetsRequestData) -> ListOffsetsResponseData {
        let topics = request.topics.iter().map(|topic| {
            let name = TopicName::new(topic.name.as_str());
            let partitions = topic.partitions.iter().map(|partition| {
                let index = partition.partition_index;
                let name = name.as_ref().ok();
                let found = name.and_then(|topic| {
                    let (topic, partition) = (topic.clone(), PartitionIndex(index));
                    self.get_by_name(&TopicPartition { topic, partition })
                });
                high_watermark(index, found.filter(|partition| partition.is_leader()))
            });
            ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: partitions.collect(),
                ..ListOffsetsTopicResponse::default()
            }
        });
        ListOffsetsResponseData {
            topics: topics.collect(),
            ..ListOffsetsResponseData::default()
        }
    }
}

fn high_watermark(index: i32, partition: Option<Arc<Partition>>) -> ListOffsetsPartitionResponse {
    let empty = ListOffsetsPartitionResponse {
        partition_index: index,
        ..ListOffsetsPartitionResponse::default()
    };
    match partition {
        Some(partition) => ListOffsetsPartitionResponse {
            offset: partition.positions().high_watermark.0,
            ..empty
        },
        None => ListOffsetsPartitionResponse {
            error_code: ErrorCode::NotLeaderOrFollower.code(),
            ..empty
        },
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::DirectoryId;

    use super::*;

    /// A replica that leads with an ISR of `isr`, if there are `replicas`, of which the last
    /// `adding` are being added.
    fn replica(isr: usize, min_isr: usize, replicas: i32, adding: i32) -> Measured<'static> {
        let nodes = |ids: std::ops::Range<i32>| ids.map(NodeId).collect::<Vec<_>>();
        let (all, directories) = (nodes(0..replicas), vec![DirectoryId::UNASSIGNED; 9]);
        let registration = PartitionRegistration {
            adding_replicas: nodes(replicas - adding..replicas),
            ..PartitionRegistration::new(all, directories, nodes(0..1))
        };
        let is_leader = replicas > 0;
        Measured {
            topic: "t",
            partition: "0".to_owned(),
            now: Measures {
                positions: Default::default(),
                is_leader,
                is_offline: false,
                size: 0,
                isr,
                min_isr,
            },
            leading: is_leader.then(|| Arc::new(registration)),
        }
    }

    #[test]
    fn replicas_are_counted_by_the_state_of_their_isr() {
        let counted = |replica: Measured<'_>| {
            let mut counts = Counts::default();
            counts.add(&replica);
            let Counts {
                under_replicated,
                under_min_isr,
                at_min_isr,
                reassigning,
                ..
            } = counts;
            (under_replicated, under_min_isr, at_min_isr, reassigning)
        };
        for (replica, expected) in [
            (replica(3, 2, 3, 0), (0, 0, 0, 0)),
            (replica(2, 2, 3, 0), (1, 0, 1, 0)),
            (replica(1, 2, 3, 0), (1, 1, 0, 0)),
            // A replica that is being added does not make a partition under-replicated.
            (replica(2, 1, 3, 1), (0, 0, 0, 1)),
            (replica(1, 1, 3, 1), (1, 0, 1, 1)),
            // With fewer replicas than min.insync.replicas all of them are enough.
            (replica(1, 2, 1, 0), (0, 0, 1, 0)),
            // A follower counts as none of these.
            (replica(0, 2, 0, 0), (0, 0, 0, 0)),
        ] {
            assert_eq!(counted(replica), expected);
        }
    }
}
