//! Lists and describes groups, their members and their committed offsets.

use std::collections::BTreeMap;

use kacrab_protocol::generated::{
    ConsumerGroupDescribeRequestData, ConsumerProtocolAssignmentData, DescribeGroupsRequestData,
    ErrorCode, ListGroupsRequestData, OffsetFetchRequestData, OffsetFetchRequestGroup,
    consumer_group_describe_response as consumer, describe_groups_response as classic,
};

use super::PartitionId;
use crate::cluster::{Cluster, ClusterError, Node, Recipient, check};
use crate::progress::ProgressReporter;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedGroup {
    /// Its id.
    pub group: String,
    /// Its type: Classic, Consumer, Share, Streams.
    #[serde(rename = "type")]
    pub kind: String,
    /// The protocol type of its members.
    pub protocol: String,
    /// Its state.
    pub state: String,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its state, as Kafka writes it.
    pub state: String,
    /// The assignor that it uses; empty when it uses none.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: Node,
    /// Its members.
    pub members: Vec<Member>,
    /// Its epoch; only groups of the consumer protocol have one.
    pub epoch: Option<i32>,
    /// The epoch of its target assignment.
    pub target_epoch: Option<i32>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    #[serde(rename = "consumerId")]
    pub id: String,
    /// Its static id.
    #[serde(rename = "groupInstanceId")]
    pub instance: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's host.
    pub host: String,
    /// Its assignment.
    #[serde(rename = "currentAssignment")]
    pub assignment: Vec<PartitionId>,
    /// Its target assignment.
    #[serde(rename = "targetAssignment")]
    pub target: Vec<PartitionId>,
    /// Its epoch.
    #[serde(rename = "currentEpoch")]
    pub epoch: Option<i32>,
    /// Whether the member uses the consumer protocol while other members of the group do not.
    pub upgraded: Option<bool>,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The epoch of the leader that it was read from.
    pub leader_epoch: Option<i32>,
}

/// Asks all brokers for the groups that they coordinate, by id.
///
/// # Errors
/// When a broker does not answer or refuses.
pub async fn list_groups(
    cluster: &Cluster,
    states: &[String],
    types: &[String],
    progress: &dyn ProgressReporter,
) -> Result<Vec<ListedGroup>, ClusterError> {
    let request = ListGroupsRequestData {
        states_filter: states.iter().map(|state| state.clone().into()).collect(),
        types_filter: types.iter().map(|kind| kind.clone().into()).collect(),
        ..ListGroupsRequestData::default()
    };
    let mut found = BTreeMap::new();
    for node in progress.over("brokers asked for groups", cluster.nodes().await?) {
        let answer = cluster.call(Recipient::Broker(node.id), &request).await?;
        for group in answer.groups {
            let listed = ListedGroup {
                group: group.group_id.to_string(),
                kind: capital(group.group_type.as_str()),
                protocol: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
            };
            found.insert(listed.group.clone(), listed);
        }
    }
    Ok(found.into_values().collect())
}

/// Kafka's tools print types with an initial capital; brokers send them in lower case.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Describes consumer groups, of either protocol.
///
/// # Errors
/// When a coordinator does not answer, or refuses: GROUP_ID_NOT_FOUND where there is no such group.
pub async fn describe_groups(
    cluster: &Cluster,
    ids: &[String],
    progress: &dyn ProgressReporter,
) -> Result<BTreeMap<String, Group>, ClusterError> {
    let mut found = BTreeMap::new();
    for id in progress.over("groups described", ids) {
        let group = cluster
            .retry(async || describe_group(cluster, id).await)
            .await?;
        found.insert(id.clone(), group);
    }
    Ok(found)
}

