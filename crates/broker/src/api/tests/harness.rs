//! One broker in this process: partitions on disk, metadata as the test says, and a client that
//! talks to it over a stream in memory. There is no controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dohle_log::directory::LogDirectory;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::{
    BrokerRegistration, BrokerRegistrationChange, Endpoint, MetadataRecord, SecurityProtocol,
};
use dohle_model::{
    BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, MetadataOffset, NodeId, PartitionEpoch,
    PartitionIndex, Timestamp, TopicId, TopicIdPartition, TopicName, Uuid,
};
use dohle_protocol::messages::RequestHeaderData;
use dohle_protocol::{ApiKey, KafkaString};
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::api::KafkaService;
use crate::connection::{self, Budget, Client, ConnectionLimits};
use crate::context::Context;
use crate::coordinator::Coordinator;
use crate::metadata::{ControllerClient, MetadataCache, MetadataChange, Voter};
use crate::partition::Partition;
use crate::partitions::{LogDir, Partitions, PartitionsConfig};
use crate::replica::IsrProposal;
use crate::replication::{AlterAnswer, ControllerLink};

pub(crate) const NODE: NodeId = NodeId(1);
pub(crate) const OTHER: NodeId = NodeId(2);
/// The log directory of a broker that has one, and a second.
pub(super) const DIRS: [DirectoryId; 2] = [DirectoryId(Uuid([5; 16])), DirectoryId(Uuid([6; 16]))];

/// Nobody to ask.
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

/// The broker.
pub(crate) struct Broker {
    pub context: Arc<Context>,
    service: Arc<KafkaService>,
    /// The memory of requests and responses.
    pub budget: Arc<Budget>,
    pub dirs: Vec<tempfile::TempDir>,
}

impl Broker {
    /// Broker 1 of a cluster of brokers 1 and 2, without topics.
    pub async fn start(properties: &[(&str, &str)]) -> Self {
        Self::start_with(properties, &DIRS[..1]).await
    }

    /// The same with these log directories.
    pub async fn start_with(properties: &[(&str, &str)], ids: &[DirectoryId]) -> Self {
        let dirs: Vec<_> = ids.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let log_dirs = ids.iter().zip(&dirs).map(|(id, dir)| LogDir {
            id: *id,
            directory: LogDirectory::open(dir.path()).unwrap(),
        });
        let metadata = Arc::new(MetadataCache::new());
        let properties: Arc<dohle_model::config::Properties> = Arc::new(
            properties
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        );
        let partitions = Partitions::open(PartitionsConfig {
            node: NODE,
            cluster_id: "cluster".into(),
            incarnation: IncarnationId(Uuid([9; 16])),
            log_dirs: log_dirs.collect(),
            offline_dirs: Vec::new(),
            properties: Arc::clone(&properties),
            inter_broker_listener: "PLAINTEXT".into(),
            controller: Arc::new(NoController),
            runtimes: vec![tokio::runtime::Handle::current()],
        });
        let voter = Voter {
            id: Some(NODE),
            host: "127.0.0.1".into(),
            port: 1,
        };
        let controller = Arc::new(ControllerClient::new(vec![voter]).unwrap());
        let coordinator = Coordinator::start(
            NODE,
            Arc::clone(&properties),
            Arc::clone(&metadata),
            Arc::clone(&partitions),
        );
        let context = Context::new(
            NODE,
            "cluster".into(),
            properties,
            metadata,
            controller,
            partitions,
            coordinator,
        );
        let service = KafkaService::new(Arc::clone(&context));
        let broker = Self {
            context,
            service,
            budget: Budget::new(1 << 30),
            dirs,
        };
        broker
            .apply(&[register(NODE, None), register(OTHER, Some("far"))])
            .await;
        broker
    }

    /// Commits records, as the metadata feed would.
    pub async fn apply(&self, records: &[MetadataRecord]) {
        let before = self.context.image();
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
        let partitions = Arc::clone(&self.context.partitions);
        let change = tokio::task::spawn_blocking(move || {
            partitions.apply_change(&change);
            change
        });
        let change = change.await.unwrap();
        self.context.coordinator.on_metadata(&change);
        self.context.metadata.publish(after);
    }

    /// A topic of `partitions` that this broker leads and has the only replica of.
    pub async fn topic(&self, name: &str, partitions: i32) -> TopicId {
        self.topic_led_by(name, partitions, NODE, vec![NODE]).await
    }

