//! The metrics of the groups that a node coordinates: offsets, lag, members.
//!
//! The lag of a group needs the high watermarks of its partitions, most of which other brokers
//! lead. They are asked at each scrape, all at once; a partition whose leader does not answer in
//! time has no lag in that scrape.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dohle_broker::metadata::MetadataCache;
use dohle_broker::partitions::Partitions;
use dohle_broker::replication::BrokerClient;
use dohle_coordinator::groups::GroupCoordinator;
use dohle_groups::GroupSummary;
use dohle_groups::requests::SummarizeGroups;
use dohle_model::image::MetadataImage;
use dohle_model::{NodeId, Offset, PartitionIndex};
use dohle_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use dohle_protocol::text;
use dohle_telemetry::{Collect, NativeMetric, Sample, Value, mbeans, native};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

/// How long the groups, and then other brokers, may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The timestamp in a ListOffsets request that asks for the high watermark.
const LATEST: i64 = -1;

type TopicPartition = (Arc<str>, PartitionIndex);
type HighWatermarks = HashMap<TopicPartition, Offset>;

/// Reads the metrics of groups.
pub(super) struct GroupMetrics {
    pub node: NodeId,
    pub groups: Arc<GroupCoordinator>,
    pub metadata: Arc<MetadataCache>,
    pub partitions: Arc<Partitions>,
    pub brokers: Arc<BrokerClient>,
    /// The most groups with series of their own.
    pub groups_max: usize,
}

/// The groups at the time of a scrape.
#[derive(Debug, Default)]
pub(super) struct GroupNumbers {
    /// Those with series of their own, by their ids.
    listed: Vec<GroupSummary>,
    by_kind: BTreeMap<&'static str, usize>,
    left_out: usize,
    high_watermarks: HighWatermarks,
}

impl GroupMetrics {
    /// Returns the numbers of the groups that this node coordinates now. Shards that are being
    /// loaded are left out.
    pub(super) async fn numbers(&self) -> GroupNumbers {
        let deadline = Instant::now() + PATIENCE;
        let shards = self.groups.run_in_all(&SummarizeGroups);
        let shards = timeout_at(deadline, shards).await.unwrap_or_default();
        let groups = shards.into_iter().flatten().flatten().collect();
        let mut numbers = GroupNumbers::new(groups, self.groups_max);
        numbers.high_watermarks = self.high_watermarks(&numbers.listed).await;
        numbers
    }

    /// Returns the high watermarks of the partitions that the groups have offsets of.
    async fn high_watermarks(&self, groups: &[GroupSummary]) -> HighWatermarks {
        let image = self.metadata.image();
        let mut by_leader = by_leader(groups, &image);
        let own = by_leader.remove(&self.node);
        let deadline = Instant::now() + PATIENCE;
        let asked = by_leader.into_iter().map(|(leader, request)| async move {
            let answered = self.brokers.call(leader, &request, deadline).await;
            answered
                .inspect_err(|error| {
                    tracing::debug!(%leader, "no high watermarks for the lag of groups: {error}");
                })
                .ok()
        });
        let answers = join_all(asked).await;
        let own = own.map(|request| self.partitions.high_watermarks(&request));
        let mut found = HighWatermarks::new();
        for topic in answers
            .into_iter()
            .flatten()
            .chain(own)
            .flat_map(|it| it.topics)
        {
            let name: Arc<str> = topic.name.as_str().into();
            for partition in topic.partitions.iter().filter(|it| it.error_code == 0) {
                let index = PartitionIndex(partition.partition_index);
                found.insert((Arc::clone(&name), index), Offset(partition.offset));
            }
        }
        found
    }
}

/// Returns a request to each leader of a partition that a group has an offset of.
fn by_leader(
    groups: &[GroupSummary],
    image: &MetadataImage,
) -> HashMap<NodeId, ListOffsetsRequestData> {
    let mut wanted: BTreeMap<&str, BTreeMap<PartitionIndex, NodeId>> = BTreeMap::new();
    for (topic, partition, _) in groups.iter().flat_map(|group| &group.offsets) {
        let registration = image
            .topic(topic)
            .and_then(|it| it.partitions.get(partition));
        if let Some(leader) = registration.and_then(|it| it.leader) {
            wanted.entry(topic).or_default().insert(*partition, leader);
        }
    }
    let mut requests: HashMap<NodeId, ListOffsetsRequestData> = HashMap::new();
    for (topic, partitions) in wanted {
        for (partition, leader) in partitions {
            let topics = &mut requests.entry(leader).or_default().topics;
            if topics.last().is_none_or(|last| last.name.as_str() != topic) {
                topics.push(ListOffsetsTopic {
                    name: text(topic),
                    ..ListOffsetsTopic::default()
                });
            }
            if let Some(last) = topics.last_mut() {
                last.partitions.push(ListOffsetsPartition {
                    partition_index: partition.0,
                    timestamp: LATEST,
                    ..ListOffsetsPartition::default()
                });
            }
        }
    }
    requests
}

impl GroupNumbers {
    fn new(mut groups: Vec<GroupSummary>, groups_max: usize) -> Self {
        // Both kinds have a number, also when it is 0.
        let mut by_kind = BTreeMap::from([("classic", 0), ("consumer", 0)]);
        for group in &groups {
            *by_kind.entry(group.kind).or_default() += 1;
        }
        groups.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
        let left_out = groups.len().saturating_sub(groups_max);
        groups.truncate(groups_max);
        Self {
            listed: groups,
            by_kind,
            left_out,
            high_watermarks: HighWatermarks::new(),
        }
    }
}

