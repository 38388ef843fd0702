//! AlterPartition (KIP-497): a leader proposes the in-sync replicas (ISR) of its partitions.

use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::PartitionChange;
use dohle_model::{
    ApiError, BrokerEpoch, ErrorCode, NodeId, PartitionIndex, TopicId, TopicIdPartition,
};
use dohle_rpc::{convert, v1};

use super::{Draft, brokers, topic_id};

/// Plans AlterPartition. Each partition has its own outcome.
///
/// # Errors
/// `BROKER_ID_NOT_REGISTERED` or `STALE_BROKER_EPOCH` for the whole request.
pub fn alter(
    draft: &mut Draft,
    request: &v1::AlterPartitionRequest,
) -> Result<Vec<v1::AlterPartitionResult>, ApiError> {
    let broker = NodeId(request.broker_id);
    brokers::check_epoch(draft, broker, BrokerEpoch(request.broker_epoch))?;
    let mut results = Vec::with_capacity(request.partitions.len());
    for wanted in &request.partitions {
        let topic = topic_id(&wanted.topic_id).unwrap_or(TopicId::ZERO);
        let id = TopicIdPartition {
            topic_id: topic,
            partition: PartitionIndex(wanted.partition),
        };
        let result = alter_one(draft, broker, id, wanted);
        if result == Err(ErrorCode::IneligibleReplica) {
            outdate(draft, id);
        }
        draft.may_split();
        let code = result.err().map_or(0, |code| i32::from(code.code()));
        let registration = draft.partition(id).map(|p| convert::partition_to_wire(&p));
        results.push(v1::AlterPartitionResult {
            topic_id: wanted.topic_id.clone(),
            partition: wanted.partition,
            code,
            registration,
        });
    }
    Ok(results)
}

/// Raises the partition epoch after a refused proposal. The leader drops a refused proposal, so a
/// copy of the same request that the network delayed must not be applied later, when its members
/// have become eligible.
fn outdate(draft: &mut Draft, id: TopicIdPartition) {
    draft.push_change(id, Some(PartitionChange::default()));
}

fn alter_one(
    draft: &mut Draft,
    broker: NodeId,
    id: TopicIdPartition,
    wanted: &v1::AlterPartition,
) -> Result<(), ErrorCode> {
    let topic = draft.topic_name(id).ok_or(ErrorCode::UnknownTopicId)?;
    let partition = draft
        .partition(id)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let recovery = check(draft, broker, &partition, wanted)?;
    let mut target = draft.target(&topic, &partition);
    target.isr = wanted
        .new_isr
        .iter()
        .map(|member| NodeId(member.broker_id))
        .collect();
    // Leaders of Kafka propose sets. An ISR that did not change since the topic's creation has the
    // order of the replicas.
    target.isr.sort_unstable();
    target.leader_recovery_state = recovery;
    let Some(change) = draft.change(target) else {
        return Ok(());
    };
    // A finished reassignment may have removed the leader's replica.
    let deposed = change.leader.is_some_and(|leader| leader != Some(broker));
    draft.push_change(id, Some(change));
    if deposed {
        Err(ErrorCode::NewLeaderElected)
    } else {
        Ok(())
    }
}

/// Checks whether the leader may make this proposal. Returns the recovery state that it proposes.
fn check(
    draft: &Draft,
    broker: NodeId,
    partition: &PartitionRegistration,
    wanted: &v1::AlterPartition,
) -> Result<LeaderRecoveryState, ErrorCode> {
    // Epochs ahead of the metadata's mean that this controller is behind, and perhaps no longer the
    // active one.
    if wanted.leader_epoch > partition.leader_epoch.0
        || wanted.partition_epoch > partition.partition_epoch.0
    {
        return Err(ErrorCode::NotController);
    }
    if wanted.leader_epoch < partition.leader_epoch.0 {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if partition.leader != Some(broker) {
        return Err(ErrorCode::InvalidRequest);
    }
    if wanted.partition_epoch < partition.partition_epoch.0 {
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    let recovery = match wanted.leader_recovery_state {
        0 => LeaderRecoveryState::Recovered,
        1 => LeaderRecoveryState::Recovering,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let isr: Vec<NodeId> = wanted.new_isr.iter().map(|m| NodeId(m.broker_id)).collect();
    let is_set = isr
        .iter()
        .enumerate()
        .all(|(at, node)| !isr[..at].contains(node));
    let are_replicas = isr.iter().all(|node| partition.replicas.contains(node));
    let recovering = recovery == LeaderRecoveryState::Recovering;
    let was_recovered = partition.leader_recovery_state == LeaderRecoveryState::Recovered;
    if !is_set
        || !are_replicas
        || !isr.contains(&broker)
        || (recovering && (isr.len() > 1 || was_recovered))
    {
        return Err(ErrorCode::InvalidRequest);
    }
    for member in &wanted.new_isr {
        if let Err(reason) = check_eligible(draft, partition, member) {
            tracing::debug!(broker = %member.broker_id, reason, "ineligible for the ISR");
            return Err(ErrorCode::IneligibleReplica);
        }
    }
    Ok(recovery)
}

/// Returns why a broker may not be in this ISR (KIP-841, KIP-903, KIP-858).
fn check_eligible(
    draft: &Draft,
    partition: &PartitionRegistration,
    member: &v1::IsrMember,
) -> Result<(), &'static str> {
    let id = NodeId(member.broker_id);
    let Some(broker) = draft.image.brokers.get(&id) else {
        return Err("not registered");
    };
    if broker.in_controlled_shutdown {
        return Err("shutting down");
    }
    if broker.fenced {
        return Err("fenced");
    }
    if member.broker_epoch != -1 && member.broker_epoch != broker.epoch.0 {
        return Err("its registration has changed since the leader saw its log");
    }
    if !draft.has_online_directory(id, partition) {
        return Err("its log directory is offline");
    }
    Ok(())
}
