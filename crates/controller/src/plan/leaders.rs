//! Elections that somebody asks for (ElectLeaders, KIP-183 and KIP-460), and those the controller
//! makes by itself: for partitions without a leader, and back to preferred leaders.

use dohle_model::{ApiError, ErrorCode, PartitionIndex, TopicIdPartition};
use dohle_rpc::v1;

use super::election::Election;
use super::{Draft, outcome};

/// The most elections one round of rebalancing makes, so that a batch stays small (Kafka's
/// `MAX_ELECTIONS_PER_IMBALANCE`).
pub const ELECTIONS_PER_ROUND_MAX: usize = 1000;

/// ElectLeaders. With `all`, partitions that need no election are left out of the answer.
///
/// # Errors
/// `INVALID_REQUEST` for an election type other than 0 (preferred) and 1 (unclean).
pub fn elect(
    draft: &mut Draft,
    request: &v1::ElectLeadersRequest,
) -> Result<Vec<v1::ElectLeadersResult>, ApiError> {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        other => {
            return Err(ErrorCode::InvalidRequest.because(format!(
                "election type {other} is unknown; 0 is preferred, 1 is unclean"
            )));
        }
    };
    let mut results = Vec::new();
    if request.all {
        // Only these can gain by an election.
        let mut candidates: Vec<TopicIdPartition> =
            draft.indexes.leaderless.iter().copied().collect();
        if election == Election::Preferred {
            candidates.extend(draft.indexes.imbalanced.iter().copied());
        }
        for id in candidates {
            let Some(topic) = draft.topic_name(id) else {
                continue;
            };
            let result = elect_one(draft, id, topic.as_str(), election);
            draft.may_split();
            results.push(v1::ElectLeadersResult {
                topic: topic.to_string(),
                partition: id.partition.0,
                outcome: Some(outcome(&result)),
            });
        }
        return Ok(results);
    }
    for wanted in &request.partitions {
        let result = match draft.image.topic_ids.get(wanted.topic.as_str()) {
            Some(topic_id) => {
                let partition = PartitionIndex(wanted.partition);
                let id = TopicIdPartition {
                    topic_id: *topic_id,
                    partition,
                };
                elect_one(draft, id, &wanted.topic, election)
            }
            None => Err(ErrorCode::UnknownTopicOrPartition
                .because(format!("there is no topic {}", wanted.topic))),
        };
        results.push(v1::ElectLeadersResult {
            topic: wanted.topic.clone(),
            partition: wanted.partition,
            outcome: Some(outcome(&result)),
        });
    }
    Ok(results)
}

fn elect_one(
    draft: &mut Draft,
    id: TopicIdPartition,
    topic: &str,
    election: Election,
) -> Result<(), ApiError> {
    let index = id.partition;
    let (Some(name), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
        return Err(ErrorCode::UnknownTopicOrPartition
            .because(format!("there is no partition {topic}-{index}")));
    };
    let needed = match election {
        Election::Preferred => partition.leader != partition.preferred_leader(),
        Election::Online | Election::Unclean => partition.leader.is_none(),
    };
    if !needed {
        return Err(ErrorCode::ElectionNotNeeded.because(format!(
            "{topic}-{index} has the leader that the election would give it"
        )));
    }
    let mut target = draft.target(&name, &partition);
    target.election = election;
    let change = draft.change(target);
    let elected = change.as_ref().and_then(|change| change.leader.flatten());
    if elected.is_none() {
        let alive = |node: &dohle_model::NodeId| draft.is_eligible(*node);
        let online: Vec<_> = partition.replicas.iter().copied().filter(alive).collect();
        let state = format!(
            "{topic}-{index} has replicas [{}], of which [{}] are online and [{}] in sync",
            super::listed(&partition.replicas),
            super::listed(&online),
            super::listed(&partition.isr),
        );
        return Err(match election {
            Election::Preferred => ErrorCode::PreferredLeaderNotAvailable.because(state),
            Election::Online | Election::Unclean => {
                ErrorCode::EligibleLeadersNotAvailable.because(state)
            }
        });
    }
    draft.push_change(id, change);
    Ok(())
}

/// Gives a partition without a leader one, if its topic's rules allow.
pub fn elect_leaderless(draft: &mut Draft, id: TopicIdPartition) {
    let (Some(topic), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
        return;
    };
    if partition.leader.is_none() {
        let change = draft.change(draft.target(&topic, &partition));
        draft.push_change(id, change);
    }
}

/// One round of moving leadership back to preferred leaders, of at most
/// [`ELECTIONS_PER_ROUND_MAX`] elections: whether it ended at that limit.
pub fn rebalance(draft: &mut Draft) -> bool {
    let imbalanced: Vec<TopicIdPartition> = draft.indexes.imbalanced.iter().copied().collect();
    let mut elections = 0;
    for id in imbalanced {
        let (Some(topic), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
            continue;
        };
        let preferred = partition.preferred_leader();
        if !preferred.is_some_and(|node| partition.isr.contains(&node) && draft.is_eligible(node)) {
            continue;
        }
        let mut target = draft.target(&topic, &partition);
        target.election = Election::Preferred;
        let change = draft.change(target);
        elections += usize::from(draft.push_change(id, change));
        draft.may_split();
        if elections == ELECTIONS_PER_ROUND_MAX {
            return true;
        }
    }
    false
}
