//! UpdateFeatures, versions 0–2: changes finalized levels of features, all of them or none
//! (KIP-584, KIP-778, KIP-1022). Forwarded to the active controller.
//!
//! Version 0 can only upgrade: Kafka ignores its `AllowDowngrade` since it has no ZooKeeper.
//! Versions 0 and 1 have a result for each feature, which is filled once all of them are changed.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::update_features_request::UpdateFeaturesRequestData;
use dohle_protocol::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    mut request: UpdateFeaturesRequestData,
) -> UpdateFeaturesResponseData {
    let refused = |error: ApiError| UpdateFeaturesResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..UpdateFeaturesResponseData::default()
    };
    if let Err(code) = call.authorize_cluster(Operation::Alter) {
        return refused(code.into());
    }
    for update in &mut request.feature_updates {
        update.allow_downgrade = false;
    }
    let deadline = wire::deadline(call.request.received, request.timeout_ms.max(1000));
    let mut response = match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(error),
    };
    if call.version <= 1 && response.error_code == 0 {
        let updates = request.feature_updates.into_iter();
        response.results = updates
            .map(|update| UpdatableFeatureResult {
                feature: update.feature,
                // Kafka's message for success.
                error_message: Some(wire::text("NONE")),
                ..UpdatableFeatureResult::default()
            })
            .collect();
    }
    response
}