async fn describe_group(cluster: &Cluster, id: &str) -> Result<Group, ClusterError> {
    let coordinator = cluster.coordinator(id).await?;
    let request = ConsumerGroupDescribeRequestData {
        group_ids: vec![id.to_owned().into()],
        ..ConsumerGroupDescribeRequestData::default()
    };
    let answer = match cluster.ask_broker(coordinator.id, &request).await {
        Err(ClusterError::Unsupported { .. }) => None,
        answer => answer?.groups.into_iter().next(),
    };
    // This request does not find classic groups, which DescribeGroups describes.
    let classic = |group: &consumer::DescribedGroup| {
        let code = ErrorCode::from(group.error_code);
        matches!(
            code,
            ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion
        )
    };
    if let Some(group) = answer.filter(|group| !classic(group)) {
        check(group.error_code, group.error_message.as_ref())?;
        return Ok(of_consumer_protocol(&group, coordinator));
    }
    let request = DescribeGroupsRequestData {
        groups: vec![id.to_owned().into()],
        ..DescribeGroupsRequestData::default()
    };
    let answer = cluster.ask_broker(coordinator.id, &request).await?;
    let group = answer.groups.first().cloned().unwrap_or_default();
    check(group.error_code, group.error_message.as_ref())?;
    Ok(of_classic_protocol(&group, coordinator))
}

fn of_consumer_protocol(group: &consumer::DescribedGroup, coordinator: Node) -> Group {
    let partitions = |assignment: &consumer::Assignment| {
        let topics = assignment.topic_partitions.iter();
        let ids = topics.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|number| PartitionId::new(topic.topic_name.as_str(), *number))
        });
        ids.collect()
    };
    let members = group.members.iter().map(|member| Member {
        id: member.member_id.to_string(),
        instance: member.instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: partitions(&member.assignment),
        target: partitions(&member.target_assignment),
        epoch: Some(member.member_epoch),
        upgraded: match member.member_type {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    });
    Group {
        id: group.group_id.to_string(),
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        coordinator,
        members: members.collect(),
        epoch: Some(group.group_epoch),
        target_epoch: Some(group.assignment_epoch),
    }
}

fn of_classic_protocol(group: &classic::DescribedGroup, coordinator: Node) -> Group {
    let members = group.members.iter().map(|member| Member {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.as_ref().map(ToString::to_string),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: classic_assignment(&member.member_assignment),
        target: Vec::new(),
        epoch: None,
        upgraded: None,
    });
    Group {
        id: group.group_id.to_string(),
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        coordinator,
        members: members.collect(),
        epoch: None,
        target_epoch: None,
    }
}

/// Decodes the assignment of a member of a classic group, in the consumers' own format; empty for
/// any other format.
fn classic_assignment(bytes: &bytes::Bytes) -> Vec<PartitionId> {
    use bytes::Buf;
    let mut bytes = bytes.clone();
    if bytes.len() < 2 {
        return Vec::new();
    }
    // Newer versions only append fields.
    let version = bytes.get_i16().clamp(0, 3);
    let Ok(assignment) = ConsumerProtocolAssignmentData::read(&mut bytes, version) else {
        return Vec::new();
    };
    let topics = assignment.assigned_partitions.iter();
    let ids = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|number| PartitionId::new(topic.topic.as_str(), *number))
    });
    ids.collect()
}

/// Returns all committed offsets of a group.
///
/// # Errors
/// When the coordinator does not answer or refuses.
pub async fn committed(
    cluster: &Cluster,
    group: &str,
) -> Result<BTreeMap<PartitionId, Committed>, ClusterError> {
    let request = OffsetFetchRequestData {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned().into(),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        }],
        ..OffsetFetchRequestData::default()
    };
    let answer = cluster
        .call(Recipient::Coordinator(group), &request)
        .await?;
    let mut found = BTreeMap::new();
    for topic in answer.groups.iter().flat_map(|group| &group.topics) {
        let committed = topic.partitions.iter();
        for partition in committed.filter(|partition| partition.committed_offset >= 0) {
            let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
            let leader_epoch = partition.committed_leader_epoch;
            let committed = Committed {
                offset: partition.committed_offset,
                leader_epoch: Some(leader_epoch).filter(|epoch| *epoch >= 0),
            };
            found.insert(id, committed);
        }
    }
    Ok(found)
}
