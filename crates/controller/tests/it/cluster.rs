//! Controllers in one process, each on a runtime of its own, and brokers that connect to them.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_controller::plan::AnyConfig;
use dohle_controller::{Controller, ControllerConfig, VoterAddress};
use dohle_model::image::MetadataImage;
use dohle_model::record::{BrokerRegistration, Endpoint, SecurityProtocol};
use dohle_model::{BrokerEpoch, DirectoryId, IncarnationId, NodeId};
use dohle_protocol::forward::{decode_body, encode_request};
use dohle_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequestData,
};
use dohle_protocol::messages::describe_quorum_request::{DescribeQuorumRequestData, TopicData};
use dohle_protocol::messages::describe_quorum_response::{Node as QuorumNode, PartitionData};
use dohle_protocol::{Forwarded, KafkaString};
use dohle_rpc::v1::controller_client::ControllerClient;
use dohle_rpc::v1::forward_response::Result as Forwarding;
use dohle_rpc::v1::session_request::Message;
use dohle_rpc::{convert, v1};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

pub const CLUSTER: &str = "test-cluster";

/// A deadline that is exceeded only on a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub type Client = ControllerClient<Channel>;

struct Node {
    controller: Controller,
    runtime: Runtime,
}

/// The voters. Killing one drops its runtime with all its tasks and sockets.
pub struct Cluster {
    nodes: BTreeMap<i32, Node>,
    addresses: BTreeMap<i32, SocketAddr>,
    change: fn(&mut ControllerConfig),
    /// The directories of the voters' logs that are not the usual ones, with their ids.
    logs: BTreeMap<i32, (PathBuf, DirectoryId)>,
    dir: TempDir,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// Drops a runtime and waits until its sockets are closed.
fn end(runtime: Runtime) {
    std::thread::spawn(move || runtime.shutdown_timeout(DEADLINE))
        .join()
        .unwrap();
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

impl Cluster {
    pub fn start(count: i32) -> Self {
        Self::start_with(count, |_| {})
    }

    pub fn start_with(count: i32, change: fn(&mut ControllerConfig)) -> Self {
        Self::start_in(1..=count, None, change, |_, _| None)
    }

    /// Starts voters on directories that `prepare` writes: it is given the id of each voter and a
    /// directory for it, and returns the directory of its log with its id.
    pub fn start_prepared(
        count: i32,
        prepare: impl Fn(i32, &Path) -> (PathBuf, DirectoryId),
    ) -> Self {
        Self::start_in(1..=count, None, |_| {}, |id, dir| Some(prepare(id, dir)))
    }

    /// Prepares the directories of all voters, and starts all but one of them.
    pub fn start_prepared_without(
        missing: i32,
        count: i32,
        prepare: impl Fn(i32, &Path) -> (PathBuf, DirectoryId),
    ) -> Self {
        let prepare = |id, dir: &Path| Some(prepare(id, dir));
        Self::start_in(1..=count, Some(missing), |_| {}, prepare)
    }

    fn start_in(
        ids: std::ops::RangeInclusive<i32>,
        missing: Option<i32>,
        change: fn(&mut ControllerConfig),
        prepare: impl Fn(i32, &Path) -> Option<(PathBuf, DirectoryId)>,
    ) -> Self {
        let listeners: Vec<_> = ids
            .clone()
            .map(|id| (id, std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        let addresses = listeners
            .iter()
            .map(|(id, listener)| (*id, listener.local_addr().unwrap()))
            .collect();
        let dir = TempDir::new().unwrap();
        let log = |id: i32| Some((id, prepare(id, &dir.path().join(id.to_string()))?));
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            addresses,
            change,
            logs: ids.filter_map(log).collect(),
            dir,
        };
        for (id, listener) in listeners {
            if Some(id) != missing {
                cluster.start_node(id, listener);
            }
        }
        cluster
    }

    fn start_node(&mut self, id: i32, listener: std::net::TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let voter = |address: &SocketAddr| VoterAddress {
            listener: "CONTROLLER".to_owned(),
            host: address.ip().to_string(),
            port: address.port(),
        };
        let voters = self
            .addresses
            .iter()
            .map(|(id, address)| (NodeId(*id), voter(address)))
            .collect();
        let usual = || (self.dir.path().join(id.to_string()), DirectoryId::ZERO);
        let (metadata_dir, directory) = self.logs.get(&id).cloned().unwrap_or_else(usual);
        let mut config = ControllerConfig::new(
            NodeId(id),
            CLUSTER.to_owned(),
            voters,
            metadata_dir,
            Arc::new(AnyConfig),
        );
        config.directory_id = directory;
        (self.change)(&mut config);
        let runtime = runtime();
        let start = async {
            let controller = Controller::start(config).await.unwrap();
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            let server = tonic::transport::Server::builder().add_routes(controller.routes());
            tokio::spawn(server.serve_with_incoming(incoming));
            controller
        };
        // The test's own thread may run inside a runtime.
        let controller =
            std::thread::scope(|scope| scope.spawn(|| runtime.block_on(start)).join()).unwrap();
        self.nodes.insert(
            id,
            Node {
                controller,
                runtime,
            },
        );
    }

    /// Starts a voter that was stopped or killed.
    pub fn restart(&mut self, id: i32) {
        let listener = std::net::TcpListener::bind(self.addresses[&id]).unwrap();
        self.start_node(id, listener);
    }

    /// Ends the process, as SIGKILL does.
    pub fn kill(&mut self, id: i32) {
        let Node {
            controller,
            runtime,
        } = self.nodes.remove(&id).unwrap();
        end(runtime);
        drop(controller);
    }

    /// Stops a voter cleanly.
    pub async fn stop(&mut self, id: i32) {
        let Node {
            controller,
            runtime,
        } = self.nodes.remove(&id).unwrap();
        let stopped = runtime.spawn(controller.shutdown());
        within("shutdown of a controller", stopped).await.unwrap();
        end(runtime);
    }

    pub fn controller(&self, id: i32) -> &Controller {
        &self.nodes[&id].controller
    }

    /// Waits for an active controller that answers, and returns its id.
    pub async fn active(&self) -> i32 {
        let active = self.nodes.iter().map(|(id, node)| {
            Box::pin(async move {
                node.controller.wait_for_active(true).await;
                *id
            })
        });
        within("an active controller", futures::future::select_all(active))
            .await
            .0
    }

    pub async fn client_of(&self, id: i32) -> Client {
        let address = self.addresses[&id];
        within("connection", async {
            ControllerClient::connect(format!("http://{address}"))
                .await
                .unwrap()
        })
        .await
    }

    /// Returns a client of the active controller.
    pub async fn client(&self) -> Client {
        self.client_of(self.active().await).await
    }

    pub async fn image_where(
        &self,
        id: i32,
        what: &str,
        until: impl FnMut(&MetadataImage) -> bool,
    ) -> Arc<MetadataImage> {
        let controller = self.controller(id);
        within(what, controller.wait_for_image(until)).await;
        controller.image()
    }
}

/// A broker's session.
pub struct Broker {
    pub epoch: i64,
    /// The limit of open files that its heartbeats report, 0 for none.
    pub open_files_max: u64,
    /// The cordoned log directories that its heartbeats report.
    pub cordoned: Option<Vec<DirectoryId>>,
    /// The address at which the broker claims to listen.
    _listener: std::net::TcpListener,
    requests: mpsc::Sender<v1::SessionRequest>,
    responses: Streaming<v1::SessionResponse>,
}

pub fn registration(id: i32, incarnation: u8, port: u16) -> BrokerRegistration {
    let mut bytes = [incarnation; 16];
    bytes[0] = u8::try_from(id).unwrap();
    let mut directory = [7; 16];
    directory[0] = u8::try_from(id).unwrap();
    BrokerRegistration {
        id: NodeId(id),
        incarnation: IncarnationId::from_bytes(bytes),
        epoch: BrokerEpoch(0),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            security_protocol: SecurityProtocol::Plaintext,
        }],
        rack: None,
        fenced: false,
        in_controlled_shutdown: false,
        log_dirs: vec![DirectoryId::from_bytes(directory)],
        cordoned_log_dirs: Vec::new(),
        features: dohle_model::features::supported(),
    }
}

impl Broker {
    /// Opens a session and registers; the first response is still to be read.
    pub async fn open(
        client: &mut Client,
        id: i32,
        incarnation: u8,
        known_epoch: i64,
    ) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(16);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let registration = registration(id, incarnation, listener.local_addr().unwrap().port());
        let register = v1::SessionRegister {
            cluster_id: CLUSTER.to_owned(),
            registration: Some(convert::registration_to_wire(&registration)),
            known_epoch,
            metadata_offset: 0,
            previous_broker_epoch: -1,
        };
        let message = Some(Message::Register(register));
        requests.send(v1::SessionRequest { message }).await.unwrap();
        let session = client.session(ReceiverStream::new(stream));
        let responses = within("session", session).await?.into_inner();
        Ok(Self {
            epoch: known_epoch,
            open_files_max: 0,
            cordoned: None,
            _listener: listener,
            requests,
            responses,
        })
    }

