//! The metrics of a controller: those of the cluster's metadata, which every controller has, and
//! those of the quorum.

use std::sync::Arc;

use dohle_model::NodeId;
use dohle_model::image::MetadataImage;
use dohle_telemetry::{Collect, MBean, NativeMetric, Sample, Value, mbeans, native};
use tokio::sync::watch;

use crate::actor::Activity;
use crate::controller::Controller;
use crate::raft::{Quorum, QuorumDescription};
use crate::state_machine::PublishedImage;

/// Reads the metrics of a running controller. Outlives it with its last values.
pub struct ControllerMetrics {
    node: NodeId,
    quorum: Quorum,
    published: watch::Receiver<PublishedImage>,
    activity: watch::Receiver<Activity>,
    topics_max: usize,
}

impl Controller {
    /// Returns the metrics of this controller. At most `topics_max` topics have series of their
    /// own.
    #[must_use]
    pub fn metrics(&self, node: NodeId, topics_max: usize) -> ControllerMetrics {
        ControllerMetrics {
            node,
            quorum: self.quorum.clone(),
            published: self.published.clone(),
            activity: self.activity.clone(),
            topics_max,
        }
    }
}

impl Collect for ControllerMetrics {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        let image = Arc::clone(&self.published.borrow().image);
        let is_active = self.activity.borrow().active;
        metadata(&image, is_active, out);
        if is_active {
            cluster(&image, self.topics_max, out);
        }
        let state = match self.activity.borrow().leader {
            Some(leader) if leader == self.node => "leader",
            Some(_) => "follower",
            None => "unattached",
        };
        raft(self.node, &self.quorum.describe(), state, out);
    }
}

