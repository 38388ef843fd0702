//! kafkajs creates, uses and deletes a topic, producing with the codecs that it supports.

use anyhow::Result;
use dohle_tests::Cluster;
use dohle_tests::clients::kafkajs;

#[test]
fn kafkajs_administers_produces_and_fetches() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let output = kafkajs::walk_through(&cluster.bootstrap(), "walk").run()?;
    // The second creation of the topic is refused; the first producer id may need a retry.
    let expected = ["Topic creation errors", "The coordinator is loading"];
    for line in output.stderr.lines() {
        assert!(expected.iter().any(|text| line.contains(text)), "{output}");
    }
    let facts = output.ok()?;
    let (first, rest) = facts.split_once('\n').unwrap_or_default();
    assert!(first.starts_with("brokers 1 2 3 controller "), "{first}");
    let expected = "\
created true
again false
partition 0 replicas 3 isr 3
partition 1 replicas 3 isr 3
partition 2 replicas 3 isr 3
config cleanup.policy delete default true
config min.insync.replicas 2 default false
config retention.ms 3600000 default false
produced None true
produced GZIP true
produced Snappy true
offsets 0 low 0 high 1002
offsets 1 low 0 high 999
offsets 2 low 0 high 999
offsets by a later time 1002 999 999
fetched None 1000 complete true
fetched GZIP 1000 complete true
fetched Snappy 1000 complete true
records deleted: low 500 high 1002
deleted
";
    assert_eq!(rest, expected);
    Ok(())
}
