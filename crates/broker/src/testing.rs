//! A broker's partitions in the process of a test: logs on disk, metadata from the test, and no
//! controller.

mod captured_lines;

use std::sync::Arc;

use bytes::Bytes;
use dohle_config::Properties;
use dohle_log::directory::LogDirectory;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{
    BrokerRegistration, BrokerRegistrationChange, Endpoint, MetadataRecord, SecurityProtocol,
};
use dohle_model::{
    BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, MetadataOffset, NodeId, Offset,
    PartitionIndex, Timestamp, TopicId, TopicIdPartition, TopicName, Uuid,
};
use futures::future::BoxFuture;

use crate::metadata::{MetadataCache, MetadataChange};
use crate::partition::{Partition, ReadySet, SubscriptionRequest, SubscriptionStart};
use crate::partitions::{AlterAnswer, ControllerLink, LogDir, Partitions, PartitionsConfig};
use crate::replica::IsrProposal;
use crate::replication::{ReplicatorConfig, StreamReplicator};

pub use captured_lines::{Lines, capture};

/// The broker under test.
pub const NODE: NodeId = NodeId(1);
/// The other broker of its cluster, which is not running.
pub const OTHER: NodeId = NodeId(2);
/// The directory of a broker that has one log directory, and that of a second one.
pub const DIRS: [DirectoryId; 2] = [DirectoryId(Uuid([5; 16])), DirectoryId(Uuid([6; 16]))];

/// A controller that never responds.
struct NoController;

impl ControllerLink for NoController {
    fn alter_partition<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>> {
        Box::pin(std::future::pending())
    }

    fn assign_dirs<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::pending())
    }
}

/// The partitions of broker 1 of a cluster of brokers 1 and 2.
pub struct Replicas {
    /// The properties set for the broker.
    pub properties: Arc<Properties>,
    /// The metadata that the test committed.
    pub metadata: Arc<MetadataCache>,
    /// The replicas.
    pub partitions: Arc<Partitions>,
    /// The log directories.
    pub dirs: Vec<tempfile::TempDir>,
    observers: Vec<Observer>,
}

/// Called with each change of the metadata after it was applied to the partitions, and before it is
/// published.
type Observer = Box<dyn Fn(&MetadataChange) + Send + Sync>;

impl Replicas {
    /// Starts without topics, with one log directory.
    pub async fn start(properties: &[(&str, &str)]) -> Self {
        let replicas = Self::open(properties, &DIRS[..1]);
        replicas.register().await;
        replicas
    }

    /// Opens these log directories, without topics; no broker is registered yet.
    #[must_use]
    pub fn open(properties: &[(&str, &str)], ids: &[DirectoryId]) -> Self {
        let dirs: Vec<_> = ids.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let log_dirs = ids.iter().zip(&dirs).map(|(id, dir)| LogDir {
            id: *id,
            directory: LogDirectory::open(dir.path()).unwrap(),
        });
        let metadata = Arc::new(MetadataCache::new());
        let properties: Arc<Properties> = Arc::new(
            properties
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        );
        let partitions = Partitions::open(PartitionsConfig {
            node: NODE,
            cluster_id: "cluster".into(),
            log_dirs: log_dirs.collect(),
            offline_dirs: Vec::new(),
            properties: Arc::clone(&properties),
            controller: Arc::new(NoController),
            replicator: StreamReplicator::new(ReplicatorConfig {
                node: NODE,
                cluster_id: "cluster".into(),
                incarnation: IncarnationId(Uuid([9; 16])),
                listener: "PLAINTEXT".into(),
                connector: Default::default(),
                runtimes: vec![tokio::runtime::Handle::current()],
            }),
        });
        Self {
            properties,
            metadata,
            partitions,
            dirs,
            observers: Vec::new(),
        }
    }

