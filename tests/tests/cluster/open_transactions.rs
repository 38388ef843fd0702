//! A transaction that is open: what the tools of Dohle and of Kafka print about it, how it is ended
//! by force, and that it can be committed after its partition has moved to other brokers.

use anyhow::{Result, ensure};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use crate::console_tools::{ours, theirs};
use crate::hanging_transactions::{Client, TOPIC, committed};

fn start(nodes: usize) -> Result<Cluster> {
    Cluster::of(nodes)
        .property("transaction.state.log.replication.factor", "1")
        .property("transaction.state.log.min.isr", "1")
        .property("transaction.state.log.num.partitions", "1")
        .start()
}

/// Returns the words of each line that a tool prints, without the columns that grow with time.
fn words(printed: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = printed.lines().collect();
    let heading: Vec<&str> = lines[0].split_whitespace().collect();
    let grows = |column: usize| heading.get(column) == Some(&"TransactionDurationMs");
    let words = |line: &&str| {
        let words = line.split_whitespace().enumerate();
        let lasting = words.filter(|(column, _)| !grows(*column));
        lasting.map(|(_, word)| word.to_owned()).collect()
    };
    lines.iter().map(words).collect()
}

/// Returns the lines below the heading that both tools print.
fn printed(cluster: &Cluster, arguments: &[&str]) -> Result<Vec<Vec<String>>> {
    let bootstrap = cluster.bootstrap();
    let ours = ours("transactions", &bootstrap, arguments)?.run()?.ok()?;
    let theirs = theirs("TransactionsCommand", &bootstrap, arguments);
    let theirs = theirs.run()?.ok()?;
    ensure!(
        words(&ours) == words(&theirs),
        "{arguments:?}: Dohle's tool:\n{ours}Kafka's tool:\n{theirs}"
    );
    Ok(words(&ours).split_off(1))
}

/// Reads `count` records of the one partition of a topic with the console consumers of both, which
/// print the same. Waits for two seconds for none.
fn consumed(cluster: &Cluster, count: usize, arguments: &[&str]) -> Result<String> {
    let bootstrap = cluster.bootstrap();
    let common = ["--partition", "0", "--offset", "earliest"];
    let max = count.to_string();
    let end = match count {
        0 => vec!["--timeout-ms", "2000"],
        _ => vec!["--max-messages", &max, "--timeout-ms", "60000"],
    };
    let arguments = [arguments, &common, &end].concat();
    let ours = ours("console-consumer", &bootstrap, &arguments)?.run()?;
    let theirs = theirs("ConsoleConsumer", &bootstrap, &arguments).run()?;
    ensure!(
        ours.stdout == theirs.stdout,
        "{arguments:?}: {ours}{theirs}"
    );
    Ok(ours.stdout)
}

#[test]
fn both_tools_print_the_same_about_an_open_transaction_and_end_it() -> Result<()> {
    let cluster = start(1)?;
    cluster.create_topic(TOPIC, 1, 1, &[])?;
    let client = Client::init(&cluster, "slow", 0)?;
    client.add_partition()?;
    ensure!(client.write(0, "open")? == (0, 0));

    let listed = printed(&cluster, &["list"])?;
    ensure!(listed.len() == 1 && listed[0][0] == "slow", "{listed:?}");
    ensure!(listed[0][3] == "Ongoing", "{listed:?}");
    let described = printed(&cluster, &["describe", "--transactional-id", "slow"])?;
    ensure!(described[0][4] == "Ongoing", "{described:?}");
    let partition = ["describe-producers", "--topic", TOPIC, "--partition", "0"];
    let producers = printed(&cluster, &partition)?;
    let start_offset = producers[0].last().map(String::as_str);
    ensure!(start_offset == Some("0"), "{producers:?}");

    let read = ["--topic", TOPIC, "--isolation-level"];
    let at = |level, count| consumed(&cluster, count, &[&read[..], &[level]].concat());
    ensure!(at("read_uncommitted", 1)? == "open\n");
    ensure!(at("read_committed", 0)?.is_empty());
    let state = ["--topic", "__transaction_state", "--formatter"];
    let formatter = "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter";
    let states = consumed(&cluster, 2, &[&state[..], &[formatter]].concat())?;
    ensure!(states.contains("\"slow\""), "{states}");

    let end = ["forceTerminateTransaction", "--transactionalId", "slow"];
    let ended = ours("transactions", &cluster.bootstrap(), &end)?.run()?;
    ensure!(ended.code == 0, "{ended}");
    let described = printed(&cluster, &["describe", "--transactional-id", "slow"])?;
    ensure!(described[0][4] == "Empty", "{described:?}");
    let (error_code, _) = client.write(1, "late")?;
    ensure!(error_code != 0, "the producer is not fenced");
    let producers = printed(&cluster, &partition)?;
    let start_offset = producers[0].last().map(String::as_str);
    ensure!(start_offset == Some("None"), "{producers:?}");
    Ok(())
}

#[test]
fn a_transaction_is_committed_after_its_partition_moved_to_another_broker() -> Result<()> {
    let cluster = start(3)?;
    let bootstrap = cluster.bootstrap();
    let create = ["--create", "--topic", TOPIC, "--replica-assignment", "1"];
    ours("topics", &bootstrap, &create)?.run()?.ok()?;
    let client = Client::init(&cluster, "mover", 0)?;
    client.add_partition()?;
    ensure!(client.write(0, "before")? == (0, 0));

    let plan = cluster.scratch().join("plan.json");
    let moved = format!(r#"{{"topic":"{TOPIC}","partition":0,"replicas":[2,3]}}"#);
    std::fs::write(&plan, format!(r#"{{"version":1,"partitions":[{moved}]}}"#))?;
    let plan = plan.display().to_string();
    let execute = ["--reassignment-json-file", &plan, "--execute"];
    ours("reassign-partitions", &bootstrap, &execute)?
        .run()?
        .ok()?;
    cluster.wait_for_partition(TOPIC, 0, DEADLINE, |state| {
        state.replicas == [2, 3] && state.leader == Some(2)
    })?;
    ensure!(committed(&cluster, 0)?.is_empty());
    until(DEADLINE, "the new leader takes the next record", || {
        Ok(client.write(1, "after")? == (0, 1))
    })?;
    client.end(true)?;
    until(DEADLINE, "the transaction is visible", || {
        Ok(committed(&cluster, 0)? == "before\nafter\n")
    })?;
    let partition = ["describe-producers", "--topic", TOPIC, "--partition", "0"];
    let producers = printed(&cluster, &partition)?;
    let start_offset = producers[0].last().map(String::as_str);
    ensure!(start_offset == Some("None"), "{producers:?}");
    Ok(())
}
