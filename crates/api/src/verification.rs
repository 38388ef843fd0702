//! Verification of transactional batches before they are appended (KIP-890): the coordinator is
//! asked whether the partition belongs to the transaction, or adds it there (Produce version 12 and
//! newer). Only the first batch of a transaction in a partition asks.
//!
//! Source: `handleProduceAppend` of Kafka's `ReplicaManager.scala`,
//! `AddPartitionsToTxnManager.java`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::partition::Partition;
use dohle_broker::partitions::wall_clock;
use dohle_coordinator::transactions::VerifyRequest;
use dohle_log::{TxnAppend, TxnBegin, VerificationGuard};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, ProducerEpoch, ProducerId, Sequence, TopicPartition};
use dohle_protocol::messages::produce_request::{ProduceRequestData, TopicProduceData};
use dohle_transactions::{ProducerIdAndEpoch, TransactionalId};
use tokio::time::{Instant, sleep};

use super::{Call, resolve, wire};
use crate::context::REQUEST_TIMEOUT;

/// The first version of Produce that has the error TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 11;
/// The first version of Produce that adds partitions to transactions.
const ADDS_PARTITIONS: i16 = 12;

const MAGIC_AT: usize = 16;
const ATTRIBUTES_AT: usize = 22;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const TRANSACTIONAL: u8 = 0b1_0000;

/// The position of a partition in a request: the index of its topic, and its index in the topic.
type Place = (usize, usize);

/// How each transactional batch of a request is to be appended.
#[derive(Debug, Default)]
pub(super) struct TxnBatches(HashMap<Place, Result<TxnAppend, ApiError>>);

impl TxnBatches {
    /// Returns how the batch at a place is to be appended.
    ///
    /// # Errors
    /// When its transaction was not verified.
    pub(super) fn at(&self, place: Place) -> Result<TxnAppend, ApiError> {
        self.0.get(&place).cloned().unwrap_or(Ok(TxnAppend::Plain))
    }
}

/// The state of a verification: what the first batch of a transaction in a partition needs for its
/// append.
struct Unverified {
    place: Place,
    name: TopicPartition,
    partition: Arc<Partition>,
    begin: TxnBegin,
    guard: VerificationGuard,
}

fn is_transactional(records: Option<&Bytes>) -> bool {
    records.is_some_and(|records| {
        let attributes = records.get(ATTRIBUTES_AT);
        attributes.is_some_and(|byte| byte & TRANSACTIONAL != 0) && records[MAGIC_AT] == 2
    })
}

/// Returns the producer and the first sequence of a batch, if its header has them.
fn producer_of(records: &[u8]) -> Option<(ProducerIdAndEpoch, Sequence)> {
    let id = records.get(PRODUCER_ID_AT..PRODUCER_EPOCH_AT)?;
    let epoch = records.get(PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT)?;
    let sequence = records.get(BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4)?;
    let producer = ProducerIdAndEpoch {
        id: ProducerId::from_wire(i64::from_be_bytes(id.try_into().ok()?))?,
        epoch: ProducerEpoch::from_wire(i16::from_be_bytes(epoch.try_into().ok()?))?,
    };
    let sequence = i32::from_be_bytes(sequence.try_into().ok()?);
    Some((producer, Sequence::from_wire(sequence)?))
}

/// Asks for Write on the transactional id of a request that has transactional batches. Every batch
/// counts, so that no permission is needed less because of the first one (CVE-2018-17196).
///
/// # Errors
/// For the whole request: when it has transactional batches and no transactional id, or the client
/// may not use the id.
pub(super) fn authorize(call: &Call, request: &ProduceRequestData) -> Result<(), ApiError> {
    let mut batches = request.topic_data.iter().flat_map(|topic| {
        let partitions = topic.partition_data.iter();
        partitions.map(move |data| (topic, data.records.as_ref()))
    });
    let Some((topic, _)) = batches.find(|(_, records)| is_transactional(*records)) else {
        return Ok(());
    };
    let Some(id) = &request.transactional_id else {
        tracing::info!(
            peer = %call.request.client_address,
            software = call.request.software(),
            topic = topic.name.as_str(),
            "refused a transactional batch in a request without a transactional id"
        );
        let message = "a batch is transactional, and the request has no transactional id";
        return Err(ErrorCode::TransactionalIdAuthorizationFailed.because(message));
    };
    Ok(call.authorize(Operation::Write, ResourceType::TransactionalId, id.as_str())?)
}

