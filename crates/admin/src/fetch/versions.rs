//! What a broker supports: versions of requests, levels of features.

use std::collections::BTreeMap;

use kacrab_protocol::generated::{
    ApiVersionsRequestData, ApiVersionsResponseData, FeatureUpdateKey, UpdateFeaturesRequestData,
    UpdateFeaturesResponseData,
};

use crate::cluster::{Cluster, ClusterError, Recipient};

/// Asks a broker, or any, for the versions and features that it supports.
///
/// # Errors
/// When the broker does not answer, or refuses.
pub async fn api_versions(
    cluster: &Cluster,
    broker: Option<i32>,
) -> Result<ApiVersionsResponseData, ClusterError> {
    let request = ApiVersionsRequestData {
        client_software_name: "dohle".to_owned().into(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned().into(),
        ..ApiVersionsRequestData::default()
    };
    let target = broker.map_or(Recipient::Any, Recipient::Broker);
    cluster.call_once(target, &request).await
}

/// The direction in which the levels of features are changed. The numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureUpdate {
    /// To higher levels.
    Upgrade = 1,
    /// To lower levels, where no metadata are lost by it.
    SafeDowngrade = 2,
    /// To lower levels, even if metadata are lost by it.
    UnsafeDowngrade = 3,
}

/// Changes the levels of features, or only checks whether they could be changed. Returns the answer
/// as it is: each feature has an outcome of its own.
///
/// # Errors
/// When the cluster does not answer.
pub async fn update_features(
    cluster: &Cluster,
    levels: &BTreeMap<String, i16>,
    update: FeatureUpdate,
    validate_only: bool,
) -> Result<UpdateFeaturesResponseData, ClusterError> {
    let keys = levels.iter().map(|(name, level)| FeatureUpdateKey {
        feature: name.clone().into(),
        max_version_level: *level,
        upgrade_type: update as i8,
        ..FeatureUpdateKey::default()
    });
    let request = UpdateFeaturesRequestData {
        timeout_ms: cluster.request_timeout_ms(),
        feature_updates: keys.collect(),
        validate_only,
        ..UpdateFeaturesRequestData::default()
    };
    cluster.ask(&request).await
}
