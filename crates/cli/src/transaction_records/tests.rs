//! Records that Apache Kafka wrote.

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
