//! What each API asks the authorizer, and how it answers a client that is not allowed.
//!
//! The cases (`cases.rs`) hold requests of every API in the table, with the error codes that Apache
//! Kafka 4.3 answers when everything, or one operation, is denied. An API without a case fails.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_auth::{Authorizer, Principal};
use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::transactions::TRANSACTION_TOPIC;
use dohle_model::acl::{Operation, OperationSet, ResourceType};
use dohle_model::delegation_token::DelegationToken;
use dohle_model::features::GROUP_VERSION;
use dohle_model::record::{MetadataRecord, SecurityProtocol};
use dohle_model::{ErrorCode, Timestamp, TopicId};
use dohle_network::connection::{Client, Service as _};
use dohle_protocol::ApiKey;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::coordinator::Nothing;
use super::harness::{Broker, client_of, frame, peer};
use crate::KafkaService;
use crate::pipeline::Unlimited;
use crate::table::TABLE;

mod cases;
mod stories;

use cases::cases;

const DEADLINE: Duration = Duration::from_secs(20);

const SWITCHED_OFF: &str = "shows and changes nothing while the feature is switched off";

/// APIs that ask nothing, and why.
const FREE: [(ApiKey, &str); 17] = [
    (
        ApiKey::ApiVersions,
        "answered before the client is known, with what the node is and not what it has",
    ),
    (ApiKey::SaslHandshake, "clients use it to become known"),
    (ApiKey::SaslAuthenticate, "clients use it to become known"),
    (
        ApiKey::RenewDelegationToken,
        "the controller asks whether the client is the token's owner or one of its renewers",
    ),
    (
        ApiKey::ExpireDelegationToken,
        "the controller asks whether the client is the token's owner or one of its renewers",
    ),
    (
        ApiKey::GetTelemetrySubscriptions,
        "about the metrics of the client itself, as in Kafka",
    ),
    (
        ApiKey::PushTelemetry,
        "about the metrics of the client itself, as in Kafka",
    ),
    (ApiKey::ShareGroupHeartbeat, SWITCHED_OFF),
    (ApiKey::ShareGroupDescribe, SWITCHED_OFF),
    (ApiKey::ShareFetch, SWITCHED_OFF),
    (ApiKey::ShareAcknowledge, SWITCHED_OFF),
    (ApiKey::DescribeShareGroupOffsets, SWITCHED_OFF),
    (ApiKey::AlterShareGroupOffsets, SWITCHED_OFF),
    (ApiKey::DeleteShareGroupOffsets, SWITCHED_OFF),
    (ApiKey::StreamsGroupHeartbeat, SWITCHED_OFF),
    (ApiKey::StreamsGroupDescribe, SWITCHED_OFF),
    (ApiKey::StreamsGroupTopologyDescriptionUpdate, SWITCHED_OFF),
];

/// Error codes of denials.
const DENIALS: [i16; 5] = [
    ErrorCode::TopicAuthorizationFailed as i16,
    ErrorCode::GroupAuthorizationFailed as i16,
    ErrorCode::ClusterAuthorizationFailed as i16,
    ErrorCode::TransactionalIdAuthorizationFailed as i16,
    ErrorCode::DelegationTokenAuthorizationFailed as i16,
];

type Asked = (ResourceType, Operation);

/// A request, and the answers to it.
struct Case {
    key: ApiKey,
    version: i16,
    body: Bytes,
    /// Returns the error codes in a response, in order. Something that is shown only to those who
    /// are allowed counts as a code too.
    codes: Box<dyn Fn(Bytes) -> Vec<i16>>,
    /// The codes when everything is denied.
    denied: Vec<i16>,
    /// The codes when these operations are denied and all others are allowed.
    partly: Vec<(Vec<Asked>, Vec<i16>)>,
    /// The user that the certificate of the client names; `None` for an anonymous client.
    user: Option<&'static str>,
    /// Whether an allowed request waits for the controller, which the test does not have.
    forwarded: bool,
}

impl Case {
    fn denying(mut self, denied: &[Asked], codes: &[i16]) -> Self {
        self.partly.push((denied.to_vec(), codes.to_vec()));
        self
    }

    fn by(mut self, user: &'static str) -> Self {
        self.user = Some(user);
        self
    }

    /// Returns the client, as a listener describes it.
    fn client(&self) -> Client {
        let client = peer(std::net::Ipv4Addr::LOCALHOST);
        match self.user {
            None => client,
            Some(user) => Client {
                security_protocol: SecurityProtocol::Ssl,
                certificate_principal: Some(Principal::user(user)),
                ..client
            },
        }
    }

    fn forwarded(mut self) -> Self {
        self.forwarded = true;
        self
    }

