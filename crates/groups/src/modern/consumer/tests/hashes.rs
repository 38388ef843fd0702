//! Tests that the hash of topics equals Kafka's.

use std::sync::Arc;

use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::record::BrokerRegistration;
use dohle_model::{BrokerEpoch, IncarnationId, NodeId, PartitionIndex, TopicId, TopicName};

use super::harness::registration;
use crate::modern::topics::Topics;

fn image() -> MetadataImage {
    let mut image = MetadataImage::default();
    for (id, rack) in [(1, None), (2, Some("rack-ä")), (3, Some("r2"))] {
        let broker = BrokerRegistration {
            id: NodeId(id),
            incarnation: IncarnationId::default(),
            epoch: BrokerEpoch(1),
            endpoints: Vec::new(),
            rack: rack.map(str::to_owned),
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
            cordoned_log_dirs: Vec::new(),
            features: Vec::new(),
        };
        image.brokers.insert(NodeId(id), Arc::new(broker));
    }
    let topics: [(&str, i32, &[i32]); 3] = [
        ("foo", 2, &[3, 2, 1]),
        ("bar", 1, &[1]),
        ("empty.topic", 0, &[]),
    ];
    for (number, (name, partitions, replicas)) in (0_u8..).zip(topics) {
        let id = TopicId::from_bytes([
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            8,
            0x11,
            0x12,
            0x13,
            0x14,
            0x15,
            0x16,
            0x17,
            0x18 + number,
        ]);
        let name = TopicName::new(name).expect("a name");
        let registration = Arc::new(registration(replicas));
        let partitions = (0..partitions).map(|p| (PartitionIndex(p), registration.clone()));
        let topic = TopicImage {
            name: name.clone(),
            id,
            partitions: partitions.collect(),
        };
        image.topic_ids.insert(name, id);
        image.topics.insert(id, topic);
    }
    image
}

#[test]
fn a_group_has_the_hash_that_kafka_gives_it() {
    // The result of `Utils.computeGroupHash` of Apache Kafka 4.3.1 for these topics.
    let image = image();
    let mut topics = Topics::default();
    let mut hash = |names: &[&str]| topics.hash(&image, names.iter().copied());
    assert_eq!(
        hash(&["foo", "bar", "empty.topic", "missing"]),
        -2425181237975003731
    );
    assert_eq!(hash(&["foo"]), -3121438356744888406);
    assert_eq!(hash(&[]), 0);
    assert_eq!(hash(&["missing"]), 0);
}
