//! DescribeQuorum, versions 0–2: the metadata quorum as its leader knows it (KIP-595, KIP-836,
//! KIP-853). The one partition there is, is `__cluster_metadata-0`.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaUuid;
use dohle_protocol::messages::describe_quorum_request::DescribeQuorumRequestData;
use dohle_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponseData, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use dohle_rpc::v1;

use super::create_topics::METADATA_TOPIC;
use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: DescribeQuorumRequestData,
) -> DescribeQuorumResponseData {
    let deadline = call.request.received + REQUEST_TIMEOUT;
    let controller = &call.context.controller;
    let quorum = controller
        .describe_quorum(v1::DescribeQuorumRequest {}, deadline)
        .await;
    match quorum {
        Ok(quorum) => to_wire(&call, &request, &quorum),
        Err(error) => {
            let error = ApiError::from(error);
            DescribeQuorumResponseData {
                error_code: error.code.code(),
                error_message: (call.version >= 2).then(|| wire::text(&error.message)),
                ..DescribeQuorumResponseData::default()
            }
        }
    }
}

fn to_wire(
    call: &Call,
    request: &DescribeQuorumRequestData,
    quorum: &v1::DescribeQuorumResponse,
) -> DescribeQuorumResponseData {
    let topics = request.topics.iter().map(|topic| {
        let partition = |index: i32| {
            if topic.topic_name.as_str() == METADATA_TOPIC && index == 0 {
                partition(call.version, quorum)
            } else {
                let code = ErrorCode::UnknownTopicOrPartition;
                let message = format!("the quorum's only partition is {METADATA_TOPIC}-0");
                PartitionData {
                    partition_index: index,
                    error_code: code.code(),
                    error_message: (call.version >= 2).then(|| wire::text(&message)),
                    ..PartitionData::default()
                }
            }
        };
        TopicData {
            partitions: topic
                .partitions
                .iter()
                .map(|one| partition(one.partition_index))
                .collect(),
            topic_name: topic.topic_name.clone(),
            ..TopicData::default()
        }
    });
    let mut response = DescribeQuorumResponseData {
        topics: topics.collect(),
        ..DescribeQuorumResponseData::default()
    };
    if call.version >= 2 {
        response.nodes = nodes(quorum);
    }
    response
}

fn partition(version: i16, quorum: &v1::DescribeQuorumResponse) -> PartitionData {
    let replicas =
        |list: &[v1::QuorumReplica]| list.iter().map(|one| replica(version, one)).collect();
    PartitionData {
        partition_index: 0,
        leader_id: quorum.leader_id,
        leader_epoch: quorum.leader_epoch,
        high_watermark: quorum.high_watermark,
        current_voters: replicas(&quorum.voters),
        observers: replicas(&quorum.observers),
        ..PartitionData::default()
    }
}

fn replica(version: i16, replica: &v1::QuorumReplica) -> ReplicaState {
    let mut state = ReplicaState {
        replica_id: replica.node_id,
        log_end_offset: replica.log_end_offset,
        last_fetch_timestamp: -1,
        last_caught_up_timestamp: -1,
        ..ReplicaState::default()
    };
    if version >= 1 {
        state.last_fetch_timestamp = replica.last_fetch_timestamp;
        state.last_caught_up_timestamp = replica.last_caught_up_timestamp;
    }
    if version >= 2 {
        let id = <[u8; 16]>::try_from(&replica.directory_id[..]).unwrap_or_default();
        let bits = u128::from_be_bytes(id);
        state.replica_directory_id = KafkaUuid::from_parts((bits >> 64) as u64, bits as u64);
    }
    state
}

fn nodes(quorum: &v1::DescribeQuorumResponse) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for one in &quorum.nodes {
        let listener = Listener {
            name: wire::text(&one.listener),
            host: wire::text(&one.host),
            port: u16::try_from(one.port).unwrap_or(u16::MAX),
            ..Listener::default()
        };
        match nodes.iter_mut().find(|node| node.node_id == one.node_id) {
            Some(node) => node.listeners.push(listener),
            None => nodes.push(Node {
                node_id: one.node_id,
                listeners: vec![listener],
                ..Node::default()
            }),
        }
    }
    nodes
}
