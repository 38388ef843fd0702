//! FindCoordinator, versions 0–6: the coordinator of a group or of a transactional id; several keys
//! in one request from version 4 (KIP-699).
//!
//! A group's coordinator is the leader of its partition of `__consumer_offsets`, that of a
//! transactional id (type 1) the leader of its partition of `__transaction_state`. The topic is
//! created when it is first needed; the response waits a moment for it. Keys of share groups (type
//! 2) are refused with INVALID_REQUEST, as in Kafka without a share coordinator.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, NodeId};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::find_coordinator_request::FindCoordinatorRequestData;
use dohle_protocol::messages::find_coordinator_response::{
    Coordinator as Found, FindCoordinatorResponseData,
};
use tokio::time::Instant;

use super::{Call, wire};
use crate::resolve::live_endpoint;
use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::transactions::TRANSACTION_TOPIC;
use dohle_coordinator::{InternalTopic, partition_of};

/// How long a request waits for a topic that it has created.
const CREATE_TIMEOUT: Duration = Duration::from_secs(3);

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The address of a coordinator.
struct Place {
    id: NodeId,
    host: String,
    port: i32,
}

pub(super) async fn handle(
    call: Call,
    request: FindCoordinatorRequestData,
) -> FindCoordinatorResponseData {
    let keys = if call.version >= 4 {
        request.coordinator_keys
    } else {
        vec![request.key]
    };
    let mut found = Vec::with_capacity(keys.len());
    match coordinators_of(request.key_type) {
        Ok(coordinators) => find(&call, coordinators, keys, &mut found).await,
        Err(error) => found.extend(keys.into_iter().map(|key| refused(key, &error))),
    }
    if call.version >= 4 {
        return FindCoordinatorResponseData {
            coordinators: found,
            ..FindCoordinatorResponseData::default()
        };
    }
    let found = found.pop().unwrap_or_default();
    FindCoordinatorResponseData {
        error_code: found.error_code,
        error_message: found.error_message.filter(|_| call.version >= 1),
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponseData::default()
    }
}

/// Coordinators of one type: the topic whose leaders they are, and the type of the resources that a
/// client must be allowed to describe.
#[derive(Clone, Copy)]
struct Coordinators {
    topic: &'static InternalTopic,
    resources: ResourceType,
}

fn coordinators_of(key_type: i8) -> Result<Coordinators, ApiError> {
    match key_type {
        GROUP => Ok(Coordinators {
            topic: &OFFSETS_TOPIC,
            resources: ResourceType::Group,
        }),
        TRANSACTION => Ok(Coordinators {
            topic: &TRANSACTION_TOPIC,
            resources: ResourceType::TransactionalId,
        }),
        other => Err(ErrorCode::InvalidRequest
            .because(format!("there are no coordinators of type {other} here"))),
    }
}

/// Finds the coordinators of the keys. Creates the topic only for a client that may describe one of
/// them.
async fn find(
    call: &Call,
    Coordinators { topic, resources }: Coordinators,
    keys: Vec<KafkaString>,
    found: &mut Vec<Found>,
) {
    let mut known = None;
    for key in keys {
        if let Err(code) = call.authorize(Operation::Describe, resources, key.as_str()) {
            found.push(refused(key, &code.into()));
            continue;
        }
        let image = match known.take() {
            Some(image) => image,
            None => ensured(call, topic).await,
        };
        let place = match &image {
            Ok(image) => place(call, topic, image, key.as_str()).await,
            Err(error) => Err(error.clone()),
        };
        known = Some(image);
        found.push(match place {
            Ok(place) => coordinator(key, &place),
            Err(error) => refused(key, &error),
        });
    }
}

/// Returns metadata that contain the topic.
async fn ensured(
    call: &Call,
    topic: &'static InternalTopic,
) -> Result<Arc<MetadataImage>, ApiError> {
    let (context, deadline) = (&call.context, call.request.received + CREATE_TIMEOUT);
    let image = context.internal_topics.ensure(topic, deadline);
    image.await.map_err(|error| {
        let message = format!("{} does not exist yet: {}", topic.name, error.message);
        ErrorCode::CoordinatorNotAvailable.because(message)
    })
}

async fn place(
    call: &Call,
    topic: &InternalTopic,
    image: &MetadataImage,
    key: &str,
) -> Result<Place, ApiError> {
    let listener = &*call.request.listener;
    if let Some(place) = place_in(image, topic, key, listener) {
        return Ok(place);
    }
    // The batch that creates a topic has its leaders too, unless an election is needed, which may
    // happen soon.
    let metadata = &call.context.metadata;
    let led = |image: &MetadataImage| place_in(image, topic, key, listener).is_some();
    let deadline = (call.request.received + LEADER_TIMEOUT).max(Instant::now());
    let image = metadata.wait_until(led, deadline).await;
    let place = image.and_then(|image| place_in(&image, topic, key, listener));
    place.ok_or_else(|| {
        ErrorCode::CoordinatorNotAvailable.because(format!(
            "the partition of {} for this key has no leader with an address on listener {listener}",
            topic.name
        ))
    })
}

/// How long a request waits for the election of a coordinator.
const LEADER_TIMEOUT: Duration = Duration::from_millis(500);

fn place_in(
    image: &MetadataImage,
    topic: &InternalTopic,
    key: &str,
    listener: &str,
) -> Option<Place> {
    let index = partition_of(image, topic.name, key)?;
    let topic = image.topic(topic.name)?;
    let id = topic.partitions.get(&index)?.leader?;
    let endpoint = live_endpoint(image, id, listener)?;
    Some(Place {
        id,
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
    })
}

fn coordinator(key: KafkaString, place: &Place) -> Found {
    Found {
        key,
        node_id: place.id.0,
        host: wire::text(&place.host),
        port: place.port,
        // Kafka's text for the error code 0.
        error_message: Some(wire::text("NONE")),
        ..Found::default()
    }
}

fn refused(key: KafkaString, error: &ApiError) -> Found {
    Found {
        key,
        node_id: -1,
        host: KafkaString::default(),
        port: -1,
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..Found::default()
    }
}
