//! One broker in this process: partitions on disk, metadata that the test commits, and a client
//! that talks to it over a stream in memory. There is no controller.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dohle_auth::Authorizer;
use dohle_model::record::{MetadataRecord, SecurityProtocol};
use dohle_model::{ApiError, DirectoryId, IncarnationId, NodeId, ProducerId, TopicId};
use dohle_protocol::messages::RequestHeaderData;
use dohle_protocol::messages::write_txn_markers_request::WriteTxnMarkersRequestData;
use dohle_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponseData,
};
use dohle_protocol::{ApiKey, KafkaString};
use futures::future::{BoxFuture, ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::loggers::TestLoggers;
use crate::context::{Context, Coordinators};
use crate::{ClientQuotas, KafkaService};
use dohle_auth::quotas::QuotaWindows;
use dohle_broker::metadata::{ControllerClient, ControllerEndpoint};
use dohle_broker::partition::Partition;
use dohle_broker::replication::BrokerClient;
pub(crate) use dohle_broker::testing::{DIRS, NODE, OTHER, Replicas, batch, fence_other, follow};
use dohle_coordinator::transactions::{self, MarkerWriter, TransactionServices};
use dohle_coordinator::{ProducerIdSource, groups};
use dohle_network::connection::{self, Client, ConnectionLimits, RequestMemoryPool, Service as _};

/// Producer ids without a controller: 1000 and up.
#[derive(Debug, Default)]
struct TestIds(AtomicI64);

impl ProducerIdSource for TestIds {
    fn next(&self, _: Instant) -> BoxFuture<'_, Result<ProducerId, ApiError>> {
        let id = 1000 + self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(Ok(ProducerId(id))))
    }
}

/// A writer of markers that completes each of them at once.
#[derive(Debug)]
struct MarkersAreWritten;

impl MarkerWriter for MarkersAreWritten {
    fn write_txn_markers(
        &self,
        request: WriteTxnMarkersRequestData,
    ) -> BoxFuture<'static, WriteTxnMarkersResponseData> {
        let partition = |index: &i32| WritableTxnMarkerPartitionResult {
            partition_index: *index,
            ..WritableTxnMarkerPartitionResult::default()
        };
        let markers = request
            .markers
            .iter()
            .map(|marker| WritableTxnMarkerResult {
                producer_id: marker.producer_id,
                topics: marker
                    .topics
                    .iter()
                    .map(|topic| WritableTxnMarkerTopicResult {
                        name: topic.name.clone(),
                        partitions: topic.partition_indexes.iter().map(partition).collect(),
                        ..WritableTxnMarkerTopicResult::default()
                    })
                    .collect(),
                ..WritableTxnMarkerResult::default()
            });
        let markers = markers.collect();
        Box::pin(ready(WriteTxnMarkersResponseData {
            markers,
            ..WriteTxnMarkersResponseData::default()
        }))
    }
}

/// A broker without a network.
pub(crate) struct Broker {
    pub context: Arc<Context>,
    service: Arc<KafkaService>,
    /// The memory of requests and responses.
    pub memory_pool: Arc<RequestMemoryPool>,
    pub replicas: Replicas,
}

impl Broker {
    /// Starts broker 1 of a cluster of brokers 1 and 2, without topics.
    pub async fn start(properties: &[(&str, &str)]) -> Self {
        Self::start_with(properties, &DIRS[..1]).await
    }

