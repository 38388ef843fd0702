//! Elections: requested ones (ElectLeaders, KIP-183 and KIP-460), and those that the controller
//! starts itself, for partitions without a leader and to move leadership back to preferred leaders.

use std::collections::HashMap;

use dohle_model::{ApiError, ErrorCode, PartitionIndex, TopicIdPartition};
use dohle_protocol::messages::elect_leaders_request::ElectLeadersRequestData;
use dohle_protocol::messages::elect_leaders_response::{
    ElectLeadersResponseData, PartitionResult, ReplicaElectionResult,
};
use dohle_protocol::{KafkaString, text};

use super::election::Election;
use super::{Draft, code_and_message};

/// The most elections in one round of rebalancing, so that a batch stays small (Kafka's
/// `MAX_ELECTIONS_PER_IMBALANCE`).
pub const ELECTIONS_PER_ROUND_MAX: usize = 1000;

/// Plans ElectLeaders. The response lists the topics as the request does, each as often. A request
/// without partitions applies to all of them, and the response lists all topics, with those
/// partitions that need an election.
///
/// # Errors
/// INVALID_REQUEST for an election type other than 0 (preferred) and 1 (unclean).
pub fn elect(
    draft: &mut Draft,
    request: &ElectLeadersRequestData,
) -> Result<ElectLeadersResponseData, ApiError> {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        other => {
            return Err(ErrorCode::InvalidRequest.because(format!(
                "election type {other} is unknown; 0 is preferred, 1 is unclean"
            )));
        }
    };
    let Some(topics) = &request.topic_partitions else {
        let mut results = Results::of_all(draft);
        // Only these partitions can change their leader in an election.
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
            results.push(&text(topic.as_str()), id.partition.0, &result);
        }
        return Ok(results.response());
    };
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let name = topic.topic.as_str();
        let topic_id = draft.image.topic_ids.get(name).copied();
        let partitions = topic.partitions.iter().map(|index| {
            let result =
                match topic_id {
                    Some(topic_id) => {
                        let partition = PartitionIndex(*index);
                        let id = TopicIdPartition {
                            topic_id,
                            partition,
                        };
                        elect_one(draft, id, name, election)
                    }
                    None => Err(ErrorCode::UnknownTopicOrPartition
                        .because(format!("there is no topic {name}"))),
                };
            partition_result(*index, &result)
        });
        results.push(ReplicaElectionResult {
            partition_result: partitions.collect(),
            topic: topic.topic.clone(),
            ..ReplicaElectionResult::default()
        });
    }
    Ok(ElectLeadersResponseData {
        replica_election_results: results,
        ..ElectLeadersResponseData::default()
    })
}

fn partition_result(partition_id: i32, result: &Result<(), ApiError>) -> PartitionResult {
    let (error_code, error_message) = code_and_message(result);
    PartitionResult {
        partition_id,
        error_code,
        error_message,
        ..PartitionResult::default()
    }
}

/// Returns the response to a request that is refused as a whole; it has no field for a message.
#[must_use]
pub fn refused(error: &ApiError) -> ElectLeadersResponseData {
    ElectLeadersResponseData {
        error_code: error.code.code(),
        ..ElectLeadersResponseData::default()
    }
}

/// The outcomes of elections of all partitions, grouped by topic.
struct Results {
    topics: Vec<ReplicaElectionResult>,
    /// The index of each topic in `topics`.
    positions: HashMap<KafkaString, usize>,
}

impl Results {
    /// Returns each topic without outcomes.
    fn of_all(draft: &Draft) -> Self {
        let names = draft.image.topic_ids.keys().map(|name| text(name.as_str()));
        let topics = names.map(|topic| ReplicaElectionResult {
            topic,
            ..ReplicaElectionResult::default()
        });
        let topics: Vec<ReplicaElectionResult> = topics.collect();
        let positions = topics.iter().zip(0..);
        let positions = positions.map(|(result, position)| (result.topic.clone(), position));
        Self {
            positions: positions.collect(),
            topics,
        }
    }

    fn push(&mut self, topic: &KafkaString, partition: i32, result: &Result<(), ApiError>) {
        let next = self.topics.len();
        let position = *self.positions.entry(topic.clone()).or_insert(next);
        if position == next {
            self.topics.push(ReplicaElectionResult {
                topic: topic.clone(),
                ..ReplicaElectionResult::default()
            });
        }
        let partitions = &mut self.topics[position].partition_result;
        partitions.push(partition_result(partition, result));
    }

    fn response(self) -> ElectLeadersResponseData {
        ElectLeadersResponseData {
            replica_election_results: self.topics,
            ..ElectLeadersResponseData::default()
        }
    }
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
            "{topic}-{index} already has the leader that the election would choose"
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

/// Elects a leader for a partition without one, if its topic's rules allow it.
pub fn elect_leaderless(draft: &mut Draft, id: TopicIdPartition) {
    let (Some(topic), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
        return;
    };
    if partition.leader.is_none() {
        let change = draft.change(draft.target(&topic, &partition));
        draft.push_change(id, change);
    }
}

/// Runs one round of moving leadership back to preferred leaders, with at most
/// [`ELECTIONS_PER_ROUND_MAX`] elections. Returns whether it stopped at that limit.
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
