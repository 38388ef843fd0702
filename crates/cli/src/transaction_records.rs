//! Records of `__transaction_state` as Kafka's tools show them: JSON with the fields that the
//! record's version has.
//!
//! Pure. `dohle-transactions` decodes the bytes.

use dohle_model::{ProducerId, Timestamp};
use dohle_transactions::{
    RecordError, TransactionMetadata, TransactionState, TransactionVersion, decode_record,
};

use crate::group_records::{Shown, first};
use crate::ordered_json::{Json, object};

/// Converts a record; `None` when its type is unknown.
///
/// # Errors
/// When its bytes do not have the form of its type.
pub(crate) fn show(key: &[u8], value: Option<&[u8]>) -> Result<Option<Shown>, RecordError> {
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
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = (0..hex.len()).step_by(2);
        let bytes = digits.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        bytes.collect()
    }

    fn shown(value: Option<&str>) -> String {
        let value = value.map(bytes);
        let shown = show(&bytes("000000066d792d74786e"), value.as_deref());
        let shown = shown.unwrap().unwrap();
        let value = shown.value.map_or_else(String::new, |(version, data)| {
            format!(" {version} {}", data.compact())
        });
        shown.key.compact() + &value
    }

    /// The bytes are those that Kafka 4.3.1 wrote, the text what its dump-log shows of them.
    #[test]
    fn records_are_shown_as_kafka_does() {
        let values = [
            "0001000000000000000000030000ea600000000001a224007770ffffffffffffffff\
             020008000000000000000002020002",
            "0001000000000000000000030000ea600102037478020000000100000001a2240078\
             58000001a224007858020008000000000000000002020002",
            "0001000000000000000000040000ea600401000001a2240078b0000001a224007858\
             020008000000000000000002020002",
        ];
        let lines = values.map(|value| shown(Some(value)) + "\n").concat();
        expect_test::expect![[r#"
            {"transactionalId":"my-txn"} 1 {"producerId":0,"previousProducerId":0,"producerEpoch":3,"transactionTimeoutMs":60000,"transactionStatus":0,"transactionPartitions":null,"transactionLastUpdateTimestampMs":1795900340080,"transactionStartTimestampMs":-1,"clientTransactionVersion":2}
            {"transactionalId":"my-txn"} 1 {"producerId":0,"previousProducerId":0,"producerEpoch":3,"transactionTimeoutMs":60000,"transactionStatus":1,"transactionPartitions":[{"topic":"tx","partitionIds":[1]}],"transactionLastUpdateTimestampMs":1795900340312,"transactionStartTimestampMs":1795900340312,"clientTransactionVersion":2}
            {"transactionalId":"my-txn"} 1 {"producerId":0,"previousProducerId":0,"producerEpoch":4,"transactionTimeoutMs":60000,"transactionStatus":4,"transactionPartitions":[],"transactionLastUpdateTimestampMs":1795900340400,"transactionStartTimestampMs":1795900340312,"clientTransactionVersion":2}
        "#]]
        .assert_eq(&lines);
        assert_eq!(shown(None), r#"{"transactionalId":"my-txn"}"#);
        assert_eq!(show(&[0, 9], None), Ok(None), "an unknown type");
        assert!(show(&[0, 0, 0, 9], None).is_err(), "too short");
    }
}
