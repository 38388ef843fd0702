//! Sends the proposals and reports of partitions to the controller: many partitions in one request,
//! one request at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_model::partition::PartitionRegistration;
use dohle_model::{ErrorCode, LeaderEpoch, PartitionEpoch, TopicIdPartition};
use tokio::time::sleep;

use super::Partitions;
use super::controller_link::ControllerLink;
use crate::backoff::Backoff;
use crate::partition::Partition;
use crate::partition::shared::PartitionContext;
use crate::replica::{AlterFailure, IsrProposal};

/// The most partitions in one request.
const BATCH: usize = 1000;

/// How long to wait before a request is made again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// Proposals that were sent and got no response. The controller may still receive them.
type Unanswered = BTreeMap<TopicIdPartition, (LeaderEpoch, PartitionEpoch)>;

fn epochs(proposal: &IsrProposal) -> (LeaderEpoch, PartitionEpoch) {
    (proposal.leader_epoch, proposal.partition_epoch)
}

/// Proposes ISRs for as long as the registry lives.
pub(super) async fn alter_isr_loop(
    partitions: Weak<Partitions>,
    shared: Arc<PartitionContext>,
    controller: Arc<dyn ControllerLink>,
) {
    let mut backoff = BACKOFF;
    // Whether a failure was logged since the last response.
    let mut logged = false;
    let mut unanswered = Unanswered::new();
    loop {
        let mut proposals = shared.take_proposals(BATCH).await;
        let Some(partitions) = partitions.upgrade() else {
            return;
        };
        // Proposals from before an election or a newer registration are dropped.
        proposals.retain(|(id, proposal)| {
            let wanted = partitions
                .get(id)
                .is_some_and(|partition| partition.is_proposed(proposal));
            if !wanted {
                unanswered.remove(id);
            }
            wanted
        });
        if proposals.is_empty() {
            continue;
        }
        let answer = match controller.alter_partition(&proposals).await {
            Ok(answer) => answer,
            Err(error) => {
                if !std::mem::replace(&mut logged, true) {
                    tracing::warn!(
                        error,
                        partitions = proposals.len(),
                        "no answer to an ISR change; asking again until there is one"
                    );
                }
                let sent = proposals.iter();
                unanswered.extend(sent.map(|(id, proposal)| (*id, epochs(proposal))));
                shared.repropose(proposals);
                sleep(backoff.next_wait()).await;
                continue;
            }
        };
        let mut outcomes: BTreeMap<_, _> = answer.outcomes.into_iter().collect();
        let mut again = Vec::new();
        for (id, proposal) in proposals {
            let Some(partition) = partitions.get(&id) else {
                continue;
            };
            let earlier = unanswered.remove(&id);
            let in_doubt = answer.repeated || earlier == Some(epochs(&proposal));
            let outcome = outcomes.remove(&id);
            if !settle(&partition, &proposal, outcome, in_doubt) {
                unanswered.insert(id, epochs(&proposal));
                again.push((id, proposal));
            }
        }
        if again.is_empty() {
            (backoff, logged) = (BACKOFF, false);
        } else {
            shared.repropose(again);
            sleep(backoff.next_wait()).await;
        }
    }
}

/// Processes a response. Returns `false` when the proposal is to be sent again. `in_doubt` is
/// whether an earlier copy of the request got no response.
fn settle(
    partition: &Partition,
    proposal: &IsrProposal,
    outcome: Option<Result<PartitionRegistration, ErrorCode>>,
    in_doubt: bool,
) -> bool {
    let code = match outcome {
        Some(Ok(registration)) => {
            partition.on_isr_altered(&registration);
            return true;
        }
        Some(Err(code)) => code,
        None => return false,
    };
    let failure = match code {
        ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted if in_doubt => {
            AlterFailure::RevertedInDoubt
        }
        ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => AlterFailure::Reverted,
        ErrorCode::FencedLeaderEpoch
        | ErrorCode::InvalidUpdateVersion
        | ErrorCode::UnknownTopicId
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::InvalidRequest
        | ErrorCode::NewLeaderElected => AlterFailure::Outdated,
        _ => return false,
    };
    let isr: Vec<i32> = proposal.isr.iter().map(|member| member.id.0).collect();
    tracing::info!(
        partition = %partition.name(), %code, ?isr, leader_epoch = %proposal.leader_epoch,
        partition_epoch = %proposal.partition_epoch, "ISR change refused"
    );
    partition.on_isr_refused(proposal, failure);
    true
}

/// Reports which directories hold replicas for as long as the process lives.
pub(super) async fn assign_dirs_loop(
    shared: Arc<PartitionContext>,
    controller: Arc<dyn ControllerLink>,
) {
    let mut backoff = BACKOFF;
    // Whether a failure was logged since the last response.
    let mut logged = false;
    loop {
        let assignments = shared.take_assignments(BATCH).await;
        if let Err(error) = controller.assign_dirs(&assignments).await {
            if !std::mem::replace(&mut logged, true) {
                tracing::warn!(
                    error,
                    replicas = assignments.len(),
                    "no answer to a directory assignment; asking again until there is one"
                );
            }
            for (id, dir) in assignments {
                shared.assign_dir(id, dir);
            }
            sleep(backoff.next_wait()).await;
        } else {
            (backoff, logged) = (BACKOFF, false);
        }
    }
}

#[cfg(test)]
mod tests;
