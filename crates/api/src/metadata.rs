//! Metadata, versions 0–13: brokers, topics and partitions as clients of one listener see them.
//!
//! Topics by name or (from version 10) by id; topics that do not exist are created when both the
//! request and `auto.create.topics.enable` allow it, and the response lists them once this broker
//! has them. Leader epochs from 7 (KIP-320), offline replicas from 5 (KIP-112), topic ids from 10
//! (KIP-516), a top-level error from 13 (KIP-1102). `controller_id` is any live broker, as in every
//! KRaft cluster, since brokers forward to the controller.

use std::collections::HashSet;
use std::time::Duration;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::partition::PartitionRegistration;
use dohle_model::{ErrorCode, METADATA_TOPIC, NodeId, TopicName};
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::create_topics_response::CreatableTopicResult;
use dohle_protocol::messages::metadata_request::{MetadataRequestData, MetadataRequestTopic};
use dohle_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponseData, MetadataResponsePartition, MetadataResponseTopic,
};
use dohle_protocol::{KafkaString, KafkaUuid};
use tokio::time::Instant;

use super::{CLUSTER, Call, wire};
use crate::resolve::{self, live_endpoint};
use dohle_broker::metadata::forwarded_outcome;
use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::transactions::TRANSACTION_TOPIC;

/// How long a request waits for topics that it has created.
const AUTO_CREATE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn handle(call: Call, request: MetadataRequestData) -> MetadataResponseData {
    let version = call.version;
    let context = &call.context;
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let mut topics = request.topics.unwrap_or_default();
    let has_id = topics.iter().any(|topic| topic.topic_id != KafkaUuid::ZERO);
    let lacks_name = topics.iter().any(|topic| topic.name.is_none());
    if (10..=11).contains(&version) && (has_id || lacks_name) {
        return refused(&topics, ErrorCode::InvalidRequest);
    }
    if has_id {
        // As in Kafka, a request with ids is about these alone.
        topics.retain(|topic| topic.topic_id != KafkaUuid::ZERO);
    } else if lacks_name {
        let code = ErrorCode::UnknownServerError;
        return MetadataResponseData {
            error_code: if version >= 13 {
                code.code()
            } else {
                wire::NONE
            },
            ..refused(&topics, code)
        };
    }
    distinct(&mut topics);
    let mut denied = take_denied(&call, &mut topics);
    let mut not_created = Vec::new();
    if !all
        && (version < 4 || request.allow_auto_topic_creation)
        && context.config.auto_create_topics_enable
    {
        denied.splice(0..0, take_not_creatable(&call, &mut topics));
        not_created = create_missing(&call, &topics).await;
    }
    let image = context.image();
    let listener = &*call.request.listener;
    let view = View {
        image: &image,
        listener,
        version,
    };
    let operations = request.include_topic_authorized_operations;
    let mut answers: Vec<MetadataResponseTopic> = if all {
        let visible = image.topics.values().filter(|topic| {
            call.is_visible(
                Operation::Describe,
                ResourceType::Topic,
                topic.name.as_str(),
            )
        });
        visible.map(|topic| view.topic(topic)).collect()
    } else {
        // Only now is it known which topics the ids belong to.
        denied.extend(take_denied_ids(&call, &image, &mut topics));
        let answer = |topic: &MetadataRequestTopic| view.requested(topic, &not_created);
        topics.iter().map(answer).collect()
    };
    if operations {
        for topic in &mut answers {
            if let Some(name) = &topic.name {
                topic.topic_authorized_operations =
                    call.authorized_operations(ResourceType::Topic, name.as_str());
            }
        }
    }
    // Names of topics that do not exist come last, and ids of such topics first.
    answers.sort_by_key(|topic| (topic.error_code != wire::NONE) != has_id);
    answers.extend(denied);
    let brokers = view.brokers();
    let controller_id = view.controller(context.node_id);
    let mut response = MetadataResponseData {
        brokers,
        cluster_id: Some(wire::text(&context.cluster_id)),
        controller_id,
        topics: answers,
        ..MetadataResponseData::default()
    };
    if (8..=10).contains(&version) && request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = call.operations_on_cluster();
    }
    response
}

