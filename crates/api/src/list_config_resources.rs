//! ListConfigResources, versions 0–1: the resources that have, or can have, a configuration
//! (KIP-1142).
//!
//! Version 0 lists client metrics subscriptions (KIP-714). Version 1 lists the
//! requested types, or all types: topics, brokers, broker loggers, client metrics and groups.

use std::collections::BTreeSet;

use dohle_model::ErrorCode;
use dohle_model::acl::Operation;
use dohle_model::record::ConfigResource as Resource;
use dohle_protocol::kinds::resource_type::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use dohle_protocol::messages::list_config_resources_request::ListConfigResourcesRequestData;
use dohle_protocol::messages::list_config_resources_response::{
    ConfigResource, ListConfigResourcesResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: ListConfigResourcesRequestData,
) -> ListConfigResourcesResponseData {
    let refused = |code: ErrorCode| ListConfigResourcesResponseData {
        error_code: code.code(),
        ..ListConfigResourcesResponseData::default()
    };
    if let Err(code) = call.authorize_cluster(Operation::DescribeConfigs) {
        return refused(code);
    }
    let all = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let asked: BTreeSet<i8> = request.resource_types.iter().copied().collect();
    let types: BTreeSet<i8> = match (call.version, asked.is_empty()) {
        (0, _) => BTreeSet::from([CLIENT_METRICS]),
        (_, true) => BTreeSet::from(all),
        (_, false) => asked,
    };
    if types.iter().any(|kind| !all.contains(kind)) {
        return refused(ErrorCode::UnsupportedVersion);
    }
    let image = call.context.image();
    let mut names: Vec<(i8, String)> = Vec::new();
    for kind in types {
        match kind {
            TOPIC => names.extend(image.topic_ids.keys().map(|name| (kind, name.to_string()))),
            BROKER | BROKER_LOGGER => {
                names.extend(image.brokers.keys().map(|id| (kind, id.to_string())));
            }
            _ => names.extend(image.configs.keys().filter_map(|resource| match resource {
                Resource::Group(name) if kind == GROUP => Some((kind, name.to_string())),
                Resource::ClientMetrics(name) if kind == CLIENT_METRICS => {
                    Some((kind, name.to_string()))
                }
                _ => None,
            })),
        }
    }
    let resource = |(resource_type, name): (i8, String)| ConfigResource {
        resource_name: wire::text(&name),
        resource_type,
        ..ConfigResource::default()
    };
    ListConfigResourcesResponseData {
        config_resources: names.into_iter().map(resource).collect(),
        ..ListConfigResourcesResponseData::default()
    }
}
