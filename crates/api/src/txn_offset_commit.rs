//! TxnOffsetCommit, versions 0–6: stores offsets of a group that take effect when the producer's
//! transaction is committed, and answers when their records are committed (KIP-98, KIP-447).
//!
//! The first offsets of a transaction in a partition of `__consumer_offsets` are verified with the
//! transaction's coordinator; version 5 adds the partition to the transaction instead (KIP-890).
//! From version 3 on members send their id and generation, and are fenced when these are outdated.
//! In version 6 topics have an id in place of a name, and members of consumer groups learn that
//! their epoch is stale (KIP-1319).
//!
//! Source: `handleTxnOffsetCommitRequest` of Kafka's `KafkaApis.scala`,
//! `commitTransactionalOffsets` of `GroupCoordinatorService.java`.

use dohle_broker::partition::AppendError;
use dohle_broker::partitions::wall_clock;
use dohle_coordinator::TransactionWrite;
use dohle_coordinator::transactions::VerifyRequest;
use dohle_groups::Failed;
use dohle_groups::requests::TxnOffsetCommit;
use dohle_log::{TxnAppend, TxnBegin};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::OffsetCommitResponseTopic;
use dohle_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestData, TxnOffsetCommitRequestTopic,
};
use dohle_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponseData, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use dohle_transactions::{ProducerIdAndEpoch, TransactionalId};

use super::offset_commit::{merge, refuse, sort_out};
use super::{Call, verification};

/// The first version whose clients expect COORDINATOR_LOAD_IN_PROGRESS.
const KNOWS_LOADING: i16 = 1;
/// The first version that has the error TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 4;
/// The first version that adds the partition of the group to the transaction.
const ADDS_PARTITIONS: i16 = 5;
/// The first version in which topics have ids.
const TOPIC_IDS: i16 = 6;

pub(super) async fn handle(
    call: Call,
    mut request: TxnOffsetCommitRequestData,
) -> TxnOffsetCommitResponseData {
    let topics = std::mem::take(&mut request.topics);
    let topics: Vec<_> = topics.into_iter().map(topic_of).collect();
    if let Err(code) = authorize(&call, &request) {
        let topics = topics.iter().map(|topic| answer_of(refuse(topic, code)));
        return TxnOffsetCommitResponseData {
            topics: topics.collect(),
            ..TxnOffsetCommitResponseData::default()
        };
    }
    let (known, mut answers) = sort_out(&call, topics, call.version >= TOPIC_IDS);
    if !known.is_empty() {
        let offsets = OffsetCommitRequestData {
            group_id: request.group_id.clone(),
            generation_id_or_member_epoch: request.generation_id_or_member_epoch,
            member_id: request.member_id.clone(),
            group_instance_id: request.group_instance_id.clone(),
            topics: known,
            ..OffsetCommitRequestData::default()
        };
        let committed = match commit(&call, &request, &offsets).await {
            Ok(committed) => committed,
            Err(code) => {
                let code = for_client(code, call.version);
                let topics = offsets.topics.iter();
                topics.map(|topic| refuse(topic, code)).collect()
            }
        };
        merge(&mut answers, committed);
    }
    TxnOffsetCommitResponseData {
        topics: answers.into_iter().map(answer_of).collect(),
        ..TxnOffsetCommitResponseData::default()
    }
}

/// Asks for Write on the transactional id and Read on the group.
fn authorize(call: &Call, request: &TxnOffsetCommitRequestData) -> Result<(), ErrorCode> {
    let id = request.transactional_id.as_str();
    call.authorize(Operation::Write, ResourceType::TransactionalId, id)?;
    call.authorize(
        Operation::Read,
        ResourceType::Group,
        request.group_id.as_str(),
    )
}

async fn commit(
    call: &Call,
    request: &TxnOffsetCommitRequestData,
    offsets: &OffsetCommitRequestData,
) -> Result<Vec<OffsetCommitResponseTopic>, ErrorCode> {
    let group_id = request.group_id.as_str();
    if group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let id = ProducerId::from_wire(request.producer_id);
    let epoch = ProducerEpoch::from_wire(request.producer_epoch);
    let producer = ProducerIdAndEpoch {
        id: id.ok_or(ErrorCode::InvalidProducerIdMapping)?,
        epoch: epoch.ok_or(ErrorCode::InvalidProducerEpoch)?,
    };
    let append = verify(call, request, producer).await?;
    let transaction = TransactionWrite { producer, append };
    let commit = TxnOffsetCommit {
        request: offsets,
        version: call.version,
    };
    let groups = &call.context.groups;
    let outcome = groups.run_in_transaction(group_id, transaction, &commit);
    match outcome.await? {
        Ok(committed) => Ok(committed.topics),
        Err(Failed { code, .. }) => Err(code),
    }
}