/// Keeps the first of topics that are named several times, or whose id is given several times.
fn distinct(topics: &mut Vec<MetadataRequestTopic>) {
    let mut seen = HashSet::new();
    topics.retain(|topic| {
        let by_name = topic.name.clone();
        let by_name = by_name.filter(|_| topic.topic_id == KafkaUuid::ZERO);
        seen.insert((by_name, topic.topic_id))
    });
}

/// Removes the topics that the request names and that the client may not describe. Returns their
/// results, which do not depend on whether the topics exist.
fn take_denied(call: &Call, topics: &mut Vec<MetadataRequestTopic>) -> Vec<MetadataResponseTopic> {
    let is_denied = |topic: &mut MetadataRequestTopic| {
        let name = topic.name.as_ref().map_or("", KafkaString::as_str);
        topic.topic_id == KafkaUuid::ZERO
            && !call.is_allowed(Operation::Describe, ResourceType::Topic, name)
    };
    let denied = topics.extract_if(.., is_denied);
    let denied = denied.map(|topic| MetadataResponseTopic {
        name: Some(topic.name.unwrap_or_default()),
        ..denial()
    });
    denied.collect()
}

/// Removes the topics whose ids the request has and that the client may not describe, and returns
/// their results, without names.
fn take_denied_ids(
    call: &Call,
    image: &MetadataImage,
    topics: &mut Vec<MetadataRequestTopic>,
) -> Vec<MetadataResponseTopic> {
    let is_denied = |topic: &mut MetadataRequestTopic| {
        let id = wire::topic_id(topic.topic_id);
        let found = id.and_then(|id| image.topics.get(&id));
        found.is_some_and(|topic| {
            !call.is_allowed(
                Operation::Describe,
                ResourceType::Topic,
                topic.name.as_str(),
            )
        })
    };
    let denied = topics.extract_if(.., is_denied);
    let denied = denied.map(|topic| MetadataResponseTopic {
        topic_id: topic.topic_id,
        ..denial()
    });
    denied.collect()
}

/// Removes the topics that do not exist and that the client may not create, and returns their
/// results.
fn take_not_creatable(
    call: &Call,
    topics: &mut Vec<MetadataRequestTopic>,
) -> Vec<MetadataResponseTopic> {
    let image = call.context.image();
    let missing = |topic: &MetadataRequestTopic| {
        let name = topic.name.as_ref().map_or("", KafkaString::as_str);
        topic.topic_id == KafkaUuid::ZERO && image.topic(name).is_none()
    };
    if !topics.iter().any(missing)
        || call.is_visible(Operation::Create, ResourceType::Cluster, CLUSTER)
    {
        return Vec::new();
    }
    let is_denied = |topic: &mut MetadataRequestTopic| {
        let name = topic.name.as_ref().map_or("", KafkaString::as_str);
        missing(topic) && !call.is_allowed(Operation::Create, ResourceType::Topic, name)
    };
    let denied = topics.extract_if(.., is_denied);
    let denied = denied.map(|topic| {
        let name = topic.name.unwrap_or_default();
        MetadataResponseTopic {
            is_internal: resolve::is_internal(name.as_str()),
            name: Some(name),
            ..denial()
        }
    });
    denied.collect()
}

fn denial() -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::TopicAuthorizationFailed.code(),
        ..MetadataResponseTopic::default()
    }
}

/// Refuses a request: one with ids in versions 10 and 11, which have a field for them and must not
/// use it (KAFKA-10774), or one with neither a name nor an id.
fn refused(topics: &[MetadataRequestTopic], code: ErrorCode) -> MetadataResponseData {
    let topic = |topic: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: code.code(),
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..MetadataResponseTopic::default()
    };
    MetadataResponseData {
        topics: topics.iter().map(topic).collect(),
        ..MetadataResponseData::default()
    }
}

