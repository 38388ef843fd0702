//! Permissions of single resources, and what happens when they change.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dohle_auth::{Authorizer, Principal};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode as Code, Offset};
use dohle_protocol::messages as m;
use dohle_protocol::{ApiKey, text};
use parking_lot::Mutex;

use super::super::harness::{TestClient, ask, client_at, peer};
use super::cases::{member, metadata_of, offsets_of, record_for, transactional_record_for};
use super::{Denied, Fixture, Recorder};
use crate::KafkaService;
use crate::pipeline::Unlimited;
use crate::table::TABLE;

/// Denies operations on single topics.
#[derive(Debug, Default)]
struct Without(Mutex<Vec<(Operation, &'static str)>>);

impl Authorizer for Without {
    fn is_allowed(
        &self,
        _: &Principal,
        _: IpAddr,
        operation: Operation,
        (kind, name): (ResourceType, &str),
    ) -> bool {
        let denied = self.0.lock();
        let mut denied = denied.iter();
        kind != ResourceType::Topic || !denied.any(|one| *one == (operation, name))
    }

    fn is_allowed_for_any(&self, _: &Principal, _: IpAddr, _: Operation, _: ResourceType) -> bool {
        true
    }
}

fn service(fixture: &Fixture, authorizer: &Arc<Without>) -> Arc<KafkaService> {
    let context = Arc::clone(&fixture.broker.context);
    let authorizer: Arc<dyn Authorizer> = Arc::clone(authorizer) as _;
    KafkaService::with(
        TABLE,
        context,
        authorizer,
        Arc::new(Unlimited),
        Arc::default(),
    )
}

fn client(fixture: &Fixture, authorizer: &Arc<Without>) -> TestClient {
    let service = service(fixture, authorizer);
    let memory_pool = Arc::clone(&fixture.broker.memory_pool);
    client_at(&service, memory_pool, Ipv4Addr::LOCALHOST)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_session_ends_to_return_records_when_the_permission_is_withdrawn() {
    let fixture = Fixture::start().await;
    let authorizer = Arc::new(Without::default());
    let mut client = client(&fixture, &authorizer);
    let mut fetch = m::FetchRequestData {
        replica_id: -1,
        max_bytes: 1 << 20,
        session_epoch: 0,
        topics: vec![m::fetch_request::FetchTopic {
            topic: text("t"),
            partitions: vec![m::fetch_request::FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let first = ask!(client, Fetch, 12, fetch, m::FetchResponseData);
    let records = |response: &m::FetchResponseData| {
        assert_eq!(response.error_code, 0);
        let partition = &response.responses[0].partitions[0];
        let records = partition.records.as_ref();
        (
            partition.error_code,
            records.is_some_and(|it| !it.is_empty()),
        )
    };
    assert_eq!(records(&first), (0, true));
    authorizer.0.lock().push((Operation::Read, "t"));
    fetch.session_id = first.session_id;
    fetch.session_epoch = 1;
    fetch.topics.clear();
    let second = ask!(client, Fetch, 12, fetch, m::FetchResponseData);
    let denied = Code::TopicAuthorizationFailed.code();
    assert_eq!(records(&second), (denied, false));
    authorizer.0.lock().clear();
    fetch.session_epoch = 2;
    let third = ask!(client, Fetch, 12, fetch, m::FetchResponseData);
    assert_eq!(records(&third), (0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_matches_the_topics_that_its_member_may_describe() {
    let fixture = Fixture::start().await;
    let hidden = fixture.broker.topic("t-hidden", 1).await;
    let authorizer = Arc::new(Without::default());
    authorizer.0.lock().push((Operation::Describe, "t-hidden"));
    let mut client = client(&fixture, &authorizer);
    let join = m::ConsumerGroupHeartbeatRequestData {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(text("t.*")),
        ..member("expressions")
    };
    type Joined = m::ConsumerGroupHeartbeatResponseData;
    let joined = ask!(client, ConsumerGroupHeartbeat, 1, join, Joined);
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let assigned = joined.assignment.expect("the member is alone");
    let topics = assigned.topic_partitions.iter();
    let topics: Vec<_> = topics
        .filter_map(|it| crate::wire::topic_id(it.topic_id))
        .collect();
    assert_eq!(topics, [fixture.topic_id], "not {hidden}");
}

/// CVE-2018-17196: Kafka looked at the first batch of a request alone to find out which permissions
/// the request needs, so a plain batch in front let transactional ones pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_batch_in_front_exempts_no_transactional_one_from_its_permission() {
    let fixture = Fixture::start().await;
    let denied = Denied::Only(vec![(ResourceType::TransactionalId, Operation::Write)]);
    let service = fixture.service(Recorder::denying(denied));
    let memory_pool = Arc::clone(&fixture.broker.memory_pool);
    let mut client = client_at(&service, memory_pool, Ipv4Addr::LOCALHOST);
    let other = fixture.broker.topic("plain", 1).await;
    let partition = fixture.broker.partition(other, 0);
    let (plain, transactional) = (record_for("plain"), transactional_record_for("t"));
    for (first, second) in [(&plain, &transactional), (&transactional, &plain)] {
        let mut request = first.clone();
        request.transactional_id = Some(text("tx"));
        request.topic_data.extend(second.topic_data.clone());
        let produced = ask!(client, Produce, 9, request, m::ProduceResponseData);
        let topics = produced.responses.iter();
        let partitions = topics.flat_map(|topic| &topic.partition_responses);
        let codes: Vec<i16> = partitions.map(|it| it.error_code).collect();
        assert_eq!(codes, [Code::TransactionalIdAuthorizationFailed.code(); 2]);
        let end = partition.positions().log_end_offset;
        assert_eq!(end, Offset(0), "nothing is written");
    }
    // A request with plain batches alone needs no permission on the id that it names.
    let mut request = plain;
    request.transactional_id = Some(text("tx"));
    let produced = ask!(client, Produce, 9, request, m::ProduceResponseData);
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_do_not_tell_whether_a_topic_exists() {
    let fixture = Fixture::start().await;
    let all = [
        Operation::Describe,
        Operation::Write,
        Operation::Read,
        Operation::Delete,
    ];
    let authorizer = Arc::new(Without::default());
    for operation in all {
        authorizer
            .0
            .lock()
            .extend([(operation, "t"), (operation, "m")]);
    }
    let mut answers = Vec::new();
    for topic in ["t", "m"] {
        let mut client = client(&fixture, &authorizer);
        let metadata = metadata_of(topic);
        let metadata = ask!(client, Metadata, 9, metadata, m::MetadataResponseData);
        let produce = record_for(topic);
        let produced = ask!(client, Produce, 9, produce, m::ProduceResponseData);
        let list = offsets_of(topic);
        let listed = ask!(client, ListOffsets, 8, list, m::ListOffsetsResponseData);
        let answer = format!("{:?} {produced:?} {listed:?}", metadata.topics);
        answers.push(answer.replace(&format!("{:?}", text(topic)), "NAME"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].contains("error_code: 3"), "{}", answers[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_does_not_wait_for_a_topic_that_may_be_about_to_be_known() {
    let fixture = Fixture::start().await;
    let authorizer = Arc::new(Without::default());
    let mut body = bytes::BytesMut::new();
    record_for("m").write(&mut body, 9).unwrap();
    let waits = || {
        let service = service(&fixture, &authorizer);
        fixture.waits(
            (ApiKey::Produce, 9),
            &body,
            &service,
            &peer(Ipv4Addr::LOCALHOST),
        )
    };
    assert!(waits());
    authorizer.0.lock().push((Operation::Write, "m"));
    assert!(!waits());
}