    /// Calls `observer` with each change of the metadata, after it was applied to the partitions
    /// and before it is published.
    pub fn observe(&mut self, observer: impl Fn(&MetadataChange) + Send + Sync + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// Registers both brokers.
    pub async fn register(&self) {
        self.apply(&[registration(NODE, None), registration(OTHER, Some("far"))])
            .await;
    }

    /// Commits records, as the metadata feed would.
    pub async fn apply(&self, records: &[MetadataRecord]) {
        let before = self.metadata.image();
        let mut after = MetadataImage::clone(&before);
        let mut delta = MetadataDelta::default();
        for record in records {
            after.replay(record, &mut delta).unwrap();
        }
        after.offset = MetadataOffset(before.offset.0 + 1);
        let after = Arc::new(after);
        let change = MetadataChange {
            local: delta.local_changes(NODE, &before, &after),
            is_first: before.offset.0 == 0,
            before,
            after: Arc::clone(&after),
            delta,
        };
        let partitions = Arc::clone(&self.partitions);
        let change = tokio::task::spawn_blocking(move || {
            partitions.apply_change(&change);
            change
        });
        let change = change.await.unwrap();
        for observer in &self.observers {
            observer(&change);
        }
        self.metadata.publish(after);
    }

    /// Creates a topic of `partitions` partitions that this broker leads, as their only replica.
    pub async fn topic(&self, name: &str, partitions: i32) -> TopicId {
        self.topic_led_by(name, partitions, NODE, vec![NODE]).await
    }

    /// Creates such a topic with one partition, in this log directory.
    pub async fn topic_in(&self, name: &str, directory: DirectoryId) -> TopicId {
        self.make(name, 1, NODE, vec![NODE], directory).await
    }

    /// Creates a topic whose partitions this broker leads or follows.
    pub async fn topic_led_by(
        &self,
        name: &str,
        partitions: i32,
        leader: NodeId,
        replicas: Vec<NodeId>,
    ) -> TopicId {
        self.make(name, partitions, leader, replicas, DIRS[0]).await
    }

    async fn make(
        &self,
        name: &str,
        partitions: i32,
        leader: NodeId,
        replicas: Vec<NodeId>,
        directory: DirectoryId,
    ) -> TopicId {
        // A topic that is created anew has another id.
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.metadata.image().offset.0.to_be_bytes());
        let start = name.len().min(8);
        bytes[8..8 + start].copy_from_slice(&name.as_bytes()[..start]);
        let id = TopicId::from_bytes(bytes);
        let name = TopicName::new(name).unwrap();
        let mut records = vec![MetadataRecord::Topic { name, id }];
        for index in 0..partitions {
            records.push(MetadataRecord::Partition {
                topic_id: id,
                partition: PartitionIndex(index),
                registration: PartitionRegistration {
                    leader: Some(leader),
                    leader_epoch: LeaderEpoch(3),
                    ..PartitionRegistration::new(
                        replicas.clone(),
                        vec![directory; replicas.len()],
                        replicas.clone(),
                    )
                },
            });
        }
        self.apply(&records).await;
        id
    }

    /// Returns a partition that this broker hosts.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn partition(&self, topic_id: TopicId, index: i32) -> Arc<Partition> {
        let id = TopicIdPartition {
            topic_id,
            partition: PartitionIndex(index),
        };
        self.partitions.get(&id).unwrap()
    }
}

fn registration(id: NodeId, rack: Option<&str>) -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        id,
        incarnation: IncarnationId(Uuid([9; 16])),
        epoch: BrokerEpoch(i64::from(id.0)),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: format!("host{id}"),
            port: 9092,
            security_protocol: SecurityProtocol::Plaintext,
        }],
        rack: rack.map(str::to_owned),
        fenced: false,
        in_controlled_shutdown: false,
        log_dirs: DIRS.to_vec(),
        cordoned_log_dirs: Vec::new(),
        features: vec![],
    })
}

/// Makes the record that fences or unfences the other broker.
pub fn fence_other(fenced: bool) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
        id: OTHER,
        epoch: BrokerEpoch(i64::from(OTHER.0)),
        fenced: Some(fenced),
        in_controlled_shutdown: None,
        log_dirs: None,
        cordoned_log_dirs: None,
    })
}

/// Subscribes the other broker, which has all records; returns the subscription's id.
///
/// # Panics
/// When the partition is not led here.
pub fn follow(partition: &Partition) -> u64 {
    let request = SubscriptionRequest {
        follower: OTHER,
        broker_epoch: BrokerEpoch(2),
        leader_epoch: LeaderEpoch(3),
        subscription: 1,
        fetch_offset: partition.positions().log_end_offset,
        last_fetched_epoch: Some(LeaderEpoch(3)),
        log_start_offset: Offset::ZERO,
        paused: false,
    };
    let started = partition.subscribe_follower(&request, &ReadySet::new(), 0);
    match started {
        Ok(SubscriptionStart::Started(handle)) => handle.id,
        other => panic!("{other:?}"),
    }
}

/// Encodes a batch of records with these values.
///
/// # Panics
/// When there are none.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(
            Some(Timestamp(1_700_000_000_000)),
            None,
            Some(value.as_bytes()),
            &[],
        );
    }
    builder.build().unwrap()
}