/// Verifies that the partition of the group belongs to the transaction, or adds it to the
/// transaction.
async fn verify(
    call: &Call,
    request: &TxnOffsetCommitRequestData,
    producer: ProducerIdAndEpoch,
) -> Result<TxnAppend, ErrorCode> {
    let groups = &call.context.groups;
    let partition = groups.partition_for(request.group_id.as_str()).await?;
    let add = call.version >= ADDS_PARTITIONS;
    let begin = TxnBegin {
        producer_id: producer.id,
        epoch: producer.epoch,
        // The batches that coordinators write have no sequences.
        sequence: Sequence(0),
        bumps_epoch: add,
    };
    let begun = partition.begin_verification(&begin, wall_clock());
    let begun = begun.map_err(|error: AppendError| for_group(error.code(), call.version))?;
    let Some(guard) = begun else {
        return Ok(TxnAppend::Plain);
    };
    let question = VerifyRequest {
        transactional_id: TransactionalId::new(request.transactional_id.as_str()),
        producer,
        partitions: vec![partition.name().clone()],
        add,
    };
    let outcomes = verification::ask(call, question).await;
    let outcome = outcomes.first().copied();
    let outcome = outcome.unwrap_or(Err(ErrorCode::UnknownServerError));
    match outcome {
        Ok(()) => partition
            .confirm_verification(&begin, guard, wall_clock())
            .map_err(|error| for_group(error.code(), call.version)),
        Err(code) => Err(for_group(code, call.version)),
    }
}

/// The code of a request to a group for an error about its partition or about the transaction
/// (`CoordinatorOperationExceptionHelper`).
fn for_group(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
        // Old clients retry this error without looking for the coordinator of the group again.
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        code => code,
    }
}

fn for_client(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        // Producers before Kafka 2.0 fail on COORDINATOR_LOAD_IN_PROGRESS.
        ErrorCode::CoordinatorLoadInProgress if version < KNOWS_LOADING => {
            ErrorCode::CoordinatorNotAvailable
        }
        code => code,
    }
}

/// Converts a topic to its form in a request that commits outside a transaction.
fn topic_of(topic: TxnOffsetCommitRequestTopic) -> OffsetCommitRequestTopic {
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|partition| OffsetCommitRequestPartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        committed_metadata: partition.committed_metadata,
        ..OffsetCommitRequestPartition::default()
    });
    OffsetCommitRequestTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
        ..OffsetCommitRequestTopic::default()
    }
}

fn answer_of(topic: OffsetCommitResponseTopic) -> TxnOffsetCommitResponseTopic {
    let partitions = topic.partitions.into_iter();
    let partitions = partitions.map(|partition| TxnOffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: partition.error_code,
        ..TxnOffsetCommitResponsePartition::default()
    });
    TxnOffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: partitions.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_the_transaction_become_those_of_groups() {
        let fenced = ErrorCode::InvalidProducerEpoch;
        assert_eq!(for_group(ErrorCode::ProducerFenced, 5), fenced);
        let abortable = ErrorCode::TransactionAbortable;
        assert_eq!(for_group(abortable, 3), ErrorCode::InvalidTxnState);
        assert_eq!(for_group(abortable, 4), abortable);
        let loading = ErrorCode::CoordinatorLoadInProgress;
        assert_eq!(for_group(ErrorCode::NetworkException, 5), loading);
        assert_eq!(for_client(loading, 1), loading);
        let unavailable = ErrorCode::CoordinatorNotAvailable;
        assert_eq!(for_client(loading, 0), unavailable);
        assert_eq!(for_group(ErrorCode::RequestTimedOut, 5), unavailable);
        let moved = ErrorCode::NotCoordinator;
        assert_eq!(for_group(ErrorCode::NotLeaderOrFollower, 5), moved);
    }
}
