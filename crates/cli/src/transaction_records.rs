//! Records of `__transaction_state` as Kafka's tools show them: JSON with the fields that the
//! record's version has.
//!
//! Pure. `dohle-transactions` decodes the bytes.

use dohle_model::{ProducerId, Timestamp};
use dohle_transactions::{
    RecordFormatError, TransactionMetadata, TransactionState, TransactionVersion, decode_record,
};

use crate::group_records::{Shown, first};
use crate::ordered_json::{Json, object};

/// Converts a record; `None` when its type is unknown.
///
/// # Errors
/// When its bytes do not have the form of its type.
pub(crate) fn show(key: &[u8], value: Option<&[u8]>) -> Result<Option<Shown>, RecordFormatError> {
    let Some(record) = decode_record(key, value)? else {
        return Ok(None);
    };
    let version = value.and_then(first).unwrap_or_default();
    Ok(Some(Shown {
        key: object! { "transactionalId": record.transactional_id.as_str() },
        value: record.metadata.as_ref().map(|it| (version, metadata(it))),
    }))
}

/// Tagged fields are left out where they have their default value.
fn metadata(metadata: &TransactionMetadata) -> Json {
    let (previous, next) = (metadata.previous_producer_id, metadata.next_producer_id);
    let topics: Vec<_> = metadata.partitions.topics();
    let partitions = match metadata.state {
        TransactionState::Empty => Json::Null,
        _ => Json::list(&topics, |(topic, partitions)| {
            object! {
                "topic": topic.as_str(),
                "partitionIds": Json::list(partitions, |partition| partition.0.into()),
            }
        }),
    };
    let version = metadata.client_version;
    object! {
        "producerId": metadata.producer_id.0,
        "previousProducerId" [previous.is_some()]: ProducerId::to_wire(previous),
        "nextProducerId" [next.is_some()]: ProducerId::to_wire(next),
        "producerEpoch": metadata.producer_epoch.0,
        "transactionTimeoutMs": metadata.timeout_ms.unwrap_or(i32::MAX),
        "transactionStatus": i32::from(metadata.state.id()),
        "transactionPartitions": partitions,
        "transactionLastUpdateTimestampMs": metadata.updated.0,
        "transactionStartTimestampMs": Timestamp::to_wire(metadata.started),
        "clientTransactionVersion" [version != TransactionVersion::V0]: i32::from(version.level()),
    }
}

#[cfg(test)]
mod tests;
