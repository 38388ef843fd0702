//! Tests of the stages of the pipeline, one after the other, and of the table that they read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use dohle_auth::AllowAll;
use dohle_auth::quotas::{QuotaType, QuotaWindows};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::record::SecurityProtocol;
use dohle_network::connection::{ConnectionHandler as _, Frame, RequestMemoryPool};
use dohle_protocol::messages::RequestHeaderData;
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::{KafkaString, messages};
use futures::FutureExt;
use parking_lot::Mutex;

use super::*;
use crate::ClientQuotas;
use crate::table::TABLE;
use crate::tests::harness::Broker;

/// An authorizer that denies one operation, and records what it was asked.
#[derive(Debug)]
struct Deny(Operation, Mutex<Vec<(String, Operation)>>);

impl Authorizer for Deny {
    fn is_allowed(
        &self,
        principal: &Principal,
        _host: IpAddr,
        operation: Operation,
        (_, name): (ResourceType, &str),
    ) -> bool {
        self.1
            .lock()
            .push((format!("{principal} {name}"), operation));
        operation != self.0
    }

    fn is_allowed_for_any(
        &self,
        principal: &Principal,
        _host: IpAddr,
        operation: Operation,
        kind: ResourceType,
    ) -> bool {
        self.1
            .lock()
            .push((format!("{principal} any {kind:?}"), operation));
        operation != self.0
    }
}

/// Quotas of one type that every client exceeds by this time.
#[derive(Debug)]
struct Exceeded(QuotaType, Duration);

impl Quotas for Exceeded {
    fn are_set(&self, quota: QuotaType) -> bool {
        quota == self.0
    }

    fn record(&self, quota: QuotaType, _: QuotaClient<'_>, value: f64) -> Duration {
        assert!(value >= 0.0);
        match quota == self.0 {
            true => self.1,
            false => Duration::ZERO,
        }
    }

    fn record_unless_throttled(
        &self,
        quota: QuotaType,
        client: QuotaClient<'_>,
        value: f64,
    ) -> Duration {
        self.record(quota, client, value)
    }

    fn burst(&self, _: QuotaType, _: QuotaClient<'_>) -> Option<f64> {
        None
    }
}

fn no_quotas() -> Arc<ClientQuotas> {
    ClientQuotas::new(QuotaWindows::default())
}

fn session(service: &KafkaService) -> KafkaConnection {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
    KafkaConnection {
        node: Arc::clone(&service.node),
        client: Client {
            listener: "PLAINTEXT".into(),
            security_protocol: SecurityProtocol::Plaintext,
            certificate_principal: None,
            authenticated: None,
            local: address,
            peer: address,
        },
        principal: Some(Principal::anonymous()),
        sasl: None,
        connection: Arc::new(Connection::new(&service.node.meter)),
    }
}

/// Returns a request frame without its length.
fn frame(key: ApiKey, version: i16, body: &[u8]) -> Bytes {
    let header = RequestHeaderData {
        request_api_key: key as i16,
        request_api_version: version,
        correlation_id: 7,
        client_id: Some(KafkaString::from_static("test")),
        ..RequestHeaderData::default()
    };
    let flexible = version >= messages::client_api_info(key).flexible_versions_start;
    let mut frame = BytesMut::new();
    header
        .write(&mut frame, if flexible { 2 } else { 1 })
        .unwrap();
    frame.extend_from_slice(body);
    frame.freeze()
}

fn permit() -> MemoryPermit {
    RequestMemoryPool::new(1 << 20)
        .share()
        .take(1)
        .expect("room")
}