/// The sums over the partitions of a topic.
#[derive(Default)]
struct Sums {
    offset: f64,
    /// `None` if the lag of a partition is not known.
    lag: Option<f64>,
}

impl Collect for GroupNumbers {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for (kind, count) in &self.by_kind {
            out(Sample::Attribute {
                bean: &mbeans::GROUPS,
                keys: &[kind],
                attribute: "group-count",
                value: Value::from(*count),
            });
        }
        let mut native = |metric: &'static NativeMetric, labels: &[&str], value: f64| {
            out(Sample::Native {
                metric,
                labels,
                value,
            });
        };
        native(&native::GROUPS_LEFT_OUT, &[], self.left_out as f64);
        for group in &self.listed {
            let id = group.group_id.as_str();
            native(&native::CONSUMER_GROUP_MEMBERS, &[id], group.members as f64);
            let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
            for (topic, partition, offset) in &group.offsets {
                let index = partition.0.to_string();
                let labels = [id, topic, &index];
                let end = self.high_watermarks.get(&(Arc::clone(topic), *partition));
                let lag = end.map(|end| end.since(*offset).max(0) as f64);
                native(
                    &native::CONSUMER_GROUP_CURRENT_OFFSET,
                    &labels,
                    offset.0 as f64,
                );
                if let Some(lag) = lag {
                    native(&native::CONSUMER_GROUP_LAG, &labels, lag);
                }
                let empty = Sums {
                    offset: 0.0,
                    lag: Some(0.0),
                };
                let sum = sums.entry(topic).or_insert(empty);
                sum.offset += offset.0 as f64;
                sum.lag = sum.lag.zip(lag).map(|(sum, lag)| sum + lag);
            }
            for (topic, sum) in sums {
                native(
                    &native::CONSUMER_GROUP_CURRENT_OFFSET_SUM,
                    &[id, topic],
                    sum.offset,
                );
                if let Some(lag) = sum.lag {
                    native(&native::CONSUMER_GROUP_LAG_SUM, &[id, topic], lag);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_groups::GroupId;
    use dohle_telemetry::text::{Format, render};
    use dohle_telemetry::{Rules, Scrape};
    use expect_test::expect;

    use super::*;

    fn group(id: &str, kind: &'static str, offsets: &[(&str, i32, i64)]) -> GroupSummary {
        let offset = |(topic, partition, offset): &(&str, i32, i64)| {
            (
                Arc::from(*topic),
                PartitionIndex(*partition),
                Offset(*offset),
            )
        };
        GroupSummary {
            group_id: GroupId::new(id),
            kind,
            members: 2,
            offsets: offsets.iter().map(offset).collect(),
        }
    }

    #[test]
    fn lag_is_the_distance_to_the_high_watermark() {
        let groups = vec![
            group("b", "consumer", &[("t", 0, 5), ("t", 1, 7), ("u", 0, 3)]),
            group("c", "classic", &[]),
            // The high watermark was read before the commit.
            group("a", "classic", &[("t", 0, 20)]),
        ];
        let mut numbers = GroupNumbers::new(groups, 2);
        numbers.high_watermarks = HighWatermarks::from([
            ((Arc::from("t"), PartitionIndex(0)), Offset(15)),
            ((Arc::from("t"), PartitionIndex(1)), Offset(7)),
        ]);
        let (rules, _) = Rules::parse(dohle_telemetry::rules::DEFAULT).unwrap();
        let mut scrape = Scrape::new(&rules);
        numbers.collect(&mut |sample| scrape.add(sample));
        let text = render(&scrape.finish(0.0), Format::Prometheus);
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("jmx"));
        let lines: Vec<&str> = lines.collect();
        expect![[r#"
            dohle_metrics_groups_left_out 1.0
            kafka_consumergroup_current_offset{consumergroup="a",partition="0",topic="t"} 20.0
            kafka_consumergroup_current_offset{consumergroup="b",partition="0",topic="t"} 5.0
            kafka_consumergroup_current_offset{consumergroup="b",partition="0",topic="u"} 3.0
            kafka_consumergroup_current_offset{consumergroup="b",partition="1",topic="t"} 7.0
            kafka_consumergroup_current_offset_sum{consumergroup="a",topic="t"} 20.0
            kafka_consumergroup_current_offset_sum{consumergroup="b",topic="t"} 12.0
            kafka_consumergroup_current_offset_sum{consumergroup="b",topic="u"} 3.0
            kafka_consumergroup_lag{consumergroup="a",partition="0",topic="t"} 0.0
            kafka_consumergroup_lag{consumergroup="b",partition="0",topic="t"} 10.0
            kafka_consumergroup_lag{consumergroup="b",partition="1",topic="t"} 0.0
            kafka_consumergroup_lag_sum{consumergroup="a",topic="t"} 0.0
            kafka_consumergroup_lag_sum{consumergroup="b",topic="t"} 10.0
            kafka_consumergroup_members{consumergroup="a"} 2.0
            kafka_consumergroup_members{consumergroup="b"} 2.0
            kafka_server_group_coordinator_metrics_group_count{protocol="classic"} 2.0
            kafka_server_group_coordinator_metrics_group_count{protocol="consumer"} 1.0"#]]
        .assert_eq(&lines.join("\n"));
    }
}
