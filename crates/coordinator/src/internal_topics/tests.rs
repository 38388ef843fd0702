//! Tests of the creation of internal topics, and of the controller's refusals.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use dohle_broker::metadata::ControllerEndpoint;
use dohle_broker::testing::{DIRS, NODE, Replicas, capture};
use dohle_protocol::Forwarded;
use dohle_protocol::forward::encode_body;
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponseData,
};
use dohle_rpc::v1;
use dohle_rpc::v1::controller_server::{Controller, ControllerServer};
use dohle_rpc::v1::forward_response::Result as Forwarding;
use tokio::net::TcpListener;
use tokio_stream::Empty;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

static STATE: InternalTopic = InternalTopic {
    name: "__state",
    replication_factor_property: "state.topic.replication.factor",
    settings: |_| TopicSettings {
        partitions: 1,
        replication_factor: 1,
        min_insync_replicas: None,
        configs: Vec::new(),
    },
};

/// A controller that answers CreateTopics with one error after the other, and then with success.
#[derive(Clone, Default)]
struct Refusing(Arc<StdMutex<VecDeque<ApiError>>>);

type Answer<T> = Result<Response<T>, Status>;

/// The answer to calls that these tests do not make.
fn no_answer<T>() -> Answer<T> {
    Err(Status::unimplemented("not part of this test"))
}

#[tonic::async_trait]
impl Controller for Refusing {
    type SessionStream = Empty<Result<v1::SessionResponse, Status>>;
    type WatchMetadataStream = Empty<Result<v1::MetadataEvent, Status>>;

    async fn session(
        &self,
        _: Request<Streaming<v1::SessionRequest>>,
    ) -> Answer<Self::SessionStream> {
        no_answer()
    }

    async fn watch_metadata(
        &self,
        _: Request<v1::WatchMetadataRequest>,
    ) -> Answer<Self::WatchMetadataStream> {
        no_answer()
    }

    async fn forward(&self, _: Request<v1::ForwardRequest>) -> Answer<v1::ForwardResponse> {
        let refusal = self.0.lock().unwrap().pop_front();
        let mut result = CreatableTopicResult {
            name: text(STATE.name),
            ..CreatableTopicResult::default()
        };
        if let Some(ApiError { code, message }) = refusal {
            result.error_code = code.code();
            result.error_message = Some(text(&message));
        }
        let response = CreateTopicsResponseData {
            topics: vec![result],
            ..CreateTopicsResponseData::default()
        };
        let version = *CreateTopicsRequestData::VERSIONS.end();
        let body = encode_body(&response, version).unwrap();
        let answer = v1::ForwardedResponse { offset: 0, body };
        Ok(Response::new(v1::ForwardResponse {
            result: Some(Forwarding::Response(answer)),
        }))
    }

    async fn alter_partition(
        &self,
        _: Request<v1::AlterPartitionRequest>,
    ) -> Answer<v1::AlterPartitionResponse> {
        no_answer()
    }

    async fn assign_replicas_to_dirs(
        &self,
        _: Request<v1::AssignReplicasToDirsRequest>,
    ) -> Answer<v1::AssignReplicasToDirsResponse> {
        no_answer()
    }

    async fn allocate_producer_ids(
        &self,
        _: Request<v1::AllocateProducerIdsRequest>,
    ) -> Answer<v1::AllocateProducerIdsResponse> {
        no_answer()
    }
}

#[tokio::test]
async fn refusals_are_returned_and_logged_once_until_the_topic_can_be_created() {
    let (lines, _guard) = capture();
    let no_space = |free: u64| {
        let message =
            format!("the metadata log has no space for new topics: {free} bytes are free");
        ErrorCode::KafkaStorageError.because(message)
    };
    let other = ErrorCode::InvalidReplicationFactor.because("no broker is registered");
    let controller = Refusing::default();
    let refusals = [no_space(3), no_space(2), other.clone(), no_space(1)];
    controller.0.lock().unwrap().extend(refusals.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = ControllerEndpoint {
        id: Some(NODE),
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let server = Server::builder().add_service(ControllerServer::new(controller));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let replicas = Replicas::open(&[], &DIRS[..1]);
    replicas.register().await;
    let mut topics = InternalTopics::new(
        NODE,
        Arc::clone(&replicas.properties),
        Arc::clone(&replicas.metadata),
        Arc::new(ControllerClient::new(vec![endpoint]).unwrap()),
    );
    topics.ask_again = Duration::ZERO;
    let ensure = || topics.ensure(&STATE, Instant::now() + DEADLINE);
    for refusal in &refusals {
        assert_eq!(ensure().await.map(drop), Err(refusal.clone()));
    }
    let (created, _) = tokio::join!(ensure(), replicas.topic(STATE.name, 1));
    assert!(created.unwrap().topic(STATE.name).is_some());

    let lines = lines.with(&["internal topic"]);
    let expected = [
        "3 bytes are free",
        "no broker",
        "1 bytes are free",
        "created",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, text) in lines.iter().zip(expected) {
        assert!(line.contains(text) && line.contains("__state"), "{line}");
    }
}

#[test]
fn a_topic_is_requested_with_its_own_partitions_and_configuration() {
    let settings = TopicSettings {
        partitions: 7,
        replication_factor: 3,
        min_insync_replicas: Some(3),
        configs: vec![("cleanup.policy", "delete".to_owned())],
    };
    let topic = creatable("__state", settings, 2);
    assert_eq!((topic.name.as_str(), topic.num_partitions), ("__state", 7));
    assert_eq!(topic.replication_factor, 2);
    let configs = topic.configs.iter();
    let configs: Vec<_> = configs
        .map(|config| {
            (
                config.name.as_str(),
                config.value.as_ref().map(|value| value.as_str()),
            )
        })
        .collect();
    let expected = [
        ("cleanup.policy", Some("delete")),
        ("min.insync.replicas", Some("2")),
    ];
    assert_eq!(configs, expected);
}
