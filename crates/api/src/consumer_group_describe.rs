//! ConsumerGroupDescribe, versions 0–1: groups of the consumer protocol, with the current and the
//! target assignment of each member (KIP-848); from version 1 with the members' types (KIP-1099).

use dohle_groups::requests::DescribeConsumerGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequestData;
use dohle_protocol::messages::consumer_group_describe_response::{
    ConsumerGroupDescribeResponseData, DescribedGroup,
};
use futures::future::join_all;

use super::consumer_group_heartbeat::is_enabled;
use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: ConsumerGroupDescribeRequestData,
) -> ConsumerGroupDescribeResponseData {
    let groups = request.group_ids.iter();
    let mut groups = if is_enabled(&call.context, &call.context.image()) {
        join_all(groups.map(|group_id| describe(&call, group_id))).await
    } else {
        let unsupported = |group_id| refused(group_id, ErrorCode::UnsupportedVersion);
        groups.map(unsupported).collect()
    };
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations =
                call.authorized_operations(ResourceType::Group, group.group_id.as_str());
        }
    }
    hide_topics(&call, &mut groups);
    ConsumerGroupDescribeResponseData {
        groups,
        ..ConsumerGroupDescribeResponseData::default()
    }
}

async fn describe(call: &Call, group_id: &KafkaString) -> DescribedGroup {
    let name = group_id.as_str();
    if let Err(code) = call.authorize(Operation::Describe, ResourceType::Group, name) {
        return refused(group_id, code);
    }
    if name.is_empty() {
        return refused(group_id, ErrorCode::InvalidGroupId);
    }
    let groups = &call.context.groups;
    let request = DescribeConsumerGroup {
        group_id: group_id.as_str(),
    };
    let described = groups.run(group_id.as_str(), &request).await;
    described.unwrap_or_else(|code| refused(group_id, code))
}

/// Replaces each group that has assigned partitions of a topic that the client may not describe.
fn hide_topics(call: &Call, groups: &mut [DescribedGroup]) {
    let topics = groups.iter().flat_map(assigned_topics);
    let visible = call.visible_topics(topics);
    let is_hidden = |group: &DescribedGroup| {
        let mut topics = assigned_topics(group);
        topics.any(|topic| !visible.contains(topic))
    };
    let hidden: Vec<bool> = groups.iter().map(is_hidden).collect();
    for (group, _) in groups.iter_mut().zip(hidden).filter(|(_, hidden)| *hidden) {
        *group = DescribedGroup {
            error_message: Some(wire::text(
                "The group has described topic(s) that the client is not authorized to describe.",
            )),
            ..refused(&group.group_id, ErrorCode::TopicAuthorizationFailed)
        };
    }
}

/// Returns the topics of the partitions that the members of a group have and are to have.
fn assigned_topics(group: &DescribedGroup) -> impl Iterator<Item = &str> {
    let members = group.members.iter();
    let assignments = members.flat_map(|it| [&it.assignment, &it.target_assignment]);
    let topics = assignments.flat_map(|assignment| &assignment.topic_partitions);
    topics.map(|topic| topic.topic_name.as_str())
}

fn refused(group_id: &KafkaString, code: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        group_id: group_id.clone(),
        error_code: code.code(),
        ..DescribedGroup::default()
    }
}