    /// Registers a broker, and waits until it is unfenced.
    pub async fn join(client: &mut Client, id: i32, incarnation: u8) -> Self {
        let mut broker = Self::open(client, id, incarnation, -1).await.unwrap();
        let response = broker.response().await;
        assert_eq!(
            response.outcome.clone().unwrap_or_default().code,
            0,
            "{response:?}"
        );
        broker.epoch = response.broker_epoch;
        broker.unfence().await;
        broker
    }

    pub async fn unfence(&mut self) {
        self.beat(u64::MAX, false).await;
        self.response_where("unfenced", |response| !response.is_fenced)
            .await;
    }

    pub async fn beat(&self, metadata_offset: u64, want_shutdown: bool) {
        let offline_log_dirs = Vec::new();
        let heartbeat = v1::SessionHeartbeat {
            metadata_offset,
            want_shutdown,
            offline_log_dirs,
            cordoned_log_dirs: self.cordoned.as_ref().map(|dirs| v1::DirectoryList {
                ids: dirs
                    .iter()
                    .map(|dir| convert::uuid_to_wire(dir.0))
                    .collect(),
            }),
            open_files_max: self.open_files_max,
        };
        let message = Some(Message::Heartbeat(heartbeat));
        self.requests
            .send(v1::SessionRequest { message })
            .await
            .unwrap();
    }

