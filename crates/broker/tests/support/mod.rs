//! Brokers that really replicate (streams over loopback, logs in temporary directories), driven by
//! a controller that is only a metadata image.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_broker::metadata::MetadataChange;
use dohle_broker::partition::{
    Acks, AppendError, AppendOrigin, Appended, Partition, ReadyOn, ReadySet,
};
use dohle_broker::partitions::{AlterAnswer, ControllerLink, LogDir, Partitions, PartitionsConfig};
use dohle_broker::replica::IsrProposal;
use dohle_broker::replication::{
    BrokerRequestHandlers, ReplicationServer, ReplicatorConfig, StreamReplicator,
};
use dohle_log::directory::LogDirectory;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{
    BrokerRegistration, ConfigResource, Endpoint, MetadataRecord, PartitionChange, SecurityProtocol,
};
use dohle_model::{
    DirectoryId, ErrorCode, IncarnationId, NodeId, Offset, PartitionIndex, Timestamp, TopicId,
    TopicIdPartition, TopicName, Uuid,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

/// No wait of these tests takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `get` returns a value.
#[track_caller]
pub fn eventually<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}
const LISTENER: &str = "PLAINTEXT";

/// A running broker.
struct Broker {
    runtime: Runtime,
    partitions: Arc<Partitions>,
}

struct Inner {
    image: Arc<MetadataImage>,
    brokers: BTreeMap<NodeId, Broker>,
    /// Whether proposals of ISRs are answered.
    answers: bool,
}

/// The brokers and the metadata.
pub struct Cluster {
    inner: Mutex<Inner>,
    images: watch::Sender<Arc<MetadataImage>>,
    dirs: BTreeMap<NodeId, TempDir>,
    properties: BTreeMap<String, String>,
}

impl Cluster {
    /// Starts brokers 1 to `count`.
    pub fn start(count: i32, properties: &[(&str, &str)]) -> Arc<Self> {
        Self::start_in(count, properties, |_, _| {})
    }

    /// Starts brokers 1 to `count`, after calling `prepare` with the id and the directory of each.
    pub fn start_in(
        count: i32,
        properties: &[(&str, &str)],
        prepare: impl Fn(i32, &Path),
    ) -> Arc<Self> {
        let nodes = (1..=count).map(NodeId);
        let cluster = Arc::new(Self {
            inner: Mutex::new(Inner {
                image: Arc::default(),
                brokers: BTreeMap::new(),
                answers: true,
            }),
            images: watch::Sender::new(Arc::default()),
            dirs: nodes
                .clone()
                .map(|id| (id, TempDir::new().unwrap()))
                .collect(),
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        });
        for node in nodes {
            prepare(node.0, cluster.dir(node.0));
            cluster.start_broker(node.0);
        }
        cluster
    }

    /// Returns the log directory of a broker.
    pub fn dir(&self, node: i32) -> &Path {
        self.dirs[&NodeId(node)].path()
    }

    /// Starts a broker on the content of its directory.
    pub fn start_broker(self: &Arc<Self>, node: i32) {
        let node = NodeId(node);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let directory = LogDirectory::open(self.dirs[&node].path()).unwrap();
        let incarnation = IncarnationId::from_bytes(*uuid::Uuid::new_v4().as_bytes());
        let replicator = StreamReplicator::new(ReplicatorConfig {
            node,
            cluster_id: "cluster".to_owned(),
            incarnation,
            listener: LISTENER.to_owned(),
            connector: Default::default(),
            runtimes: vec![runtime.handle().clone()],
        });
        let config = PartitionsConfig {
            node,
            cluster_id: "cluster".to_owned(),
            log_dirs: vec![LogDir {
                id: DirectoryId(Uuid([node.0 as u8; 16])),
                directory,
            }],
            offline_dirs: Vec::new(),
            properties: Arc::new(self.properties.clone()),
            controller: Arc::new(Link(Arc::downgrade(self))),
            replicator: Arc::clone(&replicator) as _,
        };
        let (partitions, port) = runtime.block_on(async {
            let partitions = Partitions::open(config);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = ReplicationServer::new(
                Arc::clone(&partitions),
                &replicator,
                BrokerRequestHandlers::default(),
            );
            tokio::spawn(async move {
                loop {
                    // Fails while a test has taken all descriptors.
                    let Ok((stream, _)) = listener.accept().await else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    stream.set_nodelay(true).unwrap();
                    let server = server.clone();
                    tokio::spawn(async move {
                        server.serve_connection(stream, Default::default()).await
                    });
                }
            });
            (partitions, port)
        });
        let registration = BrokerRegistration {
            id: node,
            incarnation,
            epoch: self.image().next_broker_epoch,
            endpoints: vec![Endpoint {
                listener: LISTENER.to_owned(),
                host: "127.0.0.1".to_owned(),
                port,
                security_protocol: SecurityProtocol::Plaintext,
            }],
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: vec![DirectoryId(Uuid([node.0 as u8; 16]))],
            cordoned_log_dirs: Vec::new(),
            features: Vec::new(),
        };
        let mut inner = self.inner.lock();
        inner.brokers.insert(
            node,
            Broker {
                runtime,
                partitions,
            },
        );
        let empty = Arc::new(MetadataImage::default());
        self.change_locked(
            &mut inner,
            vec![MetadataRecord::RegisterBroker(registration)],
            Some((node, empty)),
        );
    }

