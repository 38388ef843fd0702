//! Two of three nodes are killed, or hang: the third answers administrative requests within their
//! timeouts, and names the voters that do not respond. Its log reports each of them once.

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::cluster::text;
use dohle_tests::node::Node;
use kacrab_protocol::generated as kafka;

use super::console_tools::ours;
use super::faults::allow_lost_connections;

/// Kafka's error code.
const REQUEST_TIMED_OUT: i16 = 7;
/// Longer than a connection of the tests waits for a response: the broker has to answer earlier.
const TIMEOUT_MS: i32 = 60_000;

/// Returns the message with which a node refuses to create a topic.
fn refusal(node: &Node) -> Result<String> {
    let topic = kafka::CreatableTopic {
        name: text("refused"),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = kafka::CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: TIMEOUT_MS,
        ..Default::default()
    };
    let response = node.connect()?.call(&request, 7)?;
    let result = response.topics.first().context("no answer for the topic")?;
    ensure!(result.error_code == REQUEST_TIMED_OUT, "{result:?}");
    let message = result.error_message.as_ref().context("no message")?;
    Ok(message.as_str().to_owned())
}

/// Makes all nodes but one silent, and checks what that one answers. Returns its log since then.
fn check_answers(
    cluster: &mut Cluster,
    survivor: i32,
    silence: impl Fn(&mut Node) -> Result<()>,
) -> Result<String> {
    let before = cluster.broker(survivor).log()?.len();
    let mut voters = Vec::new();
    for id in (1..=3).filter(|id| *id != survivor) {
        let node = cluster.broker(id);
        silence(node)?;
        voters.push(format!("{id}@{}", node.controller));
    }
    let names_them = |message: &str| {
        message.contains("2 of 3 voters do not respond")
            && voters.iter().all(|voter| message.contains(voter))
    };
    // The tool does not try again after the first answer.
    let once = cluster.scratch().join("tool.properties");
    std::fs::write(&once, "default.api.timeout.ms=1000")?;
    let survivor = cluster.broker(survivor);
    let bootstrap = survivor.address.to_string();
    let create = ["--create", "--topic", "by-tool", "--partitions", "1"];
    let tool = ours("topics", &bootstrap, &create)?;
    let tool = tool.arg("--command-config").arg(&once).start()?;
    let message = refusal(survivor)?;
    ensure!(names_them(&message), "{message}");
    let output = tool.finish()?;
    let printed = format!("{}{}", output.stdout, output.stderr);
    ensure!(output.code == 1 && names_them(&printed), "{output}");
    Ok(survivor.log()?.split_off(before))
}

/// Returns how many lines contain all these texts.
fn count(log: &str, texts: &[&str]) -> usize {
    let matches = |line: &&str| texts.iter().all(|text| line.contains(text));
    log.lines().filter(matches).count()
}

#[test]
fn the_last_node_names_the_voters_that_were_killed() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    cluster.allow("no active controller to register with");
    // Each node leads a partition, and follows the other two.
    cluster.create_topic("t", 3, 3, &[])?;
    cluster.wait_in_sync("t")?;
    let survivor = cluster.controller()? % 3 + 1;
    let log = check_answers(&mut cluster, survivor, Node::kill)?;
    for id in (1..=3).filter(|id| *id != survivor) {
        let silent = "voter of the metadata quorum does not respond";
        let voter = format!("voter={id} ");
        assert_eq!(count(&log, &[silent, &voter]), 1, "{log}");
        let leader = format!("leader={id} ");
        assert_eq!(
            count(&log, &["replication stream ended", &leader]),
            1,
            "{log}"
        );
    }
    Ok(())
}

#[test]
fn an_active_controller_names_the_voters_that_hang() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    cluster.allow("no active controller to register with");
    let survivor = cluster.controller()?;
    let log = check_answers(&mut cluster, survivor, Node::pause)?;
    for id in (1..=3).filter(|id| *id != survivor) {
        let silent = "voter of the metadata quorum does not respond";
        let voter = format!("voter={id} ");
        assert_eq!(count(&log, &[silent, &voter]), 1, "{log}");
    }
    Ok(())
}