    /// Starts the broker with these log directories.
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
        let producer_ids: Arc<dyn ProducerIdSource> = Arc::new(TestIds::default());
        let brokers = BrokerClient::new(
            NODE,
            "cluster".into(),
            IncarnationId::from_bytes([1; 16]),
            "PLAINTEXT".into(),
            Arc::clone(&metadata),
        );
        let transactions = transactions::start(
            NODE,
            Arc::clone(&properties),
            Arc::clone(&metadata),
            Arc::clone(&partitions),
            TransactionServices {
                producer_ids: Arc::clone(&producer_ids),
                local_markers: Arc::new(MarkersAreWritten),
                brokers: Arc::new(brokers),
            },
        );
        let context = Context::new(
            NODE,
            "cluster".into(),
            properties,
            metadata,
            controller,
            partitions,
            Coordinators {
                groups,
                transactions,
                producer_ids,
            },
        );
        context.set_loggers(Arc::new(TestLoggers::default()));
        let quotas = ClientQuotas::new(QuotaWindows::default());
        let service = KafkaService::new(Arc::clone(&context), Arc::clone(&quotas));
        let groups = Arc::clone(&context.groups);
        let transactions = context.transactions.coordinator();
        replicas.observe(move |change| {
            groups.on_metadata(change);
            Arc::clone(&transactions).on_metadata(change);
            quotas.on_metadata(&change.after, &change.delta);
        });
        replicas.register().await;
        Self {
            context,
            service,
            memory_pool: RequestMemoryPool::new(1 << 30),
            replicas,
        }
    }

    /// Serves new connections as far as `authorizer` allows.
    pub fn authorize(&mut self, authorizer: Arc<dyn Authorizer>) {
        let quotas = ClientQuotas::new(QuotaWindows::default());
        let context = Arc::clone(&self.context);
        self.service = KafkaService::authorized(context, authorizer, Arc::default(), quotas);
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

    /// Returns a client on a new connection.
    pub fn client(&self) -> TestClient {
        self.client_at(Ipv4Addr::LOCALHOST)
    }

    /// Returns a client with this address.
    pub fn client_at(&self, address: Ipv4Addr) -> TestClient {
        client_at(&self.service, Arc::clone(&self.memory_pool), address)
    }
}

/// Returns a client with this address, as a listener describes it to its service.
pub(super) fn peer(address: Ipv4Addr) -> Client {
    Client {
        listener: "PLAINTEXT".into(),
        security_protocol: SecurityProtocol::Plaintext,
        certificate_principal: None,
        authenticated: None,
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 9092)),
        peer: SocketAddr::from((address, 40_000)),
    }
}

/// Returns a client of a service.
pub(super) fn client_at(
    service: &KafkaService,
    memory_pool: Arc<RequestMemoryPool>,
    address: Ipv4Addr,
) -> TestClient {
    client_of(service, memory_pool, peer(address))
}

/// Returns a client of a service, as a listener describes it.
pub(super) fn client_of(
    service: &KafkaService,
    memory_pool: Arc<RequestMemoryPool>,
    peer: Client,
) -> TestClient {
    let (client, server) = tokio::io::duplex(1 << 20);
    let limits = ConnectionLimits {
        request_bytes_max: connection::RequestLimit::new(1 << 20),
        idle_max: Duration::from_mins(10),
        stalled_max: Duration::from_secs(10),
        frame_times: connection::FrameTimes::default(),
        shutdown_grace: Duration::from_secs(1),
    };
    let session = service.connect(&peer);
    tokio::spawn(connection::run(
        server,
        peer,
        session,
        memory_pool,
        limits,
        CancellationToken::new(),
    ));
    TestClient {
        stream: client,
        correlation_id: 0,
    }
}

/// Sends requests and reads responses.
pub(crate) struct TestClient {
    pub stream: DuplexStream,
    correlation_id: i32,
}

/// Sends a request and returns its response, by their types.
macro_rules! ask {
    ($client:expr, $key:ident, $version:expr, $request:expr, $response:ty) => {{
        let (version, request) = ($version, &$request);
        let mut body = ::bytes::BytesMut::new();
        ::dohle_protocol::Request::write(request, &mut body, version).unwrap();
        let key = ::dohle_protocol::ApiKey::$key;
        let mut answer = $client.exchange(key, version, &body).await;
        <$response as ::dohle_protocol::Response>::read(&mut answer, version).unwrap()
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
