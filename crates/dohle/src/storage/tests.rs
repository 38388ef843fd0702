//! Tests of what the tool `storage` does on the side of the server.

#[expect(dead_code, reason = "the tests of the import use the rest")]
#[path = "../../../controller/tests/common/kafka_node.rs"]
mod kafka_node;

use super::*;
use kafka_node::{KafkaNode, encoded, leader_change};

#[test]
fn an_import_that_cannot_write_states_the_cause_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = KafkaNode::new(1);
    node.append(1, [leader_change()])
        .append(1, [encoded("topic")]);
    node.write(dir.path());
    // A file where the directory of the new log is to be.
    let blocked = dir.path().join("__cluster_metadata-0/dohle");
    std::fs::write(&blocked, "").unwrap();
    let planned = plan_import(&[dir.path().to_owned()]).unwrap();
    let error = (planned.write.unwrap())().unwrap_err();
    let expected = format!("{}: Not a directory (os error 20)", blocked.display());
    assert_eq!(dohle_cli::explain(&error), expected);
}
