//! ApiVersions, versions 0–5: which APIs and versions this broker serves, and which features the
//! cluster supports and has finalized.
//!
//! Answered from the table of APIs, before authentication too. The pipeline answers a request of an
//! unknown version: in version 0, with UNSUPPORTED_VERSION and the versions of ApiVersions itself
//! (KIP-511). Features are returned from version 3 (KIP-584); those with a lowest level of 0 only
//! from version 4, as older Java clients fail on them (KAFKA-17492).
//!
//! The APIs of client telemetry are listed once there is a subscription: librdkafka writes a line
//! to its log when it finds them.
//!
//! In version 5 a client may name the cluster and the node that it means to have connected to, both
//! or none. At another one it gets REBOOTSTRAP_REQUIRED, and looks for its cluster anew (KIP-1242).

use std::sync::Arc;

use dohle_model::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponseData, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::{Call, ClientSoftware, client_telemetry, wire};

/// The APIs of client telemetry (KIP-714).
const TELEMETRY: [ApiKey; 2] = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];

/// The id of a node that a request does not name.
const NO_NODE: i32 = -1;

pub(super) async fn handle(call: Call, request: ApiVersionsRequestData) -> ApiVersionsResponseData {
    if call.version >= 3 && !is_valid(&request) {
        return refusal(ErrorCode::InvalidRequest);
    }
    if !is_meant(&call, &request) {
        return refusal(ErrorCode::RebootstrapRequired);
    }
    if call.version >= 3 {
        let software = ClientSoftware {
            name: request.client_software_name.to_string(),
            version: request.client_software_version.to_string(),
        };
        // The first ApiVersions request of a connection counts, as in Kafka.
        let _ = call.connection.software.set(Arc::new(software));
    }
    let image = call.context.image();
    let is_listed = |api: &&ApiVersion| {
        !TELEMETRY.iter().any(|key| *key as i16 == api.api_key) || client_telemetry::is_used(&image)
    };
    let mut response = ApiVersionsResponseData {
        api_keys: call.advertised.iter().filter(is_listed).cloned().collect(),
        ..ApiVersionsResponseData::default()
    };
    if call.version >= 3 {
        let offset = i64::try_from(image.offset.0).unwrap_or(i64::MAX);
        response.finalized_features_epoch = offset;
        response.finalized_features = image
            .features
            .iter()
            .map(|(name, level)| FinalizedFeatureKey {
                name: wire::text(name),
                max_version_level: *level,
                min_version_level: *level,
                ..FinalizedFeatureKey::default()
            })
            .collect();
        let supported = image.brokers.get(&call.context.node_id);
        response.supported_features = supported
            .iter()
            .flat_map(|registration| &registration.features)
            .filter(|feature| call.version >= 4 || feature.level_min > 0)
            .map(|feature| SupportedFeatureKey {
                name: wire::text(&feature.name),
                min_version: feature.level_min,
                max_version: feature.level_max,
                ..SupportedFeatureKey::default()
            })
            .collect();
    }
    response
}

fn refusal(code: ErrorCode) -> ApiVersionsResponseData {
    ApiVersionsResponseData {
        error_code: code.code(),
        ..ApiVersionsResponseData::default()
    }
}

/// Returns whether the request names this node, or none.
fn is_meant(call: &Call, request: &ApiVersionsRequestData) -> bool {
    let context = &call.context;
    request.cluster_id.as_ref().is_none_or(|cluster_id| {
        cluster_id.as_str() == context.cluster_id && request.node_id == context.node_id.0
    })
}

/// Kafka's rule for the software's name and version: letters and digits, with dots and dashes
/// inside. The ids of a cluster and of a node come together.
fn is_valid(request: &ApiVersionsRequestData) -> bool {
    let valid = |text: &str| {
        let plain = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
            && plain(text.chars().next())
            && plain(text.chars().next_back())
    };
    request.cluster_id.is_some() == (request.node_id != NO_NODE)
        && valid(request.client_software_name.as_str())
        && valid(request.client_software_version.as_str())
}