    fn name(&self) -> String {
        format!("{:?} version {}", self.key, self.version)
    }
}

/// Denies a set of operations, and records what it is asked.
#[derive(Debug)]
struct Recorder {
    denied: Denied,
    asked: Mutex<BTreeSet<Asked>>,
}

/// The operations that are denied.
#[derive(Debug, Clone)]
enum Denied {
    All,
    Only(Vec<Asked>),
    AllBut(Asked),
}

impl Recorder {
    fn denying(denied: Denied) -> Arc<Self> {
        Arc::new(Self {
            denied,
            asked: Mutex::default(),
        })
    }

    fn allows(&self, kind: ResourceType, operation: Operation) -> bool {
        self.asked.lock().insert((kind, operation));
        match &self.denied {
            Denied::All => false,
            Denied::Only(denied) => !denied.contains(&(kind, operation)),
            Denied::AllBut(allowed) => *allowed == (kind, operation),
        }
    }
}

impl Authorizer for Recorder {
    fn is_allowed(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        (kind, name): (ResourceType, &str),
    ) -> bool {
        assert!(["ANONYMOUS", "alice"].contains(&principal.name()));
        assert!(host.is_loopback());
        assert!(kind != ResourceType::Cluster || name == "kafka-cluster");
        self.allows(kind, operation)
    }

    fn is_allowed_for_any(
        &self,
        _: &Principal,
        _: IpAddr,
        operation: Operation,
        kind: ResourceType,
    ) -> bool {
        self.allows(kind, operation)
    }

    /// The operations that a response shows are no questions about the request.
    fn allowed_operations(
        &self,
        _: &Principal,
        _: IpAddr,
        (kind, _): (ResourceType, &str),
    ) -> OperationSet {
        kind.operations()
    }
}

/// A broker with a topic `t` that has a record, a group `g` with an offset, a group `modern` with a
/// member, and an open transaction `tx`.
struct Fixture {
    broker: Broker,
    topic_id: TopicId,
    /// The id and epoch of the producer of the transaction.
    producer: (i64, i16),
}

