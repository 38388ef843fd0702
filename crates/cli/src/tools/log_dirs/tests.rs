//! What is printed, against what Kafka's tool prints for the same state.

use kacrab_protocol::generated::DescribeLogDirsResult;
use kacrab_protocol::generated::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsTopic,
};

use super::*;

#[test]
fn directories_are_printed_in_kafkas_json() {
    let topic = |name: &str| DescribeLogDirsTopic {
        name: name.to_owned().into(),
        partitions: vec![DescribeLogDirsPartition {
            partition_size: 322,
            ..DescribeLogDirsPartition::default()
        }],
        ..DescribeLogDirsTopic::default()
    };
    let result = |error_code, log_dir: &str| DescribeLogDirsResult {
        error_code,
        log_dir: log_dir.to_owned().into(),
        topics: vec![topic("orders"), topic("other")],
        ..DescribeLogDirsResult::default()
    };
    let answer = DescribeLogDirsResponseData {
        results: vec![result(0, "/data"), result(56, "/broken")],
        ..DescribeLogDirsResponseData::default()
    };
    let told = Description {
        brokers: vec![Broker {
            broker: 1,
            log_dirs: log_dirs(&answer, &["orders".to_owned()].into()),
        }],
        version: 1,
    };
    let printed = serde_json::to_string(&told).unwrap() + "\n";
    expect_test::expect![[r#"
        {"brokers":[{"broker":1,"logDirs":[{"partitions":[{"partition":"orders-0","size":322,"offsetLag":0,"isFuture":false}],"error":null,"logDir":"/data"},{"partitions":[{"partition":"orders-0","size":322,"offsetLag":0,"isFuture":false}],"error":"org.apache.kafka.common.errors.KafkaStorageException","logDir":"/broken"}]}],"version":1}
    "#]]
    .assert_eq(&printed);
}