/// Verifies the transactions of a request's batches.
///
/// # Errors
/// For the whole request: when it has batches of several producers.
pub(super) async fn verify(
    call: &Call,
    image: &MetadataImage,
    request: &ProduceRequestData,
) -> Result<TxnBatches, ApiError> {
    let batches = request
        .topic_data
        .iter()
        .enumerate()
        .flat_map(|(at, topic)| {
            let partitions = topic.partition_data.iter().enumerate();
            partitions.map(move |(partition, data)| ((at, partition), topic, data))
        });
    let batches = batches.filter(|(_, _, data)| is_transactional(data.records.as_ref()));
    let mut found = TxnBatches::default();
    let mut unverified = Vec::new();
    let mut of_request = None;
    for (place, topic, data) in batches {
        // The append refuses a batch without a producer.
        let records = data.records.as_deref().unwrap_or_default();
        let Some((producer, sequence)) = producer_of(records) else {
            continue;
        };
        if of_request.is_some_and(|other| other != producer) {
            let message = "the transactional batches have more than one producer id or epoch";
            return Err(ErrorCode::InvalidProducerIdMapping.because(message));
        }
        of_request = Some(producer);
        let Some((name, partition)) = partition_of(call, image, topic, data.index) else {
            // The append reports the error.
            continue;
        };
        let begin = TxnBegin {
            producer_id: producer.id,
            epoch: producer.epoch,
            sequence,
            bumps_epoch: call.version >= ADDS_PARTITIONS,
        };
        match partition.begin_verification(&begin, wall_clock()) {
            Ok(None) => {}
            Ok(Some(guard)) => unverified.push(Unverified {
                place,
                name,
                partition,
                begin,
                guard,
            }),
            Err(error) => drop(found.0.insert(place, Err(error.into()))),
        }
    }
    if let (Some(id), Some(producer)) = (&request.transactional_id, of_request)
        && !unverified.is_empty()
    {
        let request = VerifyRequest {
            transactional_id: TransactionalId::new(id.as_str()),
            producer,
            partitions: unverified.iter().map(|it| it.name.clone()).collect(),
            add: call.version >= ADDS_PARTITIONS,
        };
        let outcomes = ask(call, request).await;
        for (index, it) in unverified.into_iter().enumerate() {
            let missing = Err(ErrorCode::UnknownServerError);
            let outcome = outcomes.get(index).copied().unwrap_or(missing);
            let txn = match outcome {
                Ok(()) => it
                    .partition
                    .confirm_verification(&it.begin, it.guard, wall_clock())
                    .map_err(ApiError::from),
                Err(code) => Err(translate(code, call.version)),
            };
            found.0.insert(it.place, txn);
        }
    }
    Ok(found)
}

fn partition_of(
    call: &Call,
    image: &MetadataImage,
    topic: &TopicProduceData,
    index: i32,
) -> Option<(TopicPartition, Arc<Partition>)> {
    let topic = if call.version >= 13 {
        resolve::topic_by_id(image, wire::topic_id(topic.topic_id))
    } else {
        resolve::topic_by_name(image, topic.name.as_str())
    };
    let partition = resolve::partition(&call.context.partitions, topic.ok()?, index).ok()?;
    Some((partition.name().clone(), partition))
}

/// Asks the coordinator. While an earlier transaction still ends and the partition is to be added,
/// asks again for a moment: the producer begins its next transaction while markers are written.
pub(super) async fn ask(call: &Call, request: VerifyRequest) -> Vec<Result<(), ErrorCode>> {
    let Some(verifier) = call.context.transaction_verifier() else {
        return vec![Err(ErrorCode::CoordinatorNotAvailable); request.partitions.len()];
    };
    let begun = Instant::now();
    let config = &call.context.config;
    let again_until = begun + config.add_partitions_to_txn_retry_backoff_max;
    loop {
        let outcomes = verifier
            .verify(request.clone(), begun + REQUEST_TIMEOUT)
            .await;
        let is_concurrent = |outcome: &_| *outcome == Err(ErrorCode::ConcurrentTransactions);
        let may_ask_again = request.add && Instant::now() < again_until;
        if !may_ask_again || !outcomes.iter().any(is_concurrent) {
            return outcomes;
        }
        sleep(config.add_partitions_to_txn_retry_backoff).await;
    }
}

/// Returns the error for a producer whose transaction was not verified.
fn translate(code: ErrorCode, version: i16) -> ApiError {
    match code {
        // Frequent while the previous transaction ends, and retried soon.
        ErrorCode::ConcurrentTransactions if version >= ADDS_PARTITIONS => code.into(),
        // Producers retry this error without asking for metadata first.
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::RequestTimedOut
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas.because(format!(
            "unable to verify that the partition has been added to the transaction: {code}"
        )),
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch.into(),
        ErrorCode::TransactionAbortable if version >= KNOWS_ABORTABLE => code.into(),
        ErrorCode::TransactionAbortable
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::InvalidTxnState => {
            ErrorCode::InvalidTxnState.because("the partition was not added to the transaction")
        }
        code => code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_coordinator_become_those_of_producers() {
        let translated = |code, version| translate(code, version).code;
        let concurrent = ErrorCode::ConcurrentTransactions;
        assert_eq!(translated(concurrent, 11), ErrorCode::NotEnoughReplicas);
        assert_eq!(translated(concurrent, 12), concurrent);
        for code in [
            ErrorCode::NetworkException,
            ErrorCode::RequestTimedOut,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
        ] {
            assert_eq!(translated(code, 12), ErrorCode::NotEnoughReplicas);
        }
        let abortable = ErrorCode::TransactionAbortable;
        assert_eq!(translated(abortable, 10), ErrorCode::InvalidTxnState);
        assert_eq!(translated(abortable, 11), abortable);
        assert_eq!(
            translated(ErrorCode::ProducerFenced, 9),
            ErrorCode::InvalidProducerEpoch
        );
        let unknown = ErrorCode::InvalidProducerIdMapping;
        assert_eq!(translated(unknown, 12), unknown);
    }
}
