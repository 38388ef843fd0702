//! AddOffsetsToTxn, versions 0–4: adds a group's partition of `__consumer_offsets` to a
//! transaction, before the group's offsets are committed in it (KIP-98). PRODUCER_FENCED is
//! INVALID_PRODUCER_EPOCH before version 2 (KIP-588).

use std::time::Duration;

use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::partition_of;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, TopicName, TopicPartition};
use dohle_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequestData;
use dohle_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponseData;
use dohle_transactions::{AddPartitions, ProducerIdAndEpoch, TransactionVersion};

use super::{Call, wire};

/// How long a request waits for the topic of groups to be created.
const CREATE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn handle(
    call: Call,
    request: AddOffsetsToTxnRequestData,
) -> AddOffsetsToTxnResponseData {
    let outcome = add(&call, &request).await;
    let outcome = outcome.map_err(|code| wire::fenced(code, call.version < 2));
    AddOffsetsToTxnResponseData {
        error_code: wire::code(&outcome),
        ..AddOffsetsToTxnResponseData::default()
    }
}

async fn add(call: &Call, request: &AddOffsetsToTxnRequestData) -> Result<(), ErrorCode> {
    let id = request.transactional_id.as_str();
    call.authorize(Operation::Write, ResourceType::TransactionalId, id)?;
    call.authorize(
        Operation::Read,
        ResourceType::Group,
        request.group_id.as_str(),
    )?;
    let partition = partition_of_group(call, request.group_id.as_str()).await?;
    let add = AddPartitions {
        transactional_id: id,
        producer: ProducerIdAndEpoch {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        },
        partitions: &[partition],
        client_version: TransactionVersion::V0,
    };
    call.context.transactions.add_partitions(&add).await
}

async fn partition_of_group(call: &Call, group_id: &str) -> Result<TopicPartition, ErrorCode> {
    let deadline = call.request.received + CREATE_TIMEOUT;
    let image = call
        .context
        .internal_topics
        .ensure(&OFFSETS_TOPIC, deadline);
    let image = image
        .await
        .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
    let partition = partition_of(&image, OFFSETS_TOPIC.name, group_id);
    let topic = TopicName::new(OFFSETS_TOPIC.name).ok();
    match (topic, partition) {
        (Some(topic), Some(partition)) => Ok(TopicPartition { topic, partition }),
        _ => Err(ErrorCode::CoordinatorNotAvailable),
    }
}
