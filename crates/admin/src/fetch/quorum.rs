//! The metadata quorum.

use kacrab_protocol::KafkaUuid;
use kacrab_protocol::generated::{
    DescribeQuorumRequestData, RemoveRaftVoterRequestData, describe_quorum_request as request,
    describe_quorum_response as response,
};
use serde::Serialize;

use crate::cluster::{BrokerAddress, Cluster, ClusterError, Recipient};

/// The quorum, as its leader describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quorum {
    /// The cluster's id.
    pub cluster_id: String,
    /// The id of the leader.
    pub leader_id: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The offset up to which the log is committed.
    pub high_watermark: i64,
    /// The voters.
    pub voters: Vec<QuorumReplica>,
    /// The replicas that do not vote.
    pub observers: Vec<QuorumReplica>,
}

/// A replica of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuorumReplica {
    /// Its id.
    pub id: i32,
    /// The id of its directory.
    pub directory_id: String,
    /// Where it listens.
    pub endpoints: Vec<String>,
    /// The end of its log.
    pub log_end_offset: i64,
    /// When it last asked the leader for records, in milliseconds since 1970.
    pub last_fetch_timestamp: Option<i64>,
    /// When it last had all records of the leader, in milliseconds since 1970.
    pub last_caught_up_timestamp: Option<i64>,
}

/// Removes a controller, known by its id and the id of its directory, from the metadata quorum.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn remove_voter(
    cluster: &Cluster,
    voter_id: i32,
    voter_directory_id: KafkaUuid,
) -> Result<(), ClusterError> {
    let request = RemoveRaftVoterRequestData {
        voter_id,
        voter_directory_id,
        ..RemoveRaftVoterRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// Describes the metadata quorum.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn describe_quorum(cluster: &Cluster) -> Result<Quorum, ClusterError> {
    let request = DescribeQuorumRequestData {
        topics: vec![request::TopicData {
            topic_name: "__cluster_metadata".to_owned().into(),
            partitions: vec![request::PartitionData::default()],
            ..request::TopicData::default()
        }],
        ..DescribeQuorumRequestData::default()
    };
    let answer = cluster.call(Recipient::Any, &request).await?;
    let cluster_id = cluster.describe(false).await?.cluster_id.to_string();
    let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let partition = partitions.next().cloned().unwrap_or_default();
    let replicas = |states: &[response::ReplicaState]| {
        states
            .iter()
            .map(|state| replica(state, &answer.nodes))
            .collect()
    };
    Ok(Quorum {
        cluster_id,
        leader_id: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        high_watermark: partition.high_watermark,
        voters: replicas(&partition.current_voters),
        observers: replicas(&partition.observers),
    })
}

fn replica(state: &response::ReplicaState, nodes: &[response::Node]) -> QuorumReplica {
    let node = nodes.iter().find(|node| node.node_id == state.replica_id);
    let listeners = node.map_or(&[][..], |node| &node.listeners);
    let endpoints = listeners.iter().map(|listener| {
        let address = BrokerAddress {
            host: listener.host.to_string(),
            port: listener.port,
        };
        format!("{}://{address}", listener.name)
    });
    QuorumReplica {
        id: state.replica_id,
        directory_id: state.replica_directory_id.to_string(),
        endpoints: endpoints.collect(),
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: Some(state.last_fetch_timestamp).filter(|at| *at >= 0),
        last_caught_up_timestamp: Some(state.last_caught_up_timestamp).filter(|at| *at >= 0),
    }
}

impl Quorum {
    /// Returns the leader, if there is one.
    #[must_use]
    pub fn leader(&self) -> Option<&QuorumReplica> {
        self.voters.iter().find(|voter| voter.id == self.leader_id)
    }
}