/// A topic that could not be created, and why.
type Refused = (String, ErrorCode);

/// Creates the topics that do not exist, and waits until this broker's metadata contain them.
async fn create_missing(call: &Call, topics: &[MetadataRequestTopic]) -> Vec<Refused> {
    let context = &call.context;
    let image = context.image();
    for internal in [&OFFSETS_TOPIC, &TRANSACTION_TOPIC] {
        let asks_for = |topic: &MetadataRequestTopic| {
            let name = topic.name.as_ref().map(KafkaString::as_str);
            name == Some(internal.name) && topic.topic_id == KafkaUuid::ZERO
        };
        if topics.iter().any(asks_for) && image.topic(internal.name).is_none() {
            // With the deadline that also applies to the creation of topics of clients.
            let deadline = Instant::now() + AUTO_CREATE_TIMEOUT;
            let _ = context.internal_topics.ensure(internal, deadline).await;
        }
    }
    let mut missing: Vec<CreatableTopic> = Vec::new();
    for topic in topics
        .iter()
        .filter(|topic| topic.topic_id == KafkaUuid::ZERO)
    {
        let Some(name) = topic.name.as_ref().map(KafkaString::as_str) else {
            continue;
        };
        let known =
            image.topic(name).is_some() || missing.iter().any(|other| other.name.as_str() == name);
        if !known
            && TopicName::new(name).is_ok_and(|name| !name.is_internal())
            && name != METADATA_TOPIC
        {
            missing.push(CreatableTopic {
                name: wire::text(name),
                num_partitions: -1,
                replication_factor: -1,
                ..CreatableTopic::default()
            });
        }
    }
    if missing.is_empty() {
        return Vec::new();
    }
    let deadline = Instant::now() + AUTO_CREATE_TIMEOUT;
    let request = CreateTopicsRequestData {
        topics: missing,
        ..CreateTopicsRequestData::default()
    };
    let controller = &context.controller;
    match controller.forward(&request, &call.sender(), deadline).await {
        Ok(answer) => {
            let refused = answer.response.topics.iter().filter_map(refusal).collect();
            // A response from older metadata is acceptable, as in Kafka: the client asks again.
            let _ = context.reached(answer.offset.0, deadline).await;
            refused
        }
        Err(error) => {
            tracing::info!("topics were not created automatically: {error}");
            Vec::new()
        }
    }
}

fn refusal(result: &CreatableTopicResult) -> Option<Refused> {
    let error = forwarded_outcome(result.error_code, result.error_message.as_ref()).err()?;
    if error.code == ErrorCode::TopicAlreadyExists {
        return None;
    }
    tracing::info!(
        topic = result.name.as_str(),
        "not created automatically: {error}"
    );
    let code = match error.code {
        ErrorCode::InvalidTopicException | ErrorCode::PolicyViolation => error.code,
        // A creation that is refused now (too few brokers) may be allowed soon.
        _ => ErrorCode::UnknownTopicOrPartition,
    };
    Some((result.name.to_string(), code))
}

struct View<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    version: i16,
}

