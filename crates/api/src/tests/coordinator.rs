//! Tests of the coordinator's runtime with groups: loading, leadership, parked requests, timers,
//! failed appends.

use std::time::Duration;

use dohle_broker::partitions::wall_clock;
use dohle_groups::requests::DeleteGroup;
use dohle_groups::{GroupId, Record, Shard, Step, SyncReply, SyncToken};
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_machine::{ParkedRequest, Request};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{ErrorCode, NodeId, PartitionIndex, TopicId, TopicName};
use dohle_protocol::messages::find_coordinator_request::FindCoordinatorRequestData;
use dohle_protocol::messages::find_coordinator_response::FindCoordinatorResponseData;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;
use dohle_protocol::messages::join_group_request::{
    JoinGroupRequestData, JoinGroupRequestProtocol,
};
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::OffsetCommitResponseData;
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestData, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseData;
use dohle_protocol::messages::sync_group_request::{
    SyncGroupRequestAssignment, SyncGroupRequestData,
};
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;
use dohle_protocol::{ApiKey, KafkaString};
use tokio::time::timeout;

use super::harness::{Broker, NODE, OTHER, TestClient, ask};
use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::partition_of;

const DEADLINE: Duration = Duration::from_secs(20);

/// Starts a broker that coordinates all groups, with one topic `t`.
async fn coordinator(properties: &[(&str, &str)]) -> (Broker, TopicId) {
    let broker = Broker::start(properties).await;
    broker.topic("t", 1).await;
    let id = broker.topic(OFFSETS_TOPIC.name, 1).await;
    loaded(&broker).await;
    (broker, id)
}

/// A request without effects, which succeeds in each shard that serves requests.
pub(super) struct Nothing;

impl Request for Nothing {
    type Machine = Shard;
    type Reply = ();

