//! Requests about groups and their offsets.

use dohle_model::acl::{Operation as Op, ResourceType as On};
use dohle_protocol::KafkaUuid;
use dohle_protocol::messages as m;

use super::{Case, GROUP_DENIED, ID_DENIED, SHOWN, TOPIC_DENIED, case, name};
use crate::wire;

pub(super) fn cases(topic_id: KafkaUuid) -> Vec<Case> {
    let mut cases = classic();
    cases.extend(modern());
    cases.extend(offsets(topic_id));
    cases.extend(listed());
    cases
}

fn classic() -> Vec<Case> {
    let join = m::JoinGroupRequestData {
        group_id: name("g"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: name("consumer"),
        protocols: vec![m::join_group_request::JoinGroupRequestProtocol {
            name: name("range"),
            ..Default::default()
        }],
        ..Default::default()
    };
    let sync = m::SyncGroupRequestData {
        group_id: name("g"),
        member_id: name("m"),
        protocol_type: Some(name("consumer")),
        protocol_name: Some(name("range")),
        ..Default::default()
    };
    let heartbeat = m::HeartbeatRequestData {
        group_id: name("g"),
        member_id: name("m"),
        ..Default::default()
    };
    let leave = m::LeaveGroupRequestData {
        group_id: name("g"),
        members: vec![m::leave_group_request::MemberIdentity {
            member_id: name("m"),
            ..Default::default()
        }],
        ..Default::default()
    };
    vec![
        case!(JoinGroup 9, join,
            |r: m::JoinGroupResponseData| [r.error_code], [GROUP_DENIED]),
        case!(SyncGroup 5, sync,
            |r: m::SyncGroupResponseData| [r.error_code], [GROUP_DENIED]),
        case!(Heartbeat 4, heartbeat,
            |r: m::HeartbeatResponseData| [r.error_code], [GROUP_DENIED]),
        case!(LeaveGroup 5, leave,
            |r: m::LeaveGroupResponseData| [r.error_code, shown(&r.members)], [GROUP_DENIED, 0]),
    ]
}

fn shown<T>(list: &[T]) -> i16 {
    if list.is_empty() { 0 } else { SHOWN }
}

/// A heartbeat with which a member joins a group of the consumer protocol.
pub(in crate::tests::permissions) fn member(group: &str) -> m::ConsumerGroupHeartbeatRequestData {
    m::ConsumerGroupHeartbeatRequestData {
        group_id: name(group),
        member_id: name("m"),
        rebalance_timeout_ms: 10_000,
        topic_partitions: Some(Vec::new()),
        subscribed_topic_names: Some(vec![name("t")]),
        ..Default::default()
    }
}

pub(super) fn describe_modern() -> m::ConsumerGroupDescribeRequestData {
    m::ConsumerGroupDescribeRequestData {
        group_ids: vec![name("modern")],
        ..Default::default()
    }
}

fn modern() -> Vec<Case> {
    let describe_topic = [(On::Topic, Op::Describe)];
    vec![
        case!(ConsumerGroupDescribe 1, describe_modern(),
            |r: m::ConsumerGroupDescribeResponseData|
                [r.groups[0].error_code, shown(&r.groups[0].members)],
            [GROUP_DENIED, 0])
        .denying(&describe_topic, &[TOPIC_DENIED, 0]),
        case!(ConsumerGroupHeartbeat 1, member("another"),
            |r: m::ConsumerGroupHeartbeatResponseData| [r.error_code], [GROUP_DENIED])
        .denying(&describe_topic, &[TOPIC_DENIED]),
    ]
}

/// A commit of an offset of group `g`.
pub(super) fn commit(topic: &str) -> m::OffsetCommitRequestData {
    m::OffsetCommitRequestData {
        group_id: name("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![m::offset_commit_request::OffsetCommitRequestTopic {
            name: name(topic),
            partitions: vec![m::offset_commit_request::OffsetCommitRequestPartition {
                committed_offset: 1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A request for offsets of group `g`: all of them, or those of these topics.
pub(super) fn fetch(
    topics: Option<Vec<m::offset_fetch_request::OffsetFetchRequestTopics>>,
) -> m::OffsetFetchRequestData {
    m::OffsetFetchRequestData {
        groups: vec![m::offset_fetch_request::OffsetFetchRequestGroup {
            group_id: name("g"),
            member_epoch: -1,
            topics,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn offsets(topic_id: KafkaUuid) -> Vec<Case> {
    let read_topic = [(On::Topic, Op::Read)];
    let describe_topic = [(On::Topic, Op::Describe)];
    let by_id = |topic_id| {
        let mut request = commit("");
        request.topics[0].topic_id = topic_id;
        request
    };
    let topic = |named: &str, topic_id| m::offset_fetch_request::OffsetFetchRequestTopics {
        name: name(named),
        topic_id,
        partition_indexes: vec![0],
        ..Default::default()
    };
    let named = fetch(Some(vec![topic("t", KafkaUuid::ZERO)]));
    let fetch_by_id = fetch(Some(vec![topic("", topic_id)]));
    let delete = m::OffsetDeleteRequestData {
        group_id: name("g"),
        topics: vec![m::offset_delete_request::OffsetDeleteRequestTopic {
            name: name("t"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let old = m::OffsetFetchRequestData {
        group_id: name("g"),
        topics: Some(vec![m::offset_fetch_request::OffsetFetchRequestTopic {
            name: name("t"),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    vec![
        case!(OffsetCommit 9, commit("t"),
            |r: m::OffsetCommitResponseData| committed(&r), [GROUP_DENIED])
        .denying(&read_topic, &[TOPIC_DENIED]),
        case!(OffsetCommit 10, by_id(topic_id),
            |r: m::OffsetCommitResponseData| committed(&r), [GROUP_DENIED])
        .denying(&read_topic, &[TOPIC_DENIED]),
        case!(OffsetCommit 9, commit("missing"),
            |r: m::OffsetCommitResponseData| committed(&r), [GROUP_DENIED])
        .denying(&read_topic, &[TOPIC_DENIED]),
        case!(OffsetFetch 9, named,
            |r: m::OffsetFetchResponseData| fetched(&r), [GROUP_DENIED])
        .denying(&describe_topic, &[wire::NONE, TOPIC_DENIED]),
        case!(OffsetFetch 10, fetch_by_id,
            |r: m::OffsetFetchResponseData| fetched(&r), [GROUP_DENIED])
        .denying(&describe_topic, &[wire::NONE, TOPIC_DENIED]),
        case!(OffsetFetch 9, fetch(None),
            |r: m::OffsetFetchResponseData| fetched(&r), [GROUP_DENIED])
        .denying(&describe_topic, &[wire::NONE]),
        // The first version has no error for the whole group.
        case!(OffsetFetch 1, old,
            |r: m::OffsetFetchResponseData| [r.topics[0].partitions[0].error_code],
            [GROUP_DENIED])
        .denying(&describe_topic, &[TOPIC_DENIED]),
        case!(OffsetDelete 0, delete,
            |r: m::OffsetDeleteResponseData| {
                let partitions = r.topics.iter().flat_map(|topic| &topic.partitions);
                let codes = partitions.map(|partition| partition.error_code);
                std::iter::once(r.error_code).chain(codes).collect::<Vec<_>>()
            }, [GROUP_DENIED])
        .denying(&read_topic, &[wire::NONE, TOPIC_DENIED]),
    ]
}

fn committed(response: &m::OffsetCommitResponseData) -> Vec<i16> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

fn fetched(response: &m::OffsetFetchResponseData) -> Vec<i16> {
    let codes = response.groups.iter().flat_map(|group| {
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|partition| partition.error_code);
        std::iter::once(group.error_code).chain(codes)
    });
    codes.collect()
}

fn listed() -> Vec<Case> {
    let describe = m::DescribeGroupsRequestData {
        groups: vec![name("g")],
        include_authorized_operations: true,
        ..Default::default()
    };
    let delete = m::DeleteGroupsRequestData {
        groups_names: vec![name("g")],
        ..Default::default()
    };
    let find = |key_type, key: &str| m::FindCoordinatorRequestData {
        key_type,
        coordinator_keys: vec![name(key)],
        ..Default::default()
    };
    let find_old = m::FindCoordinatorRequestData {
        key: name("g"),
        ..Default::default()
    };
    vec![
        case!(DescribeGroups 5, describe,
            |r: m::DescribeGroupsResponseData| [
                r.groups[0].error_code,
                if r.groups[0].authorized_operations == i32::MIN { 0 } else { SHOWN },
            ], [GROUP_DENIED, 0]),
        case!(ListGroups 5, m::ListGroupsRequestData::default(),
            |r: m::ListGroupsResponseData| [r.error_code, shown(&r.groups)], [wire::NONE, 0])
        .denying(&[(On::Cluster, Op::Describe)], &[wire::NONE, SHOWN])
        .denying(&[(On::Group, Op::Describe)], &[wire::NONE, SHOWN]),
        case!(FindCoordinator 4, find(0, "g"),
            |r: m::FindCoordinatorResponseData| [r.coordinators[0].error_code], [GROUP_DENIED]),
        case!(FindCoordinator 4, find(1, "tx"),
            |r: m::FindCoordinatorResponseData| [r.coordinators[0].error_code], [ID_DENIED]),
        case!(FindCoordinator 3, find_old,
            |r: m::FindCoordinatorResponseData| [r.error_code], [GROUP_DENIED]),
        case!(DeleteGroups 2, delete,
            |r: m::DeleteGroupsResponseData| [r.results[0].error_code], [GROUP_DENIED]),
    ]
}