async fn answer(pending: Result<Pending, Malformed>) -> usize {
    match pending.unwrap().answer.await {
        ResponseAction::Send(Frame::One(bytes)) => bytes.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_apis_that_may_run_before_authentication_do() {
    let broker = Broker::start(&[]).await;
    let service = KafkaService::new(Arc::clone(&broker.context), no_quotas());
    let mut session = session(&service);
    session.principal = None;
    let refused = session.call(frame(ApiKey::ListGroups, 0, &[]), permit());
    let refused = refused.err().expect("refused");
    assert!(refused.reason.contains("authenticated"), "{refused}");
    let versions = session.call(frame(ApiKey::ApiVersions, 0, &[]), permit());
    assert!(answer(versions).await > 100);
    let early: Vec<_> = TABLE
        .iter()
        .filter(|api| api.before_authentication)
        .collect();
    assert_eq!(early.len(), 3);
}

#[tokio::test]
async fn a_handler_asks_for_its_sender_and_answers_a_denial() {
    let broker = Broker::start(&[]).await;
    let authorizer = Arc::new(Deny(Operation::Describe, Mutex::default()));
    let asked = Arc::clone(&authorizer);
    let context = Arc::clone(&broker.context);
    let service = KafkaService::with(
        TABLE,
        context,
        authorizer,
        Arc::new(Unlimited),
        Arc::default(),
    );
    let mut session = session(&service);
    let mut body = BytesMut::new();
    messages::describe_log_dirs_request::DescribeLogDirsRequestData::default()
        .write(&mut body, 3)
        .unwrap();
    let denied = session.call(frame(ApiKey::DescribeLogDirs, 3, &body), permit());
    let ResponseAction::Send(Frame::One(response)) = denied.unwrap().answer.await else {
        panic!("the request has a response")
    };
    // A length, a correlation id, a byte of tagged fields and a throttle time come before the code.
    let code = ErrorCode::ClusterAuthorizationFailed.code();
    assert_eq!(response[13..15], code.to_be_bytes());
    let of_cluster = (
        "User:ANONYMOUS kafka-cluster".to_owned(),
        Operation::Describe,
    );
    assert_eq!(*asked.1.lock(), [of_cluster]);
}

#[tokio::test]
async fn a_client_over_its_quota_is_answered_at_once_and_throttled() {
    let broker = Broker::start(&[]).await;
    // ApiVersions never waits, so its first poll returns the response.
    let throttle_time = |quota| {
        let quotas = Arc::new(Exceeded(quota, Duration::from_hours(1)));
        let context = Arc::clone(&broker.context);
        let service =
            KafkaService::with(TABLE, context, Arc::new(AllowAll), quotas, Arc::default());
        let mut session = session(&service);
        let pending = session.call(frame(ApiKey::ApiVersions, 1, &[]), permit());
        let Some(ResponseAction::Send(Frame::One(response))) =
            pending.unwrap().answer.now_or_never()
        else {
            panic!("no response at once");
        };
        // The last field of version 1.
        let reported = &response[response.len() - 4..];
        let reported = i32::from_be_bytes(reported.try_into().unwrap());
        let throttle_time = session.take_throttle_time();
        assert_eq!(session.take_throttle_time(), Duration::ZERO, "taken once");
        (reported, throttle_time)
    };
    let hour = (3_600_000, Duration::from_hours(1));
    assert_eq!(throttle_time(QuotaType::Request), hour);
    assert_eq!(throttle_time(QuotaType::Produce), (0, Duration::ZERO));
}

#[tokio::test]
async fn requests_are_counted_by_api_and_version() {
    let broker = Broker::start(&[]).await;
    let service = KafkaService::new(Arc::clone(&broker.context), no_quotas());
    let mut session = session(&service);
    for _ in 0..3 {
        answer(session.call(frame(ApiKey::ApiVersions, 0, &[]), permit())).await;
    }
    answer(session.call(frame(ApiKey::ListGroups, 0, &[]), permit())).await;
    answer(session.call(frame(ApiKey::ApiVersions, 2, &[]), permit())).await;
    let counts = service.node.meter.counts();
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(key, version, _)| (*key as i16, *version));
    assert_eq!(
        counts,
        [
            (ApiKey::ListGroups, 0, 1),
            (ApiKey::ApiVersions, 0, 3),
            (ApiKey::ApiVersions, 2, 1)
        ]
    );
}

#[tokio::test]
async fn the_context_of_a_request_names_the_clients_software() {
    let broker = Broker::start(&[]).await;
    let service = KafkaService::new(Arc::clone(&broker.context), no_quotas());
    let mut session = session(&service);
    let header = RequestHeader::decode(&mut frame(ApiKey::ListGroups, 0, &[])).unwrap();
    let api = TABLE
        .iter()
        .find(|api| api.key == ApiKey::ListGroups)
        .unwrap();
    assert_eq!(session.authenticate(api, &header).unwrap().software, None);
    let request = ApiVersionsRequestData {
        client_software_name: KafkaString::from_static("librdkafka"),
        client_software_version: KafkaString::from_static("2.10.0"),
        ..ApiVersionsRequestData::default()
    };
    let mut body = BytesMut::new();
    request.write(&mut body, 3).unwrap();
    answer(session.call(frame(ApiKey::ApiVersions, 3, &body), permit())).await;
    let context = session.authenticate(api, &header).unwrap();
    let software = context.software.expect("named");
    assert_eq!(
        (software.name.as_str(), software.version.as_str()),
        ("librdkafka", "2.10.0")
    );
    assert_eq!(context.principal, Principal::anonymous());
    assert_eq!(context.client_id.unwrap().as_str(), "test");
    assert_eq!(context.correlation_id, 7);
}

#[test]
fn a_row_names_operations_that_its_resources_have() {
    // Whoever may do all operations on the cluster may delete all topics, as in Kafka, although
    // this one is not an operation on the cluster otherwise.
    let deletes_all = (ResourceType::Cluster, Operation::Delete);
    for api in TABLE {
        for (kind, operation) in api.access.iter().filter(|it| **it != deletes_all) {
            let has = kind.operations().iter().any(|it| it == *operation);
            assert!(has, "{:?}: {operation:?} on a {kind:?}", api.key);
        }
    }
}