    fn plan(&self, _: &mut Shard, _: &mut Step<'_>) {}
}

/// Waits until the shard of the one partition is loaded.
async fn loaded(broker: &Broker) {
    let coordinator = &broker.context.groups;
    let loading = async {
        while coordinator.run("g", &Nothing).await == Err(ErrorCode::CoordinatorLoadInProgress) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, loading).await.expect("the shard loads");
}

async fn lead(broker: &Broker, topic_id: TopicId, leader: NodeId) {
    let change = PartitionChange {
        leader: Some(Some(leader)),
        isr: Some(vec![NODE]),
        ..PartitionChange::default()
    };
    let partition = PartitionIndex(0);
    broker
        .apply(&[MetadataRecord::PartitionChange {
            topic_id,
            partition,
            change,
        }])
        .await;
}

async fn commit(client: &mut TestClient, offset: i64) -> i16 {
    let request = OffsetCommitRequestData {
        group_id: KafkaString::from_static("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: KafkaString::from_static("t"),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = ask!(client, OffsetCommit, 8, request, OffsetCommitResponseData);
    response.topics[0].partitions[0].error_code
}

/// Returns the committed offset of `t-0`, or the error of the group.
async fn committed(client: &mut TestClient) -> Result<i64, i16> {
    let request = OffsetFetchRequestData {
        groups: vec![OffsetFetchRequestGroup {
            group_id: KafkaString::from_static("g"),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: KafkaString::from_static("t"),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = ask!(client, OffsetFetch, 8, request, OffsetFetchResponseData);
    let group = &response.groups[0];
    if group.error_code != 0 {
        return Err(group.error_code);
    }
    Ok(group.topics[0].partitions[0].committed_offset)
}

fn join(member_id: &str) -> JoinGroupRequestData {
    JoinGroupRequestData {
        group_id: KafkaString::from_static("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned().into(),
        protocol_type: KafkaString::from_static("consumer"),
        protocols: vec![JoinGroupRequestProtocol {
            name: KafkaString::from_static("range"),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Joins as a new member. Returns the id that the coordinator has assigned.
async fn member_id(client: &mut TestClient) -> String {
    let response = ask!(client, JoinGroup, 9, join(""), JoinGroupResponseData);
    assert_eq!(response.error_code, ErrorCode::MemberIdRequired.code());
    response.member_id.to_string()
}

fn sync_request(member_id: &str, assignment: &'static [u8]) -> SyncGroupRequestData {
    SyncGroupRequestData {
        group_id: KafkaString::from_static("g"),
        generation_id: 1,
        member_id: member_id.to_owned().into(),
        protocol_type: Some(KafkaString::from_static("consumer")),
        protocol_name: Some(KafkaString::from_static("range")),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member_id.to_owned().into(),
            assignment: bytes::Bytes::from_static(assignment),
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn sync(
    client: &mut TestClient,
    member_id: &str,
    assignment: &'static [u8],
) -> SyncGroupResponseData {
    let request = sync_request(member_id, assignment);
    ask!(client, SyncGroup, 5, request, SyncGroupResponseData)
}

async fn heartbeat(client: &mut TestClient, member_id: &str) -> i16 {
    let request = HeartbeatRequestData {
        group_id: KafkaString::from_static("g"),
        generation_id: 1,
        member_id: member_id.to_owned().into(),
        ..Default::default()
    };
    ask!(client, Heartbeat, 4, request, HeartbeatResponseData).error_code
}

#[tokio::test]
async fn a_committed_offset_is_there_again_when_the_shard_is_loaded_anew() {
    let (broker, topic) = coordinator(&[]).await;
    let mut client = broker.client();
    assert_eq!(committed(&mut client).await, Ok(-1));
    assert_eq!(commit(&mut client, 42).await, 0);
    assert_eq!(committed(&mut client).await, Ok(42));
    lead(&broker, topic, OTHER).await;
    assert_eq!(
        committed(&mut client).await,
        Err(ErrorCode::NotCoordinator.code())
    );
    assert_eq!(
        commit(&mut client, 43).await,
        ErrorCode::NotCoordinator.code()
    );
    lead(&broker, topic, NODE).await;
    loaded(&broker).await;
    assert_eq!(committed(&mut client).await, Ok(42));
}

#[tokio::test]
async fn a_new_leader_epoch_of_the_same_leader_begins_a_new_shard() {
    let (broker, topic) = coordinator(&[]).await;
    let mut client = broker.client();
    assert_eq!(commit(&mut client, 7).await, 0);
    lead(&broker, topic, NODE).await;
    loaded(&broker).await;
    assert_eq!(committed(&mut client).await, Ok(7));
    assert_eq!(commit(&mut client, 8).await, 0);
    assert_eq!(committed(&mut client).await, Ok(8));
}

#[tokio::test]
async fn a_join_is_parked_and_answered_by_its_timer_and_the_group_survives_a_reload() {
    let (broker, topic) = coordinator(&[("group.initial.rebalance.delay.ms", "20")]).await;
    let mut client = broker.client();
    let id = member_id(&mut client).await;
    let joining = async { ask!(client, JoinGroup, 9, join(&id), JoinGroupResponseData) };
    let joined = timeout(DEADLINE, joining).await.expect("a timer runs");
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.leader.as_str(), id);
    let synced = sync(&mut client, &id, b"all").await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"all"[..])
    );
    assert_eq!(heartbeat(&mut client, &id).await, 0);
    assert_eq!(
        heartbeat(&mut client, "nobody").await,
        ErrorCode::UnknownMemberId.code()
    );
    // The next coordinator has loaded the members and their assignment.
    lead(&broker, topic, NODE).await;
    loaded(&broker).await;
    assert_eq!(heartbeat(&mut client, &id).await, 0);
    let synced = sync(&mut client, &id, b"").await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"all"[..])
    );
}

/// A member whose session is over is gone for a request that arrives after it, even if the task of
/// the timers has not run since. A client may delete a group right after the session of its last
/// member, because it waits for no longer than that.
#[tokio::test]
async fn a_group_can_be_deleted_as_soon_as_the_session_of_its_last_member_is_over() {
    const SESSION: Duration = Duration::from_millis(100);
    let properties = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1"),
    ];
    let (broker, _) = coordinator(&properties).await;
    let mut client = broker.client();
    let id = member_id(&mut client).await;
    let request = JoinGroupRequestData {
        session_timeout_ms: SESSION.as_millis() as i32,
        ..join(&id)
    };
    let joined = ask!(client, JoinGroup, 9, request, JoinGroupResponseData);
    assert_eq!(joined.error_code, 0);
    // The only thread of the runtime is busy until the session is over, so no timer runs.
    let over = std::time::Instant::now() + SESSION;
    while std::time::Instant::now() < over {
        std::hint::spin_loop();
    }
    let group = DeleteGroup { group_id: "g" };
    let deleted = timeout(DEADLINE, broker.context.groups.run("g", &group));
    let deleted = deleted.await.expect("an answer");
    assert_eq!(deleted.map(|outcome| outcome.is_ok()), Ok(true));
}

#[tokio::test]
async fn parked_requests_are_sent_away_when_leadership_ends() {
    let (broker, topic) = coordinator(&[("group.initial.rebalance.delay.ms", "3600000")]).await;
    let mut client = broker.client();
    let id = member_id(&mut client).await;
    let mut body = bytes::BytesMut::new();
    join(&id).write(&mut body, 9).unwrap();
    client
        .send(dohle_protocol::ApiKey::JoinGroup, 9, &body)
        .await;
    // Waits until the request is parked.
    let parked = async {
        while broker.context.groups.parked() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, parked)
        .await
        .expect("the request is parked");
    lead(&broker, topic, OTHER).await;
    let answer = client.receive(dohle_protocol::ApiKey::JoinGroup, 9);
    let mut answer = timeout(DEADLINE, answer).await.expect("an answer");
    let answer = JoinGroupResponseData::read(&mut answer, 9).unwrap();
    assert_eq!(answer.error_code, ErrorCode::NotCoordinator.code());
}

#[tokio::test]
async fn a_parked_request_whose_connection_goes_is_forgotten() {
    let (broker, _) = coordinator(&[("group.initial.rebalance.delay.ms", "3600000")]).await;
    let mut client = broker.client();
    let id = member_id(&mut client).await;
    let mut body = bytes::BytesMut::new();
    join(&id).write(&mut body, 9).unwrap();
    client
        .send(dohle_protocol::ApiKey::JoinGroup, 9, &body)
        .await;
    let coordinator = &broker.context.groups;
    let becomes = |count| async move {
        while coordinator.parked() != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, becomes(1)).await.expect("it is parked");
    drop(client);
    timeout(DEADLINE, becomes(0))
        .await
        .expect("it is forgotten");
}

#[tokio::test]
async fn what_cannot_be_appended_leaves_no_trace() {
    let (broker, topic) = coordinator(&[]).await;
    let mut client = broker.client();
    assert_eq!(commit(&mut client, 1).await, 0);
    let min_isr = |value: &str| MetadataRecord::Config {
        resource: ConfigResource::Topic(TopicName::new(OFFSETS_TOPIC.name).unwrap()),
        key: "min.insync.replicas".into(),
        value: Some(value.into()),
    };
    let replicas = MetadataRecord::PartitionChange {
        topic_id: topic,
        partition: PartitionIndex(0),
        change: PartitionChange {
            replicas: Some(vec![NODE, OTHER]),
            directories: Some(vec![super::harness::DIRS[0]; 2]),
            ..PartitionChange::default()
        },
    };
    broker.apply(&[replicas, min_isr("2")]).await;
    assert_eq!(
        commit(&mut client, 2).await,
        ErrorCode::CoordinatorNotAvailable.code()
    );
    // A committed offset may be returned.
    assert_eq!(committed(&mut client).await, Ok(1));
    broker.apply(&[min_isr("1")]).await;
    assert_eq!(committed(&mut client).await, Ok(1));
    assert_eq!(commit(&mut client, 3).await, 0);
    assert_eq!(committed(&mut client).await, Ok(3));
}

#[tokio::test]
async fn nothing_is_told_before_it_is_committed() {
    let broker = Broker::start(&[("offsets.commit.timeout.ms", "50")]).await;
    broker.topic("t", 1).await;
    let both = vec![NODE, OTHER];
    let topic = broker.topic_led_by(OFFSETS_TOPIC.name, 1, NODE, both).await;
    loaded(&broker).await;
    let mut client = broker.client();
    let unavailable = ErrorCode::CoordinatorNotAvailable.code();
    // The other replica does not acknowledge.
    assert_eq!(commit(&mut client, 5).await, unavailable);
    assert_eq!(committed(&mut client).await, Err(unavailable));
    let registration: std::sync::Arc<PartitionRegistration> = {
        let image = broker.context.image();
        let topic = image.topic(OFFSETS_TOPIC.name).unwrap();
        std::sync::Arc::clone(&topic.partitions[&PartitionIndex(0)])
    };
    assert_eq!(registration.isr.len(), 2);
    let change = PartitionChange {
        isr: Some(vec![NODE]),
        ..PartitionChange::default()
    };
    let partition = PartitionIndex(0);
    broker
        .apply(&[MetadataRecord::PartitionChange {
            topic_id: topic,
            partition,
            change,
        }])
        .await;
    assert_eq!(committed(&mut client).await, Ok(5));
}

#[tokio::test]
async fn coordinators_are_found_and_other_kinds_refused_for_good() {
    let (broker, _) = coordinator(&[]).await;
    let mut client = broker.client();
    let find = |key_type, keys: &[&str]| FindCoordinatorRequestData {
        key_type,
        coordinator_keys: keys.iter().map(|key| (*key).to_owned().into()).collect(),
        ..Default::default()
    };
    let request = find(0, &["g", "h"]);
    let found = ask!(
        client,
        FindCoordinator,
        6,
        request,
        FindCoordinatorResponseData
    );
    for (found, key) in found.coordinators.iter().zip(["g", "h"]) {
        assert_eq!((found.error_code, found.key.as_str()), (0, key));
        assert_eq!(
            (found.node_id, found.host.as_str(), found.port),
            (1, "host1", 9092)
        );
    }
    let old = FindCoordinatorRequestData {
        key: KafkaString::from_static("g"),
        ..Default::default()
    };
    let found = ask!(client, FindCoordinator, 0, old, FindCoordinatorResponseData);
    assert_eq!((found.error_code, found.node_id), (0, 1));
    let request = find(2, &["x"]);
    let found = ask!(
        client,
        FindCoordinator,
        6,
        request,
        FindCoordinatorResponseData
    );
    let found = &found.coordinators[0];
    let code = ErrorCode::InvalidRequest.code();
    assert_eq!((found.error_code, found.node_id), (code, -1));
    assert!(found.error_message.is_some());
}

#[tokio::test]
async fn groups_that_cannot_be_read_are_not_served_and_not_made_up() {
    let (broker, topic) = coordinator(&[]).await;
    let mut client = broker.client();
    assert_eq!(commit(&mut client, 5).await, 0);
    // A record with the key of an offset and an invalid value.
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(None, Some(&[0, 1, 0, 1, b'g']), Some(b"?"), &[]);
    let (batch, now) = (batch.build().unwrap(), wall_clock());
    let partition = broker.partition(topic, 0);
    let origin = dohle_broker::partition::AppendOrigin::Coordinator;
    partition
        .append(batch, dohle_broker::partition::Acks::All, origin, now)
        .unwrap();
    lead(&broker, topic, NODE).await;
    loaded(&broker).await;
    let refused = ErrorCode::NotCoordinator.code();
    assert_eq!(committed(&mut client).await, Err(refused));
    assert_eq!(commit(&mut client, 6).await, refused);
}

#[tokio::test]
async fn records_of_types_that_are_unknown_here_are_left_alone() {
    let (broker, topic) = coordinator(&[]).await;
    let mut client = broker.client();
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(None, Some(&[0x7f, 0xff, 1, 2]), Some(b"?"), &[]);
    let (batch, now) = (batch.build().unwrap(), wall_clock());
    let partition = broker.partition(topic, 0);
    let origin = dohle_broker::partition::AppendOrigin::Coordinator;
    partition
        .append(batch, dohle_broker::partition::Acks::All, origin, now)
        .unwrap();
    assert_eq!(commit(&mut client, 5).await, 0);
    lead(&broker, topic, NODE).await;
    loaded(&broker).await;
    assert_eq!(committed(&mut client).await, Ok(5));
}

/// Returns the id of a group that belongs to this partition.
fn group_in(broker: &Broker, partition: i32) -> String {
    let image = broker.context.image();
    let found = (0..).map(|number| format!("group{number}")).find(|group| {
        partition_of(&image, OFFSETS_TOPIC.name, group) == Some(PartitionIndex(partition))
    });
    found.expect("some group is in each partition")
}

#[tokio::test]
async fn loads_that_wait_for_a_commit_hold_up_no_others() {
    const STUCK: i32 = 12;
    let broker = Broker::start(&[]).await;
    let both = vec![NODE, OTHER];
    let topic = broker
        .topic_led_by(OFFSETS_TOPIC.name, STUCK + 1, NODE, both)
        .await;
    // No replica acknowledges these records, so they are not committed.
    for index in 0..STUCK {
        let mut batch = BatchBuilder::new(BatchOptions::default());
        batch.append(None, Some(&[0x7f, 0xff, 1, 2]), Some(b"?"), &[]);
        let (batch, now) = (batch.build().unwrap(), wall_clock());
        let origin = dohle_broker::partition::AppendOrigin::Coordinator;
        broker
            .partition(topic, index)
            .append(batch, dohle_broker::partition::Acks::Leader, origin, now)
            .unwrap();
    }
    let elected: Vec<MetadataRecord> = (0..=STUCK)
        .map(|index| MetadataRecord::PartitionChange {
            topic_id: topic,
            partition: PartitionIndex(index),
            change: PartitionChange {
                leader: Some(Some(NODE)),
                ..PartitionChange::default()
            },
        })
        .collect();
    broker.apply(&elected).await;
    let coordinator = &broker.context.groups;
    let (healthy, stuck) = (group_in(&broker, STUCK), group_in(&broker, 0));
    let loading = async {
        while coordinator.run(&healthy, &Nothing).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, loading)
        .await
        .expect("the healthy shard loads");
    let refused = coordinator.run(&stuck, &Nothing).await;
    assert_eq!(refused, Err(ErrorCode::CoordinatorLoadInProgress));
}

/// Returns whether a request in flight has no response when all other work is done.
async fn nothing_yet(client: &mut TestClient) -> bool {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    let mut byte = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut client.stream, &mut byte);
    futures::FutureExt::now_or_never(read).is_none()
}

#[tokio::test]
async fn joins_and_syncs_are_answered_only_after_their_commit() {
    let broker = Broker::start(&[("group.initial.rebalance.delay.ms", "0")]).await;
    broker.topic("t", 1).await;
    let topic = broker.topic(OFFSETS_TOPIC.name, 1).await;
    loaded(&broker).await;
    // Nothing is committed while the other replica, which does not acknowledge, is in sync.
    let in_sync = |isr: &[NodeId]| MetadataRecord::PartitionChange {
        topic_id: topic,
        partition: PartitionIndex(0),
        change: PartitionChange {
            replicas: Some(vec![NODE, OTHER]),
            directories: Some(vec![super::harness::DIRS[0]; 2]),
            isr: Some(isr.to_vec()),
            ..PartitionChange::default()
        },
    };
    let fixed = JoinGroupRequestData {
        group_instance_id: Some(KafkaString::from_static("instance")),
        ..join("")
    };
    let mut client = broker.client();
    let joined = ask!(client, JoinGroup, 9, fixed, JoinGroupResponseData);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let member_id = joined.member_id.to_string();

    // The leader's sync writes the assignment.
    broker.apply(&[in_sync(&[NODE, OTHER])]).await;
    let mut body = bytes::BytesMut::new();
    let request = SyncGroupRequestData {
        group_instance_id: Some(KafkaString::from_static("instance")),
        ..sync_request(&member_id, b"mine")
    };
    request.write(&mut body, 5).unwrap();
    client.send(ApiKey::SyncGroup, 5, &body).await;
    assert!(nothing_yet(&mut client).await, "synced before the commit");
    broker.apply(&[in_sync(&[NODE])]).await;
    let mut synced = client.receive(ApiKey::SyncGroup, 5).await;
    let synced = SyncGroupResponseData::read(&mut synced, 5).unwrap();
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"mine"[..])
    );

    // The instance restarts and gets a new id, which is written.
    broker.apply(&[in_sync(&[NODE, OTHER])]).await;
    let mut body = bytes::BytesMut::new();
    fixed.write(&mut body, 9).unwrap();
    client.send(ApiKey::JoinGroup, 9, &body).await;
    assert!(nothing_yet(&mut client).await, "joined before the commit");
    broker.apply(&[in_sync(&[NODE])]).await;
    let mut joined = client.receive(ApiKey::JoinGroup, 9).await;
    let joined = JoinGroupResponseData::read(&mut joined, 9).unwrap();
    assert_eq!(joined.error_code, 0);
    assert_ne!(joined.member_id.as_str(), member_id);
}

/// Writes a record, and replies in the same step.
struct WriteAndReply;

impl ParkedRequest for WriteAndReply {
    type Machine = Shard;
    type Reply = SyncReply;

    fn plan(&self, token: SyncToken, _: &mut Shard, step: &mut Step<'_>) {
        step.write(Record::Classic(GroupId::new("g"), None));
        step.reply(token, SyncReply(SyncGroupResponseData::default()));
    }
}

#[tokio::test]
async fn a_reply_leaves_when_the_records_of_its_step_are_committed() {
    let (broker, topic) = coordinator(&[]).await;
    let both = MetadataRecord::PartitionChange {
        topic_id: topic,
        partition: PartitionIndex(0),
        change: PartitionChange {
            replicas: Some(vec![NODE, OTHER]),
            directories: Some(vec![super::harness::DIRS[0]; 2]),
            isr: Some(vec![NODE, OTHER]),
            ..PartitionChange::default()
        },
    };
    broker.apply(&[both]).await;
    let coordinator = &broker.context.groups;
    let parked = coordinator.park("g", &WriteAndReply).await.unwrap();
    let mut reply = std::pin::pin!(parked.reply());
    for _ in 0..200 {
        tokio::task::yield_now().await;
        let early = futures::FutureExt::now_or_never(reply.as_mut());
        assert!(early.is_none(), "answered before the commit");
    }
    lead(&broker, topic, OTHER).await;
    let reply = timeout(DEADLINE, reply).await.expect("an answer");
    // A reply that depends on uncommitted records is not sent as a success.
    let done = matches!(&reply, Ok(SyncReply(sync)) if sync.error_code == 0);
    assert!(!done, "{reply:?}");
}
