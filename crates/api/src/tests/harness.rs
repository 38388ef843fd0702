//! One broker in this process: partitions on disk, metadata that the test commits, and a client
//! that talks to it over a stream in memory. There is no controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dohle_model::record::MetadataRecord;
use dohle_model::{DirectoryId, NodeId, TopicId};
use dohle_protocol::messages::RequestHeaderData;
use dohle_protocol::{ApiKey, KafkaString};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::KafkaService;
use crate::context::Context;
use dohle_broker::metadata::{ControllerClient, ControllerEndpoint};
use dohle_broker::partition::Partition;
pub(crate) use dohle_broker::testing::{DIRS, NODE, OTHER, Replicas, batch, fence_other, follow};
use dohle_coordinator::groups;
use dohle_network::connection::{self, Client, ConnectionLimits, RequestMemoryPool, Service as _};

/// The broker.
pub(crate) struct Broker {
    pub context: Arc<Context>,
    service: Arc<KafkaService>,
    /// The memory of requests and responses.
    pub budget: Arc<RequestMemoryPool>,
    pub replicas: Replicas,
}

impl Broker {
    /// Broker 1 of a cluster of brokers 1 and 2, without topics.
    pub async fn start(properties: &[(&str, &str)]) -> Self {
        Self::start_with(properties, &DIRS[..1]).await
    }

    /// The same with these log directories.
    pub async fn start_with(properties: &[(&str, &str)], ids: &[DirectoryId]) -> Self {
        let mut replicas = Replicas::open(properties, ids);
        let metadata = Arc::clone(&replicas.metadata);
        let partitions = Arc::clone(&replicas.partitions);
        let properties = Arc::clone(&replicas.properties);
        let voter = ControllerEndpoint {
            id: Some(NODE),
            host: "127.0.0.1".into(),
            port: 1,
        };
        let controller = Arc::new(ControllerClient::new(vec![voter]).unwrap());
        let groups = groups::start(
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
            groups,
        );
        let coordinator = Arc::clone(&context.groups);
        replicas.observe(move |change| coordinator.on_metadata(change));
        replicas.register().await;
        let service = KafkaService::new(Arc::clone(&context));
        Self {
            context,
            service,
            budget: RequestMemoryPool::new(1 << 30),
            replicas,
        }
    }

    pub async fn apply(&self, records: &[MetadataRecord]) {
        self.replicas.apply(records).await;
    }

    pub async fn topic(&self, name: &str, partitions: i32) -> TopicId {
        self.replicas.topic(name, partitions).await
    }

    pub async fn topic_in(&self, name: &str, directory: DirectoryId) -> TopicId {
        self.replicas.topic_in(name, directory).await
    }

    pub async fn topic_led_by(
        &self,
        name: &str,
        partitions: i32,
        leader: NodeId,
        replicas: Vec<NodeId>,
    ) -> TopicId {
        self.replicas
            .topic_led_by(name, partitions, leader, replicas)
            .await
    }

    pub fn partition(&self, topic_id: TopicId, index: i32) -> Arc<Partition> {
        self.replicas.partition(topic_id, index)
    }

    /// A client on a connection of its own.
    pub fn client(&self) -> TestClient {
        let (client, server) = tokio::io::duplex(1 << 20);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        let peer = Client {
            listener: "PLAINTEXT".into(),
            local: address,
            peer: address,
        };
        let limits = ConnectionLimits {
            request_bytes_max: 1 << 20,
            idle_max: Duration::from_mins(10),
            stalled_max: Duration::from_secs(10),
            frame_times: connection::FrameTimes::default(),
            shutdown_grace: Duration::from_secs(1),
        };
        let session = self.service.connect(&peer);
        let budget = Arc::clone(&self.budget);
        tokio::spawn(connection::run(
            server,
            peer,
            session,
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
