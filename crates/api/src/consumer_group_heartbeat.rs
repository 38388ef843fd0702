//! ConsumerGroupHeartbeat, versions 0–1: membership in a group of the consumer protocol (KIP-848).
//!
//! Everything about a member travels in its heartbeats: joining, its subscription, what it owns,
//! leaving. The answer has the member's epoch and, when it changed, its assignment. From version 1
//! the member makes its own id (KIP-1082) and may subscribe to a regular expression, which a thread
//! for computations matches against the topics.

use dohle_groups::requests::ConsumerGroupHeartbeat;
use dohle_groups::{Matches, Shard, Step};
use dohle_machine::Request;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::features::GROUP_VERSION;
use dohle_model::image::MetadataImage;
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;
use dohle_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseData;

use super::Call;
use super::origin::Origin;
use crate::context::Context;

pub(super) async fn handle(
    call: Call,
    request: ConsumerGroupHeartbeatRequestData,
) -> ConsumerGroupHeartbeatResponseData {
    if !is_enabled(&call.context, &call.context.image()) {
        return refused(ErrorCode::UnsupportedVersion);
    }
    if let Err(code) = authorize(&call, &request) {
        return refused(code);
    }
    let origin = Origin::of(&call);
    let heartbeat = AuthorizedHeartbeat {
        call: &call,
        heartbeat: ConsumerGroupHeartbeat {
            request: &request,
            caller: origin.caller(),
        },
    };
    let groups = &call.context.groups;
    let reply = groups.run(request.group_id.as_str(), &heartbeat).await;
    reply.unwrap_or_else(refused)
}

/// A heartbeat of a member for which expressions match the topics that it may describe. The members
/// of a group share what an expression matches: it depends on the member whose heartbeat looked it
/// up, as in Kafka.
struct AuthorizedHeartbeat<'a> {
    call: &'a Call,
    heartbeat: ConsumerGroupHeartbeat<'a>,
}

impl Request for AuthorizedHeartbeat<'_> {
    type Machine = Shard;
    type Reply = ConsumerGroupHeartbeatResponseData;

    const LOOKS_UP: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        self.heartbeat.plan(shard, step)
    }

    fn restrict(&self, matches: &mut Matches) {
        matches.retain_topics(|topic| {
            self.call
                .is_visible(Operation::Describe, ResourceType::Topic, topic)
        });
    }
}

/// Asks for Read on the group, and for Describe on each topic to which the member subscribes by
/// name.
fn authorize(call: &Call, request: &ConsumerGroupHeartbeatRequestData) -> Result<(), ErrorCode> {
    let group_id = request.group_id.as_str();
    call.authorize(Operation::Read, ResourceType::Group, group_id)?;
    let mut topics = request.subscribed_topic_names.iter().flatten();
    topics.try_for_each(|topic| {
        call.authorize(Operation::Describe, ResourceType::Topic, topic.as_str())
    })
}

/// Returns whether the consumer protocol is enabled in the cluster and in this broker's
/// configuration.
pub(super) fn is_enabled(context: &Context, image: &MetadataImage) -> bool {
    let level = image.feature_level(GROUP_VERSION);
    level >= 1 && context.config.serves_consumer_groups
}

fn refused(code: ErrorCode) -> ConsumerGroupHeartbeatResponseData {
    ConsumerGroupHeartbeatResponseData {
        error_code: code.code(),
        ..ConsumerGroupHeartbeatResponseData::default()
    }
}
