//! AlterPartition (KIP-497): a leader proposes the ISR of its partitions.

use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::PartitionChange;
use dohle_model::{
    ApiError, BrokerEpoch, ErrorCode, NodeId, PartitionIndex, TopicId, TopicIdPartition,
};
use dohle_rpc::{convert, v1};

use super::{Draft, brokers, topic_id};

/// AlterPartition. Each partition's outcome stands for itself.
///
/// # Errors
/// `BROKER_ID_NOT_REGISTERED`, `STALE_BROKER_EPOCH`: nothing was done.
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

/// Raises the partition epoch of a refused proposal. The leader gives a proposal up once it is
/// refused; an earlier copy of the same request that the network delayed must not be carried out
/// later, when its members have become eligible.
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
    target.leader_recovery_state = recovery;
    let Some(change) = draft.change(target) else {
        return Ok(());
    };
    // A finished reassignment can take the leader's replica away.
    let deposed = change.leader.is_some_and(|leader| leader != Some(broker));
    draft.push_change(id, Some(change));
    if deposed {
        Err(ErrorCode::NewLeaderElected)
    } else {
        Ok(())
    }
}

/// Whether the leader may propose this: the recovery state it proposes.
fn check(
    draft: &Draft,
    broker: NodeId,
    partition: &PartitionRegistration,
    wanted: &v1::AlterPartition,
) -> Result<LeaderRecoveryState, ErrorCode> {
    // Epochs ahead of ours mean that this controller is behind, so perhaps no longer the active
    // one.
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

/// Why a broker may not be in this ISR (KIP-841, KIP-903, KIP-858).
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
        return Err("its log was seen under another registration");
    }
    if !draft.has_online_directory(id, partition) {
        return Err("its log directory is offline");
    }
    Ok(())
}