fn gauge(out: &mut dyn FnMut(Sample<'_>), bean: &'static MBean, value: usize) {
    let (keys, attribute, value) = (&[][..], "Value", Value::from(value));
    out(Sample::Attribute {
        bean,
        keys,
        attribute,
        value,
    });
}

fn metadata(image: &MetadataImage, is_active: bool, out: &mut dyn FnMut(Sample<'_>)) {
    let (mut partitions, mut offline, mut imbalanced) = (0, 0, 0);
    for partition in image
        .topics
        .values()
        .flat_map(|topic| topic.partitions.values())
    {
        partitions += 1;
        offline += usize::from(partition.leader.is_none());
        imbalanced += usize::from(partition.leader != partition.preferred_leader());
    }
    let fenced = image
        .brokers
        .values()
        .filter(|broker| broker.fenced)
        .count();
    gauge(out, &mbeans::ACTIVE_BROKERS, image.brokers.len() - fenced);
    gauge(out, &mbeans::ACTIVE_CONTROLLER, usize::from(is_active));
    gauge(out, &mbeans::FENCED_BROKERS, fenced);
    gauge(out, &mbeans::GLOBAL_PARTITIONS, partitions);
    gauge(out, &mbeans::GLOBAL_TOPICS, image.topics.len());
    gauge(out, &mbeans::OFFLINE_PARTITIONS, offline);
    gauge(out, &mbeans::PREFERRED_REPLICA_IMBALANCE, imbalanced);
}

/// Numbers of the whole cluster, which the active controller alone exposes, so that a sum over all
/// nodes is right.
fn cluster(image: &MetadataImage, topics_max: usize, out: &mut dyn FnMut(Sample<'_>)) {
    let mut native = |metric: &'static NativeMetric, labels: &[&str], value: usize| {
        let value = value as f64;
        out(Sample::Native {
            metric,
            labels,
            value,
        });
    };
    let active = image.brokers.values().filter(|broker| !broker.fenced);
    native(&native::BROKERS, &[], active.count());
    for (name, id) in image.topic_ids.iter().take(topics_max) {
        if let Some(topic) = image.topics.get(id) {
            native(
                &native::TOPIC_PARTITIONS,
                &[name.as_str()],
                topic.partitions.len(),
            );
        }
    }
}

fn raft(node: NodeId, quorum: &QuorumDescription, state: &str, out: &mut dyn FnMut(Sample<'_>)) {
    let mut attribute = |attribute: &'static str, value: Value<'_>| {
        let (bean, keys) = (&mbeans::RAFT, &[][..]);
        out(Sample::Attribute {
            bean,
            keys,
            attribute,
            value,
        });
    };
    let leader = quorum.leader.map_or(-1, |leader| i64::from(leader.0));
    attribute("current-epoch", Value::from(quorum.term));
    attribute("current-leader", Value::Long(leader));
    attribute("current-state", Value::Text(state));
    attribute("high-watermark", Value::from(quorum.high_watermark.0));
    let own = quorum.voters.iter().find(|voter| voter.node_id == node);
    if let Some(end) = own.and_then(|voter| voter.log_end_offset) {
        attribute("log-end-offset", Value::from(end.0));
    }
    attribute("number-of-observers", Value::from(quorum.observers.len()));
    attribute("number-of-voters", Value::from(quorum.voters.len()));
}

#[cfg(test)]
mod tests {
    use dohle_model::image::TopicImage;
    use dohle_model::partition::PartitionRegistration;
    use dohle_model::{DirectoryId, PartitionIndex, TopicId, TopicName, Uuid};

    use super::*;

    /// A topic whose partitions have these leaders; 1 is preferred.
    fn with_topic(image: &mut MetadataImage, name: &str, id: u8, leaders: &[Option<i32>]) {
        let (name, id) = (TopicName::new(name).unwrap(), TopicId(Uuid([id; 16])));
        let registration = |leader: &Option<i32>| {
            let replicas = vec![NodeId(1), NodeId(2)];
            let directories = vec![DirectoryId::UNASSIGNED; 2];
            let all = PartitionRegistration::new(replicas.clone(), directories, replicas);
            let leader = leader.map(NodeId);
            Arc::new(PartitionRegistration { leader, ..all })
        };
        let partitions = leaders.iter().map(registration).enumerate();
        let partitions = partitions
            .map(|(index, it)| (PartitionIndex(index as i32), it))
            .collect();
        image.topic_ids.insert(name.clone(), id);
        image.topics.insert(
            id,
            TopicImage {
                name,
                id,
                partitions,
            },
        );
    }

    fn collected(collect: impl Fn(&mut dyn FnMut(Sample<'_>))) -> Vec<String> {
        let mut lines = Vec::new();
        collect(&mut |sample| {
            lines.push(match sample {
                Sample::Attribute {
                    bean,
                    attribute,
                    value,
                    ..
                } => {
                    let name = bean.name.rsplit('=').next().unwrap();
                    format!("{name} {attribute} {value:?}")
                }
                Sample::Native {
                    metric,
                    labels,
                    value,
                } => {
                    format!("{} {labels:?} {value}", metric.name)
                }
                Sample::Pushed { name, .. } => format!("a client pushed {name}"),
            });
        });
        lines
    }

    #[test]
    fn partitions_are_counted_by_their_leaders() {
        let mut image = MetadataImage::default();
        with_topic(&mut image, "a", 1, &[Some(1), Some(2), None]);
        with_topic(&mut image, "b", 2, &[Some(1)]);
        let lines = collected(|out| metadata(&image, true, out));
        assert_eq!(
            lines,
            [
                "ActiveBrokerCount Value Long(0)",
                "ActiveControllerCount Value Long(1)",
                "FencedBrokerCount Value Long(0)",
                "GlobalPartitionCount Value Long(4)",
                "GlobalTopicCount Value Long(2)",
                "OfflinePartitionsCount Value Long(1)",
                "PreferredReplicaImbalanceCount Value Long(2)",
            ]
        );
    }

    #[test]
    fn no_more_topics_than_allowed_have_series() {
        let mut image = MetadataImage::default();
        with_topic(&mut image, "b", 1, &[Some(1)]);
        with_topic(&mut image, "a", 2, &[Some(1), Some(2)]);
        let lines = collected(|out| cluster(&image, 1, out));
        assert_eq!(
            lines,
            ["kafka_brokers [] 0", "kafka_topic_partitions [\"a\"] 2"]
        );
    }
}