    /// Stops a broker's threads at once: its files keep what it has written, and nothing is closed
    /// cleanly.
    pub fn kill(&self, node: i32) {
        let broker = self.inner.lock().brokers.remove(&NodeId(node)).unwrap();
        drop(broker.partitions);
        broker.runtime.shutdown_timeout(DEADLINE);
    }

    /// Empties the directory of a stopped broker.
    pub fn wipe(&self, node: i32) {
        let dir = self.dirs[&NodeId(node)].path();
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// Stops a broker cleanly.
    pub fn stop(&self, node: i32) {
        let broker = self.inner.lock().brokers.remove(&NodeId(node)).unwrap();
        broker
            .runtime
            .block_on(broker.partitions.shutdown(None))
            .unwrap();
        drop(broker.partitions);
        broker.runtime.shutdown_timeout(DEADLINE);
    }

    /// Returns a broker's replica of partition 0 of the topic.
    pub fn replica(&self, node: i32) -> Arc<Partition> {
        let inner = self.inner.lock();
        inner.brokers[&NodeId(node)]
            .partitions
            .get(&partition_id())
            .expect("hosts the partition")
    }

    /// Returns the path of the `.log` file of a segment of the partition.
    pub fn segment_file(&self, node: i32, base_offset: i64) -> std::path::PathBuf {
        let dir = self.dirs[&NodeId(node)].path();
        dir.join("t-0").join(format!("{base_offset:020}.log"))
    }

    /// Returns a broker's partitions.
    pub fn partitions(&self, node: i32) -> Arc<Partitions> {
        Arc::clone(&self.inner.lock().brokers[&NodeId(node)].partitions)
    }

    /// Returns the newest metadata.
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.inner.lock().image)
    }

    /// Returns the registration of partition 0 of the topic.
    pub fn registration(&self) -> PartitionRegistration {
        self.image()
            .partition(&partition_id())
            .unwrap()
            .as_ref()
            .clone()
    }

    /// Sets whether proposals of ISRs are answered from now on.
    pub fn answer_proposals(&self, answers: bool) {
        self.inner.lock().answers = answers;
    }

    /// Creates the topic with one partition; the first replica leads.
    pub fn create_topic(&self, replicas: &[i32], configs: &[(&str, &str)]) {
        let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        let directories = vec![DirectoryId::UNASSIGNED; replicas.len()];
        let registration = PartitionRegistration::new(replicas.clone(), directories, replicas);
        let TopicIdPartition {
            topic_id,
            partition,
        } = partition_id();
        let name = TopicName::new("t").unwrap();
        let mut records: Vec<MetadataRecord> = configs
            .iter()
            .map(|(key, value)| MetadataRecord::Config {
                resource: ConfigResource::Topic(name.clone()),
                key: (*key).to_owned(),
                value: Some((*value).to_owned()),
            })
            .collect();
        records.push(MetadataRecord::Topic { name, id: topic_id });
        records.push(MetadataRecord::Partition {
            topic_id,
            partition,
            registration,
        });
        self.change(records);
    }

    /// Adds a partition to the topic, whose first replica leads.
    pub fn create_partition(&self, index: i32, replicas: &[i32]) {
        let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        let directories = vec![DirectoryId::UNASSIGNED; replicas.len()];
        self.change(vec![MetadataRecord::Partition {
            topic_id: partition_id().topic_id,
            partition: PartitionIndex(index),
            registration: PartitionRegistration::new(replicas.clone(), directories, replicas),
        }]);
    }

    /// Assigns replicas to a partition of the topic; the ISR stays as it is.
    pub fn assign_replicas(&self, index: i32, replicas: &[i32]) {
        let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        self.change(vec![MetadataRecord::PartitionChange {
            topic_id: partition_id().topic_id,
            partition: PartitionIndex(index),
            change: PartitionChange {
                directories: Some(vec![DirectoryId::UNASSIGNED; replicas.len()]),
                replicas: Some(replicas),
                ..PartitionChange::default()
            },
        }]);
    }

    /// Returns a broker's replica of a partition of the topic.
    pub fn replica_at(&self, node: i32, index: i32) -> Arc<Partition> {
        let id = TopicIdPartition {
            partition: PartitionIndex(index),
            ..partition_id()
        };
        let partitions = self.partitions(node);
        partitions.get(&id).expect("hosts the partition")
    }

    /// Sets or removes a property at run time.
    pub fn set_config(&self, resource: ConfigResource, key: &str, value: Option<&str>) {
        self.change(vec![MetadataRecord::Config {
            resource,
            key: key.to_owned(),
            value: value.map(str::to_owned),
        }]);
    }

    /// Deletes the topic.
    pub fn delete_topic(&self) {
        self.change(vec![MetadataRecord::RemoveTopic {
            id: partition_id().topic_id,
        }]);
    }

    /// Elects `leader`, with this ISR.
    pub fn elect(&self, leader: i32, isr: &[i32]) {
        self.change_partition(PartitionChange {
            leader: Some(Some(NodeId(leader))),
            isr: Some(isr.iter().copied().map(NodeId).collect()),
            ..PartitionChange::default()
        });
    }

    /// Changes the partition.
    pub fn change_partition(&self, change: PartitionChange) {
        let TopicIdPartition {
            topic_id,
            partition,
        } = partition_id();
        self.change(vec![MetadataRecord::PartitionChange {
            topic_id,
            partition,
            change,
        }]);
    }

    fn change(&self, records: Vec<MetadataRecord>) {
        self.change_locked(&mut self.inner.lock(), records, None);
    }

    /// Commits records, and lets every broker follow. `fresh` is a broker that comes from another
    /// image.
    fn change_locked(
        &self,
        inner: &mut Inner,
        records: Vec<MetadataRecord>,
        fresh: Option<(NodeId, Arc<MetadataImage>)>,
    ) {
        let before = Arc::clone(&inner.image);
        let mut after = MetadataImage::clone(&before);
        let mut delta = MetadataDelta::default();
        for record in &records {
            after.replay(record, &mut delta).unwrap();
        }
        after.offset.0 += 1;
        let after = Arc::new(after);
        inner.image = Arc::clone(&after);
        for (node, broker) in &inner.brokers {
            let (before, delta, is_first) = match &fresh {
                Some((fresh, empty)) if fresh == node => (
                    Arc::clone(empty),
                    MetadataDelta::between(empty, &after),
                    true,
                ),
                _ => (Arc::clone(&before), delta.clone(), false),
            };
            let local = delta.local_changes(*node, &before, &after);
            let change = MetadataChange {
                before,
                after: Arc::clone(&after),
                delta,
                local,
                is_first,
            };
            let _entered = broker.runtime.enter();
            broker.partitions.apply_change(&change);
        }
        self.images.send_replace(after);
    }

    /// Waits until the controller's ISR is this one.
    pub fn wait_isr(&self, isr: &[i32]) {
        let mut wanted: Vec<NodeId> = isr.iter().copied().map(NodeId).collect();
        wanted.sort();
        let mut images = self.images.subscribe();
        let reached = async {
            images
                .wait_for(|image| {
                    let mut isr = image.partition(&partition_id()).unwrap().isr.clone();
                    isr.sort();
                    isr == wanted
                })
                .await
                .unwrap();
        };
        if within(DEADLINE, reached).is_none() {
            panic!(
                "ISR is {:?}, {wanted:?} is waited for",
                self.registration().isr
            );
        }
    }

    /// Waits until a replica's log end and high watermark are both `offset`.
    pub fn wait_settled(&self, node: i32, offset: i64) {
        let replica = self.replica(node);
        wait_for(&replica, |replica| {
            let positions = replica.positions();
            positions.log_end_offset.0 == offset && positions.high_watermark.0 == offset
        });
    }
}