impl View<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker> {
        let live = |(id, registration): (&NodeId, &std::sync::Arc<_>)| {
            let registration: &dohle_model::record::BrokerRegistration = registration;
            let endpoint = live_endpoint(self.image, *id, self.listener)?;
            Some(MetadataResponseBroker {
                node_id: id.0,
                host: wire::text(&endpoint.host),
                port: i32::from(endpoint.port),
                rack: registration.rack.as_deref().map(wire::text),
                ..MetadataResponseBroker::default()
            })
        };
        self.image.brokers.iter().filter_map(live).collect()
    }

    fn controller(&self, this: NodeId) -> i32 {
        let is_live = |id: NodeId| live_endpoint(self.image, id, self.listener).is_some();
        if is_live(this) {
            return this.0;
        }
        self.image
            .brokers
            .keys()
            .find(|id| is_live(**id))
            .map_or(-1, |id| id.0)
    }

    fn requested(
        &self,
        topic: &MetadataRequestTopic,
        refused: &[Refused],
    ) -> MetadataResponseTopic {
        if let Some(id) = wire::topic_id(topic.topic_id) {
            return match self.image.topics.get(&id) {
                Some(topic) => self.topic(topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UnknownTopicId.code(),
                    topic_id: topic.topic_id,
                    ..MetadataResponseTopic::default()
                },
            };
        }
        let name = topic.name.clone().unwrap_or_default();
        if let Some(topic) = self.image.topic(name.as_str()) {
            return self.topic(topic);
        }
        let refused = refused.iter().find(|(refused, _)| refused == name.as_str());
        let code = match (TopicName::new(name.as_str()), refused) {
            (Err(_), _) => ErrorCode::InvalidTopicException,
            (Ok(_), Some((_, code))) => *code,
            (Ok(_), None) => ErrorCode::UnknownTopicOrPartition,
        };
        MetadataResponseTopic {
            error_code: code.code(),
            is_internal: resolve::is_internal(name.as_str()),
            name: Some(name),
            ..MetadataResponseTopic::default()
        }
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        let partition =
            |(index, registration): (&dohle_model::PartitionIndex, &std::sync::Arc<_>)| {
                self.partition(index.0, registration)
            };
        MetadataResponseTopic {
            name: Some(wire::text(topic.name.as_str())),
            topic_id: wire::wire_id(topic.id),
            is_internal: topic.name.is_internal(),
            partitions: topic.partitions.iter().map(partition).collect(),
            ..MetadataResponseTopic::default()
        }
    }

    fn partition(
        &self,
        index: i32,
        registration: &PartitionRegistration,
    ) -> MetadataResponsePartition {
        let leader = registration
            .leader
            .filter(|leader| self.is_reachable(*leader));
        let is_reachable = |node: &NodeId| self.is_reachable(*node);
        let code = match (leader, registration.leader) {
            // Clients of version 0 learn in this way that the response lists not all replicas.
            (Some(_), _)
                if self.version == 0 && !registration.replicas.iter().all(is_reachable) =>
            {
                Some(ErrorCode::ReplicaNotAvailable)
            }
            (Some(_), _) => None,
            (None, Some(leader)) if self.version >= 6 && self.image.is_active(leader) => {
                Some(ErrorCode::ListenerNotFound)
            }
            (None, _) => Some(ErrorCode::LeaderNotAvailable),
        };
        MetadataResponsePartition {
            error_code: dohle_model::error::to_wire(code),
            partition_index: index,
            leader_id: NodeId::to_wire(leader),
            leader_epoch: registration.leader_epoch.0,
            replica_nodes: self.nodes(&registration.replicas),
            isr_nodes: self.nodes(&registration.isr),
            offline_replicas: offline_replicas(self.image, registration, self.listener),
            ..MetadataResponsePartition::default()
        }
    }

    /// Version 0 clients must not get the id of a broker whose address the response does not list.
    fn nodes(&self, nodes: &[NodeId]) -> Vec<i32> {
        let listed = nodes
            .iter()
            .filter(|node| self.version > 0 || self.is_reachable(**node));
        listed.map(|node| node.0).collect()
    }

    fn is_reachable(&self, node: NodeId) -> bool {
        live_endpoint(self.image, node, self.listener).is_some()
    }
}

/// Returns the replicas on brokers that are gone, fenced or not on this listener, or in failed
/// directories.
pub(super) fn offline_replicas(
    image: &MetadataImage,
    registration: &PartitionRegistration,
    listener: &str,
) -> Vec<i32> {
    let is_offline = |node: &NodeId| {
        let Some(broker) = image.brokers.get(node) else {
            return true;
        };
        let directory = registration.directory(*node).unwrap_or_default();
        live_endpoint(image, *node, listener).is_none()
            || !(directory.is_zero() || broker.log_dirs.contains(&directory))
    };
    registration
        .replicas
        .iter()
        .filter(|node| is_offline(node))
        .map(|node| node.0)
        .collect()
}
