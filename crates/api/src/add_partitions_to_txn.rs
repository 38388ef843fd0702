//! AddPartitionsToTxn, versions 0–5: adds partitions to a transaction before a producer writes to
//! them (KIP-98). PRODUCER_FENCED is INVALID_PRODUCER_EPOCH before version 2 (KIP-588).
//!
//! From version 4 on the request comes from other brokers, for several transactions at once
//! (KIP-890): a leader asks whether its partition is in the transaction, or has it added.
//!
//! The partitions of a transaction are added together: when one does not exist, those that do get
//! OPERATION_NOT_ATTEMPTED. Clients may not add partitions of internal topics, which get
//! TOPIC_AUTHORIZATION_FAILED: the offsets of groups are added with AddOffsetsToTxn.

use std::sync::Arc;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, TopicPartition};
use dohle_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequestData, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use dohle_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponseData, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};
use dohle_transactions::{AddPartitions, ProducerIdAndEpoch, TransactionVersion, VerifyPartitions};
use futures::future::join_all;

use super::{Call, wire};
use crate::context::Context;
use crate::resolve;

pub(super) async fn handle(
    call: Call,
    request: AddPartitionsToTxnRequestData,
) -> AddPartitionsToTxnResponseData {
    if call.version >= 4 {
        if let Err(code) = call.authorize_cluster(Operation::ClusterAction) {
            return AddPartitionsToTxnResponseData {
                error_code: code.code(),
                ..AddPartitionsToTxnResponseData::default()
            };
        }
        return for_broker(Arc::clone(&call.context), request).await;
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        topics: request.v3_and_below_topics,
        ..AddPartitionsToTxnTransaction::default()
    };
    let id = transaction.transactional_id.as_str();
    let outcomes = match call.authorize(Operation::Write, ResourceType::TransactionalId, id) {
        Ok(()) => outcomes(&call.context, &transaction, Sender::Client(&call)).await,
        Err(code) => {
            let partitions = transaction.topics.iter().flat_map(|it| &it.partitions);
            partitions.map(|_| Err(code)).collect()
        }
    };
    let old_client = call.version < 2;
    let outcomes = outcomes
        .into_iter()
        .map(|outcome| outcome.map_err(|code| wire::fenced(code, old_client)))
        .collect();
    AddPartitionsToTxnResponseData {
        results_by_topic_v3_and_below: by_topic(&transaction.topics, outcomes),
        ..AddPartitionsToTxnResponseData::default()
    }
}

/// Serves a request of version 4 or above, which comes from a broker.
pub async fn for_broker(
    context: Arc<Context>,
    request: AddPartitionsToTxnRequestData,
) -> AddPartitionsToTxnResponseData {
    let results = request.transactions.iter().map(|transaction| async {
        let outcomes = outcomes(&context, transaction, Sender::Broker).await;
        AddPartitionsToTxnResult {
            transactional_id: transaction.transactional_id.clone(),
            topic_results: by_topic(&transaction.topics, outcomes),
            ..AddPartitionsToTxnResult::default()
        }
    });
    AddPartitionsToTxnResponseData {
        results_by_transaction: join_all(results).await,
        ..AddPartitionsToTxnResponseData::default()
    }
}

type Outcome = Result<(), ErrorCode>;

/// Who sends a request.
#[derive(Clone, Copy)]
enum Sender<'a> {
    /// A client, which must be allowed to write to the topics.
    Client(&'a Call),
    Broker,
}

impl Sender<'_> {
    fn may_add(self, topic: &str) -> bool {
        match self {
            Self::Client(call) => {
                !resolve::is_internal(topic)
                    && call.is_allowed(Operation::Write, ResourceType::Topic, topic)
            }
            Self::Broker => true,
        }
    }
}

/// The outcome for each partition, in the order of the request.
async fn outcomes(
    context: &Context,
    transaction: &AddPartitionsToTxnTransaction,
    sender: Sender<'_>,
) -> Vec<Outcome> {
    let partitions = match existing(&context.image(), &transaction.topics, sender) {
        Ok(partitions) => partitions,
        Err(outcomes) => return outcomes,
    };
    let transactional_id = transaction.transactional_id.as_str();
    let producer = ProducerIdAndEpoch {
        id: ProducerId(transaction.producer_id),
        epoch: ProducerEpoch(transaction.producer_epoch),
    };
    let all = |outcome: Outcome| partitions.iter().map(|_| outcome).collect();
    if transaction.verify_only {
        let request = VerifyPartitions {
            transactional_id,
            producer,
            partitions: &partitions,
        };
        let verified = context.transactions.verify_partitions(&request).await;
        return verified.unwrap_or_else(|code| all(Err(code)));
    }
    let request = AddPartitions {
        transactional_id,
        producer,
        partitions: &partitions,
        client_version: match sender {
            Sender::Client(_) => TransactionVersion::V0,
            Sender::Broker => TransactionVersion::V2,
        },
    };
    all(context.transactions.add_partitions(&request).await)
}

/// Returns the partitions of a request in its order, or the outcomes when one of them does not
/// exist or may not be added.
fn existing(
    image: &MetadataImage,
    topics: &[AddPartitionsToTxnTopic],
    sender: Sender<'_>,
) -> Result<Vec<TopicPartition>, Vec<Outcome>> {
    let found = topics.iter().flat_map(|topic| {
        let known = image.topic(topic.name.as_str());
        let is_refused = !sender.may_add(topic.name.as_str());
        topic.partitions.iter().map(move |index| {
            let partition = PartitionIndex(*index);
            if is_refused {
                return Err(ErrorCode::TopicAuthorizationFailed);
            }
            match known.filter(|topic| topic.partitions.contains_key(&partition)) {
                Some(topic) => Ok(TopicPartition {
                    topic: topic.name.clone(),
                    partition,
                }),
                None => Err(ErrorCode::UnknownTopicOrPartition),
            }
        })
    });
    let found: Vec<Result<TopicPartition, ErrorCode>> = found.collect();
    if found.iter().all(Result::is_ok) {
        return Ok(found.into_iter().flatten().collect());
    }
    let refused = |partition: Result<TopicPartition, ErrorCode>| match partition {
        Ok(_) => Err(ErrorCode::OperationNotAttempted),
        Err(code) => Err(code),
    };
    Err(found.into_iter().map(refused).collect())
}

/// The outcomes as the response has them.
fn by_topic(
    topics: &[AddPartitionsToTxnTopic],
    outcomes: Vec<Outcome>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut outcomes = outcomes.into_iter();
    let topics = topics.iter().map(|topic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .zip(outcomes.by_ref())
            .map(|(index, outcome)| AddPartitionsToTxnPartitionResult {
                partition_index: *index,
                partition_error_code: wire::code(&outcome),
                ..AddPartitionsToTxnPartitionResult::default()
            })
            .collect(),
        ..AddPartitionsToTxnTopicResult::default()
    });
    topics.collect()
}
