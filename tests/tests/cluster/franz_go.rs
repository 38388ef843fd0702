//! franz-go creates, uses and deletes a topic.

use anyhow::Result;
use dohle_tests::Cluster;
use dohle_tests::clients::franz_go::franz_go;

#[test]
fn franz_go_administers_a_topic() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let printed = franz_go("admin", &cluster.bootstrap())
        .args(["--topic", "walk"])
        .run()?;
    let expected = "\
brokers [1 2 3]
created partitions 2 replicas 3
again TOPIC_ALREADY_EXISTS: Topic with this name already exists.
partition 0 replicas 3 isr 3 offline 0
partition 1 replicas 3 isr 3 offline 0
partition 2 replicas 3 isr 3 offline 0
partition 3 replicas 3 isr 3 offline 0
config cleanup.policy delete DEFAULT_CONFIG
config retention.ms 3600000 DYNAMIC_TOPIC_CONFIG
config segment.bytes 1073741824 DEFAULT_CONFIG
records deleted: start 60 end 100
deleted true
after deletion UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.
";
    assert_eq!(printed.clean()?, expected);
    Ok(())
}