/// Waits until `wanted` accepts the partition.
pub fn wait_for(partition: &Partition, wanted: impl Fn(&Partition) -> bool) {
    let watcher = ReadySet::new();
    let watch = partition.watch(&watcher, 0, ReadyOn::Any);
    let reached = async {
        let mut tokens = Vec::new();
        while !wanted(partition) {
            watcher.ready().await;
            watcher.take(&mut tokens);
            watch.rearm();
        }
    };
    if within(DEADLINE, reached).is_none() {
        panic!("still at {:?}", partition.positions());
    }
}

/// Runs a future on this thread; `None` when it takes longer than `limit`.
pub fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(limit, future).await.ok() })
}

/// Returns the partition that these tests use.
pub fn partition_id() -> TopicIdPartition {
    TopicIdPartition {
        topic_id: TopicId::from_bytes([9; 16]),
        partition: PartitionIndex(0),
    }
}

/// Encodes a batch with one record for each value.
pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(Some(Timestamp(1_000)), None, Some(value.as_bytes()), &[]);
    }
    builder.build().unwrap()
}

/// Appends one batch.
pub fn append(partition: &Partition, values: &[&str], acks: Acks) -> Result<Appended, AppendError> {
    partition.append(batch(values), acks, AppendOrigin::Client, Timestamp(1_000))
}

