//! The corpus again, while a leader is killed and started: no record is lost or duplicated, the
//! order is kept, and the replicas are identical to the last byte.

use std::time::Duration;

use anyhow::Result;
use dohle_tests::clients::{digest_in, franz_go};
use dohle_tests::corpus::Corpus;
use dohle_tests::{Cluster, replicas};

const TOPIC: &str = "corpus-with-kill";
const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn a_killed_leader_loses_nothing_duplicates_nothing_and_keeps_the_order() -> Result<()> {
    let corpus = Corpus::full()?;
    let mut cluster = Cluster::of(3).start()?;
    super::faults::allow_lost_connections(&mut cluster);
    let bootstrap = cluster.bootstrap();
    // Small segments, so that there are many of them.
    let configs = [("min.insync.replicas", "2"), ("segment.bytes", "4194304")];
    cluster.create_topic(TOPIC, 6, 3, &configs)?;
    let tenth = corpus.digest.count() / 10;

    let mut producer = franz_go::produce(&bootstrap, TOPIC, &corpus.path, "lz4")
        .args(["--progress", &tenth.to_string()])
        .limit(LIMIT)
        .start()?;
    producer.wait_for_line(|line| line.starts_with("acked "))?;
    let victim = cluster.leader(TOPIC, 0)?;
    cluster.broker(victim).kill()?;
    producer.wait_for_line(|line| line.starts_with("acked "))?;
    cluster.broker(victim).start()?;
    let produced = producer.finish()?.ok()?;
    assert!(
        produced.contains(&format!("acked={} failed=0", corpus.digest.count())),
        "{produced}"
    );

    let consumed = franz_go::consume(&bootstrap, TOPIC)
        .limit(LIMIT)
        .run()?
        .clean()?;
    assert_eq!(digest_in(&consumed), corpus.digest.to_string());

    cluster.wait_in_sync(TOPIC)?;
    cluster.stop()?;
    let bytes = replicas::assert_identical(&cluster, TOPIC)?;
    let records = replicas::assert_dumpable(&cluster, TOPIC)?;
    assert_eq!(records, 3 * corpus.digest.count());
    println!("{records} records over the replicas, {bytes} bytes each");
    Ok(())
}