impl Fixture {
    async fn start() -> Self {
        let properties = [
            ("unstable.api.versions.enable", "true"),
            ("transaction.two.phase.commit.enable", "true"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("delegation.token.secret.key", "secret"),
        ];
        let broker = Broker::start(&properties).await;
        let topic_id = broker.topic("t", 1).await;
        broker.topic(OFFSETS_TOPIC.name, 1).await;
        broker.topic(TRANSACTION_TOPIC.name, 1).await;
        let level = MetadataRecord::FeatureLevel {
            name: GROUP_VERSION.to_owned(),
            level: 1,
        };
        let token = MetadataRecord::DelegationToken(DelegationToken {
            id: "token".into(),
            owner: "User:bob".into(),
            requester: "User:bob".into(),
            renewers: [].into(),
            issued: Timestamp(0),
            expires: Timestamp(i64::MAX),
            expires_last: Timestamp(i64::MAX),
        });
        broker.apply(&[level, token]).await;
        let loaded = async {
            let loading = ErrorCode::CoordinatorLoadInProgress;
            while broker.context.groups.run("g", &Nothing).await == Err(loading)
                || broker.context.transactions.describe("x").await
                    != Err(ErrorCode::TransactionalIdNotFound)
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, loaded).await.expect("the shards load");
        let mut fixture = Self {
            broker,
            topic_id,
            producer: (-1, -1),
        };
        fixture.producer = cases::set_up(&mut fixture.broker.client()).await;
        fixture
    }

    fn service(&self, authorizer: Arc<Recorder>) -> Arc<KafkaService> {
        let context = Arc::clone(&self.broker.context);
        KafkaService::with(
            TABLE,
            context,
            authorizer,
            Arc::new(Unlimited),
            Arc::default(),
        )
    }

    /// Sends the request of a case to a broker with this authorizer. Returns the error codes, or
    /// `None` when the request waits for the controller.
    async fn send(&self, case: &Case, authorizer: &Arc<Recorder>) -> Option<Vec<i16>> {
        let service = self.service(Arc::clone(authorizer));
        let client = case.client();
        if case.forwarded && self.waits((case.key, case.version), &case.body, &service, &client) {
            return None;
        }
        let memory_pool = Arc::clone(&self.broker.memory_pool);
        let mut client = client_of(&service, memory_pool, client);
        let exchange = client.exchange(case.key, case.version, &case.body);
        let response = timeout(DEADLINE, exchange).await;
        let response = response.unwrap_or_else(|_| panic!("{} has no answer", case.name()));
        Some((case.codes)(response))
    }

    /// Returns whether the first poll of a request ends without its response.
    fn waits(
        &self,
        (key, version): (ApiKey, i16),
        body: &[u8],
        service: &KafkaService,
        client: &Client,
    ) -> bool {
        let mut session = service.connect(client);
        let request = frame(key, version, 1, body).slice(4..);
        let permit = self.broker.memory_pool.share().take(1).expect("room");
        let pending = session.call(request, permit).expect("a valid request");
        pending.answer.now_or_never().is_none()
    }

    /// Returns the state that the requests of the cases change.
    async fn state(&self) -> String {
        let client = &mut self.broker.client();
        let partition = self.broker.partition(self.topic_id, 0);
        let positions = partition.positions();
        let metadata = self.broker.context.image().offset;
        format!("{metadata:?} {positions:?} {}", cases::state(client).await)
    }
}

#[test]
fn every_api_has_a_case() {
    let keys: BTreeSet<i16> = cases(TopicId::ZERO, (0, 0))
        .iter()
        .map(|case| case.key as i16)
        .collect();
    let missing: Vec<ApiKey> = TABLE
        .iter()
        .map(|api| api.key)
        .filter(|key| !keys.contains(&(*key as i16)))
        .collect();
    assert!(
        missing.is_empty(),
        "{missing:?}: add a request and Kafka's answer to a denied client to \
         crates/api/src/tests/permissions/cases.rs"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_permissions_is_answered_as_by_kafka_and_changes_nothing() {
    let fixture = Fixture::start().await;
    let before = fixture.state().await;
    let mut wrong = Vec::new();
    for case in cases(fixture.topic_id, fixture.producer) {
        let recorder = Recorder::denying(Denied::All);
        let (name, codes) = (case.name(), fixture.send(&case, &recorder).await);
        if codes.as_ref() != Some(&case.denied) {
            wrong.push(format!("{name}: {codes:?} instead of {:?}", case.denied));
        }
        if recorder.asked.lock().is_empty() != is_free(case.key) {
            wrong.push(format!("{name}: answers without asking the authorizer"));
        }
        if fixture.state().await != before {
            wrong.push(format!("{name}: has an effect"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn is_free(key: ApiKey) -> bool {
    FREE.iter().any(|(free, _)| *free == key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_operation_that_a_request_needs_is_refused_alone() {
    let fixture = Fixture::start().await;
    let mut wrong = Vec::new();
    for case in cases(fixture.topic_id, fixture.producer) {
        for (denied, expected) in &case.partly {
            let before = fixture.state().await;
            let recorder = Recorder::denying(Denied::Only(denied.clone()));
            let codes = fixture.send(&case, &recorder).await;
            let name = format!("{} without {denied:?}", case.name());
            if codes.as_ref() != Some(expected) {
                wrong.push(format!("{name}: {codes:?} instead of {expected:?}"));
            }
            let is_denied = expected.iter().all(|code| DENIALS.contains(code));
            if is_denied && fixture.state().await != before {
                wrong.push(format!("{name}: has an effect"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_all_permissions_is_not_refused() {
    let fixture = Fixture::start().await;
    let mut wrong = Vec::new();
    for case in cases(fixture.topic_id, fixture.producer) {
        let recorder = Recorder::denying(Denied::Only(Vec::new()));
        let (name, codes) = (case.name(), fixture.send(&case, &recorder).await);
        match codes {
            None => {}
            Some(_) if case.forwarded => wrong.push(format!("{name}: is not forwarded")),
            Some(codes) => {
                let is_denied = codes.iter().any(|code| DENIALS.contains(code));
                let is_same = codes == case.denied;
                if is_denied || is_same != is_free(case.key) {
                    wrong.push(format!("{name}: {codes:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The operations in an API's row are those that its handler asks for, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_lists_what_is_asked() {
    let mut wrong = Vec::new();
    for api in TABLE {
        // Requests that are allowed have effects on what later ones ask for.
        let fixture = Fixture::start().await;
        let cases = cases(fixture.topic_id, fixture.producer);
        let listed: BTreeSet<Asked> = api.access.iter().copied().collect();
        assert_eq!(listed.len(), api.access.len(), "{:?} lists twice", api.key);
        let mut patterns = vec![Denied::All, Denied::Only(Vec::new())];
        for one in api.access {
            patterns.push(Denied::Only(vec![*one]));
            patterns.push(Denied::AllBut(*one));
        }
        let mut asked = BTreeSet::new();
        for case in cases.iter().filter(|case| case.key == api.key) {
            for denied in &patterns {
                let recorder = Recorder::denying(denied.clone());
                fixture.send(case, &recorder).await;
                asked.append(&mut recorder.asked.lock());
            }
        }
        if asked != listed {
            wrong.push(format!("{:?} asks {asked:?} and lists {listed:?}", api.key));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
