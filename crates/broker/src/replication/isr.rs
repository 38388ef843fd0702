//! Sends what partitions want from the controller, many partitions in one request, one request at a
//! time.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_model::ErrorCode;
use dohle_model::partition::PartitionRegistration;
use tokio::time::sleep;

use super::link::ControllerLink;
use crate::partition::Partition;
use crate::partition::shared::Shared;
use crate::partitions::Partitions;
use crate::replica::{AlterFailure, IsrProposal};

/// Partitions in one request.
const BATCH: usize = 1000;
const BACKOFF: Duration = Duration::from_millis(50);

/// Proposes ISRs for as long as the registry lives.
pub(crate) async fn alter_isr_loop(
    partitions: Weak<Partitions>,
    shared: Arc<Shared>,
    controller: Arc<dyn ControllerLink>,
) {
    loop {
        let mut proposals = shared.take_proposals(BATCH).await;
        let Some(partitions) = partitions.upgrade() else {
            return;
        };
        // What an election or a newer registration has overtaken is not worth asking.
        proposals.retain(|(id, proposal)| {
            partitions
                .get(id)
                .is_some_and(|partition| partition.is_proposed(proposal))
        });
        if proposals.is_empty() {
            continue;
        }
        let outcomes = match controller.alter_partition(&proposals).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(
                    error,
                    partitions = proposals.len(),
                    "ISR change is tried again"
                );
                shared.repropose(proposals);
                sleep(BACKOFF).await;
                continue;
            }
        };
        let mut outcomes: BTreeMap<_, _> = outcomes.into_iter().collect();
        let mut again = Vec::new();
        for (id, proposal) in proposals {
            let Some(partition) = partitions.get(&id) else {
                continue;
            };
            let outcome = outcomes.remove(&id);
            if !settle(&partition, &proposal, outcome) {
                again.push((id, proposal));
            }
        }
        if !again.is_empty() {
            shared.repropose(again);
            sleep(BACKOFF).await;
        }
    }
}

/// Takes in an answer. `false` when the proposal is to be made again.
fn settle(
    partition: &Partition,
    proposal: &IsrProposal,
    outcome: Option<Result<PartitionRegistration, ErrorCode>>,
) -> bool {
    let code = match outcome {
        Some(Ok(registration)) => {
            tracing::info!(
                partition = %partition.name(),
                leader_epoch = %registration.leader_epoch,
                isr = ?registration.isr,
                "ISR changed"
            );
            partition.on_isr_altered(&registration);
            return true;
        }
        Some(Err(code)) => code,
        None => return false,
    };
    let failure = match code {
        ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => AlterFailure::Reverted,
        ErrorCode::FencedLeaderEpoch
        | ErrorCode::InvalidUpdateVersion
        | ErrorCode::UnknownTopicId
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::InvalidRequest
        | ErrorCode::NewLeaderElected => AlterFailure::Outdated,
        _ => return false,
    };
    tracing::info!(partition = %partition.name(), %code, "ISR change refused");
    partition.on_isr_refused(proposal, failure);
    true
}

/// Reports which directories hold replicas for as long as the process lives.
pub(crate) async fn assign_dirs_loop(shared: Arc<Shared>, controller: Arc<dyn ControllerLink>) {
    loop {
        let assignments = shared.take_assignments(BATCH).await;
        if let Err(error) = controller.assign_dirs(&assignments).await {
            tracing::warn!(error, "directory assignment is told again");
            for (id, dir) in assignments {
                shared.assign_dir(id, dir);
            }
            sleep(BACKOFF * 4).await;
        }
    }
}
