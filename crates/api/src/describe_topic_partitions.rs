//! DescribeTopicPartitions, version 0 (KIP-966): topics in the order of their names, a page of
//! partitions at a time, with eligible leader replicas. The cursor names the first partition of the
//! next page.

use std::collections::BTreeSet;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, NodeId, PartitionIndex, TopicName};
use dohle_protocol::messages::describe_topic_partitions_request::{
    Cursor, DescribeTopicPartitionsRequestData, TopicRequest,
};
use dohle_protocol::messages::describe_topic_partitions_response as response;
use response::{
    DescribeTopicPartitionsResponseData, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::metadata::offline_replicas;
use super::{Call, wire};
use crate::resolve::{self, live_endpoint};
use dohle_model::image::{MetadataImage, TopicImage};

pub(super) async fn handle(
    call: Call,
    request: DescribeTopicPartitionsRequestData,
) -> DescribeTopicPartitionsResponseData {
    let image = call.context.image();
    let all = request.topics.is_empty();
    let cursor = request.cursor.as_deref();
    let names: BTreeSet<String> = if all {
        image
            .topic_ids
            .keys()
            .map(|name| name.as_str().to_owned())
            .collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.as_str().to_owned())
            .collect()
    };
    let is_valid = cursor.is_none_or(|cursor| {
        cursor.partition_index >= 0 && (all || names.contains(cursor.topic_name.as_str()))
    });
    if !is_valid {
        return invalid_cursor(&request);
    }
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        image: &image,
        call: &call,
        room: limit.clamp(
            1,
            call.context.config.max_request_partition_size_limit.max(1),
        ),
        response: DescribeTopicPartitionsResponseData::default(),
    };
    let mut denied = Vec::new();
    for name in &names {
        let start = match cursor {
            Some(cursor) if name.as_str() < cursor.topic_name.as_str() => continue,
            Some(Cursor {
                topic_name,
                partition_index,
                ..
            }) if topic_name.as_str() == name => *partition_index,
            _ => 0,
        };
        let (operation, kind) = (Operation::Describe, ResourceType::Topic);
        if all && !call.is_visible(operation, kind, name) {
            continue;
        }
        if !all && !call.is_allowed(operation, kind, name) {
            denied.push(refused(name, ErrorCode::TopicAuthorizationFailed));
            continue;
        }
        if page.response.next_cursor.is_some() {
            // The page is full. As in Kafka, the refusals of later topics follow nevertheless.
            continue;
        }
        match image.topic(name) {
            Some(topic) => page.add(topic, start.max(0)),
            // A topic that was deleted meanwhile is not an error.
            None if all => {}
            None => page.add_unknown(name),
        }
        if all && page.response.next_cursor.is_some() {
            break;
        }
    }
    page.response.topics.extend(denied);
    page.response
}

/// Refuses a topic. The response has neither its id nor the operations that the client is allowed.
fn refused(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(wire::text(name)),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

/// Refuses a cursor with an invalid partition, or with a topic that the request does not list.
fn invalid_cursor(
    request: &DescribeTopicPartitionsRequestData,
) -> DescribeTopicPartitionsResponseData {
    let topic = |topic: &TopicRequest| refused(topic.name.as_str(), ErrorCode::InvalidRequest);
    DescribeTopicPartitionsResponseData {
        topics: request.topics.iter().map(topic).collect(),
        ..DescribeTopicPartitionsResponseData::default()
    }
}

struct Page<'a> {
    image: &'a MetadataImage,
    call: &'a Call,
    room: usize,
    response: DescribeTopicPartitionsResponseData,
}

impl Page<'_> {
    fn add(&mut self, topic: &TopicImage, start: i32) {
        if self.room == 0 {
            self.next(topic, start);
            return;
        }
        let mut partitions = Vec::new();
        for (index, _) in topic.partitions.range(PartitionIndex(start)..) {
            if self.room == 0 {
                self.next(topic, index.0);
                break;
            }
            self.room -= 1;
            partitions.push(self.partition(topic, *index));
        }
        self.response
            .topics
            .push(DescribeTopicPartitionsResponseTopic {
                name: Some(wire::text(topic.name.as_str())),
                topic_id: wire::wire_id(topic.id),
                is_internal: topic.name.is_internal(),
                partitions,
                topic_authorized_operations: self.operations(topic.name.as_str()),
                ..DescribeTopicPartitionsResponseTopic::default()
            });
    }

    fn operations(&self, topic: &str) -> i32 {
        self.call.authorized_operations(ResourceType::Topic, topic)
    }

    fn next(&mut self, topic: &TopicImage, partition_index: i32) {
        self.response.next_cursor = Some(Box::new(response::Cursor {
            topic_name: wire::text(topic.name.as_str()),
            partition_index,
            ..response::Cursor::default()
        }));
    }

    fn add_unknown(&mut self, name: &str) {
        let code = match TopicName::new(name) {
            Ok(_) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        self.response
            .topics
            .push(DescribeTopicPartitionsResponseTopic {
                is_internal: resolve::is_internal(name),
                topic_authorized_operations: self.operations(name),
                ..refused(name, code)
            });
    }

    fn partition(
        &self,
        topic: &TopicImage,
        index: PartitionIndex,
    ) -> DescribeTopicPartitionsResponsePartition {
        let registration = &topic.partitions[&index];
        let is_reachable = |leader: &NodeId| {
            live_endpoint(self.image, *leader, &self.call.request.listener).is_some()
        };
        let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
        DescribeTopicPartitionsResponsePartition {
            error_code: wire::NONE,
            partition_index: index.0,
            leader_id: NodeId::to_wire(registration.leader.filter(is_reachable)),
            leader_epoch: registration.leader_epoch.0,
            replica_nodes: ids(&registration.replicas),
            isr_nodes: ids(&registration.isr),
            eligible_leader_replicas: Some(ids(&registration.elr)),
            last_known_elr: Some(ids(&registration.last_known_elr)),
            offline_replicas: offline_replicas(
                self.image,
                registration,
                &self.call.request.listener,
            ),
            ..DescribeTopicPartitionsResponsePartition::default()
        }
    }
}