    pub async fn next(&mut self) -> Result<Option<v1::SessionResponse>, Status> {
        within("a response", self.responses.message()).await
    }

    pub async fn response(&mut self) -> v1::SessionResponse {
        self.next().await.unwrap().unwrap()
    }

    pub async fn response_where(
        &mut self,
        what: &str,
        is: impl Fn(&v1::SessionResponse) -> bool,
    ) -> v1::SessionResponse {
        within(what, async {
            loop {
                let response = self.response().await;
                if is(&response) {
                    return response;
                }
            }
        })
        .await
    }
}

pub fn id(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number; 16])
}

pub fn create_request(name: &str, replicas: &[&[i32]]) -> CreateTopicsRequestData {
    let assignments = (0..).zip(replicas);
    let assignments = assignments.map(|(index, replicas)| CreatableReplicaAssignment {
        partition_index: index,
        broker_ids: replicas.to_vec(),
        ..CreatableReplicaAssignment::default()
    });
    let topic = CreatableTopic {
        name: KafkaString::from(name.to_owned()),
        num_partitions: -1,
        replication_factor: -1,
        assignments: assignments.collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequestData {
        topics: vec![topic],
        ..CreateTopicsRequestData::default()
    }
}

/// Creates a topic. Returns the offset at which it exists.
pub async fn create(client: &mut Client, name: &str, number: u8, replicas: &[&[i32]]) -> u64 {
    let request = create_request(name, replicas);
    let (offset, response) = forward(client, &request, number).await.unwrap();
    let result = &response.topics[0];
    assert_eq!((result.error_code, &result.error_message), (0, &None));
    offset
}

/// Describes the quorum as a voter reports it. Returns its partition and its nodes.
pub async fn describe(client: &mut Client) -> Result<(PartitionData, Vec<QuorumNode>), Status> {
    let request = DescribeQuorumRequestData {
        topics: vec![TopicData {
            topic_name: KafkaString::from("__cluster_metadata".to_owned()),
            partitions: vec![Default::default()],
            ..TopicData::default()
        }],
        ..DescribeQuorumRequestData::default()
    };
    let (_, mut response) = forward(client, &request, 0).await?;
    Ok((
        response.topics.remove(0).partitions.remove(0),
        response.nodes,
    ))
}

/// Returns a request as a broker forwards it, in the newest version.
pub fn forward_request<R: Forwarded>(request: &R, number: u8) -> v1::ForwardRequest {
    let version = *R::VERSIONS.end();
    v1::ForwardRequest {
        api_key: i32::from(R::KEY as i16),
        api_version: i32::from(version),
        body: encode_request(request, version).unwrap(),
        request_id: id(number),
        sender: None,
        timeout_ms: 60_000,
    }
}

/// Forwards a request. Returns the response, and the offset at which it is valid.
pub async fn forward<R: Forwarded>(
    client: &mut Client,
    request: &R,
    number: u8,
) -> Result<(u64, R::Response), Status> {
    let forwarded = client.forward(forward_request(request, number));
    match within("a forwarded request", forwarded)
        .await?
        .into_inner()
        .result
    {
        Some(Forwarding::Response(answer)) => {
            let response = decode_body(answer.body, *R::VERSIONS.end()).unwrap();
            Ok((answer.offset, response))
        }
        other => panic!("{other:?} is not a response"),
    }
}

pub fn leader_id(status: &Status) -> Option<i32> {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    status
        .metadata()
        .get(dohle_rpc::LEADER_ID_TRAILER)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Returns a partition's leader and ISR.
pub fn leader_and_isr(image: &MetadataImage, topic: &str) -> (Option<i32>, Vec<i32>) {
    let topic = image.topic(topic).expect("the topic is there");
    let partition = &topic.partitions[&dohle_model::PartitionIndex(0)];
    (
        partition.leader.map(|id| id.0),
        partition.isr.iter().map(|id| id.0).collect(),
    )
}