    /// The same with one partition, in this log directory.
    pub async fn topic_in(&self, name: &str, directory: DirectoryId) -> TopicId {
        self.make(name, 1, NODE, vec![NODE], directory).await
    }

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
        let mut bytes = [0; 16];
        let start = name.len().min(16);
        bytes[..start].copy_from_slice(&name.as_bytes()[..start]);
        let id = TopicId::from_bytes(bytes);
        let name = TopicName::new(name).unwrap();
        let mut records = vec![MetadataRecord::Topic { name, id }];
        for index in 0..partitions {
            records.push(MetadataRecord::Partition {
                topic_id: id,
                partition: PartitionIndex(index),
                registration: PartitionRegistration {
                    directories: vec![directory; replicas.len()],
                    isr: replicas.clone(),
                    replicas: replicas.clone(),
                    elr: vec![],
                    last_known_elr: vec![],
                    removing_replicas: vec![],
                    adding_replicas: vec![],
                    leader: Some(leader),
                    leader_recovery_state: LeaderRecoveryState::Recovered,
                    leader_epoch: LeaderEpoch(3),
                    partition_epoch: PartitionEpoch(0),
                },
            });
        }
        self.apply(&records).await;
        id
    }

    pub fn partition(&self, topic_id: TopicId, index: i32) -> Arc<Partition> {
        let id = TopicIdPartition {
            topic_id,
            partition: PartitionIndex(index),
        };
        self.context.partitions.get(&id).unwrap()
    }

    /// A client on a connection of its own.
    pub fn client(&self) -> TestClient {
        let (client, server) = tokio::io::duplex(1 << 20);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        let peer = Client {
            listener: "PLAINTEXT".into(),
            local: address,
            peer: address,
            appends: Arc::default(),
        };
        let limits = ConnectionLimits {
            request_bytes_max: 1 << 20,
            idle_max: Duration::from_mins(10),
            stalled_max: Duration::from_secs(10),
            frame_times: connection::FrameTimes::default(),
            shutdown_grace: Duration::from_secs(1),
        };
        let service = Arc::clone(&self.service) as Arc<dyn connection::Service>;
        let budget = Arc::clone(&self.budget);
        tokio::spawn(connection::run(
            server,
            peer,
            service,
            budget,
            limits,
            CancellationToken::new(),
        ));
        TestClient {
            stream: client,
            correlation_id: 0,
        }
    }
}

fn register(id: NodeId, rack: Option<&str>) -> MetadataRecord {
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
        features: vec![],
    })
}

/// The other broker is fenced, or live again.
pub(crate) fn fence_other(fenced: bool) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
        id: OTHER,
        epoch: BrokerEpoch(i64::from(OTHER.0)),
        fenced: Some(fenced),
        in_controlled_shutdown: None,
        log_dirs: None,
    })
}

/// Sends requests and reads responses.
pub(crate) struct TestClient {
    pub stream: DuplexStream,
    correlation_id: i32,
}

/// A request, its response, and how both are coded.
macro_rules! ask {
    ($client:expr, $key:ident, $version:expr, $request:expr, $response:ty) => {{
        let (version, request) = ($version, &$request);
        let mut body = ::bytes::BytesMut::new();
        request.write(&mut body, version).unwrap();
        let key = ::dohle_protocol::ApiKey::$key;
        let mut answer = $client.exchange(key, version, &body).await;
        <$response>::read(&mut answer, version).unwrap()
    }};
}
pub(super) use ask;

impl TestClient {
    /// Sends a request and returns the body of the answer.
    pub async fn exchange(&mut self, key: ApiKey, version: i16, body: &[u8]) -> Bytes {
        self.send(key, version, body).await;
        self.receive(key, version).await
    }

    pub async fn send(&mut self, key: ApiKey, version: i16, body: &[u8]) {
        self.correlation_id += 1;
        let frame = frame(key, version, self.correlation_id, body);
        self.stream.write_all(&frame).await.unwrap();
    }

    pub async fn receive(&mut self, key: ApiKey, version: i16) -> Bytes {
        let length = self.stream.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.unwrap();
        let mut frame = Bytes::from(frame);
        assert_eq!(frame.get_i32(), self.correlation_id);
        if kacrab_header(key, version) {
            assert_eq!(frame.get_u8(), 0, "no tagged fields");
        }
        frame
    }
}

fn is_flexible(key: ApiKey, version: i16) -> bool {
    let info = dohle_protocol::messages::client_api_info(key);
    version >= info.flexible_versions_start
}

fn kacrab_header(key: ApiKey, version: i16) -> bool {
    key != ApiKey::ApiVersions && is_flexible(key, version)
}

pub(super) fn frame(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Bytes {
    let header = RequestHeaderData {
        request_api_key: key as i16,
        request_api_version: version,
        correlation_id,
        client_id: Some(KafkaString::from_static("test")),
        ..RequestHeaderData::default()
    };
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header
        .write(&mut frame, if is_flexible(key, version) { 2 } else { 1 })
        .unwrap();
    frame.extend_from_slice(body);
    let length = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}

/// A batch of records with these values.
pub(crate) fn batch(values: &[&str]) -> Bytes {
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