/// Appends one batch and waits until it is committed.
#[track_caller]
pub fn produce(partition: &Partition, values: &[&str]) -> Appended {
    let appended = append(partition, values, Acks::All).unwrap();
    let committed = partition.wait_committed(appended.leader_epoch, appended.end());
    within(DEADLINE, committed)
        .expect("committed in time")
        .unwrap();
    appended
}

/// Returns all batches of a replica, as bytes.
pub fn all_bytes(partition: &Partition) -> Bytes {
    use dohle_broker::partition::{FetchParams, Isolation};
    let params = FetchParams {
        fetch_offset: partition.positions().log_start_offset,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: usize::MAX / 2,
        min_one: true,
        isolation: Isolation::LogEnd,
        leader_only: false,
    };
    partition.read(&params).unwrap().records
}

struct Link(std::sync::Weak<Cluster>);

impl ControllerLink for Link {
    fn alter_partition<'a>(
        &'a self,
        proposals: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>> {
        Box::pin(async move {
            let cluster = self.0.upgrade().ok_or("no controller")?;
            let proposals = proposals.to_vec();
            tokio::task::spawn_blocking(move || cluster.alter(&proposals))
                .await
                .unwrap()
        })
    }

    fn assign_dirs<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

impl Cluster {
    fn alter(&self, proposals: &[(TopicIdPartition, IsrProposal)]) -> Result<AlterAnswer, String> {
        let mut inner = self.inner.lock();
        if !inner.answers {
            return Err("the controller does not answer".to_owned());
        }
        let mut outcomes = Vec::new();
        for (id, proposal) in proposals {
            let known = inner.image.partition(id).unwrap();
            let current = |member: &dohle_broker::replica::IsrMember| {
                let broker = inner.image.brokers.get(&member.id);
                let epoch = broker.map(|broker| broker.epoch);
                member.broker_epoch.is_none() || member.broker_epoch == epoch
            };
            let outcome = if known.leader_epoch != proposal.leader_epoch {
                Err(ErrorCode::FencedLeaderEpoch)
            } else if known.partition_epoch != proposal.partition_epoch {
                Err(ErrorCode::InvalidUpdateVersion)
            } else if !proposal.isr.iter().all(current) {
                Err(ErrorCode::IneligibleReplica)
            } else {
                Ok(PartitionChange {
                    isr: Some(proposal.isr.iter().map(|member| member.id).collect()),
                    ..PartitionChange::default()
                })
            };
            let outcome = outcome.map(|change| {
                let TopicIdPartition {
                    topic_id,
                    partition,
                } = *id;
                let record = MetadataRecord::PartitionChange {
                    topic_id,
                    partition,
                    change,
                };
                self.change_locked(&mut inner, vec![record], None);
                inner.image.partition(id).unwrap().as_ref().clone()
            });
            outcomes.push((*id, outcome));
        }
        Ok(AlterAnswer {
            outcomes,
            repeated: false,
        })
    }
}

/// Creates an offset.
pub fn offset(value: i64) -> Offset {
    Offset(value)
}
