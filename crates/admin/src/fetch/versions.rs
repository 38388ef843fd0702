//! What a broker supports: versions of requests, levels of features.

use kacrab_protocol::generated::{ApiVersionsRequestData, ApiVersionsResponseData};

use crate::cluster::{Cluster, ClusterError, Target};

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
    let target = broker.map_or(Target::Any, Target::Broker);
    cluster.call_once(target, &request).await
}
