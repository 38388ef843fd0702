//! The brokers of a cluster: their registrations and their log directories.

use kacrab_protocol::generated::{
    DescribeLogDirsRequestData, DescribeLogDirsResponseData, UnregisterBrokerRequestData,
};

use crate::cluster::{Cluster, ClusterError, Recipient};

/// Removes the registration of a broker that is gone for good.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn unregister_broker(cluster: &Cluster, broker_id: i32) -> Result<(), ClusterError> {
    let request = UnregisterBrokerRequestData {
        broker_id,
        ..UnregisterBrokerRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// Asks a broker for all that its log directories hold. Each directory has an outcome of its own.
///
/// # Errors
/// When the broker does not answer, or refuses.
pub async fn describe_log_dirs(
    cluster: &Cluster,
    broker_id: i32,
) -> Result<DescribeLogDirsResponseData, ClusterError> {
    let request = DescribeLogDirsRequestData {
        topics: None,
        ..DescribeLogDirsRequestData::default()
    };
    cluster
        .call_once(Recipient::Broker(broker_id), &request)
        .await
}
