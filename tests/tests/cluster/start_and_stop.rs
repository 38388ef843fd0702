//! A node that refuses to start, and a node that receives a second stop signal.

use std::fs;
use std::net::TcpListener;

use anyhow::{Result, ensure};
use dohle_tests::connection::request_frame;
use dohle_tests::node::binary;
use dohle_tests::ports::free_port;
use dohle_tests::program::Program;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, KafkaConnection, logs, until};

const API_VERSIONS: i16 = 18;

/// Returns whether the messages of the program under test are known here.
fn words_are_known() -> bool {
    if !logs::checked() {
        println!("the logs of the program under test are not read");
    }
    logs::checked()
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() -> Result<()> {
    if !words_are_known() {
        return Ok(());
    }
    let data = tempfile::tempdir()?;
    let taken = TcpListener::bind(("127.0.0.1", free_port()?))?;
    let (address, controller) = (taken.local_addr()?, free_port()?);
    let properties = [
        format!("listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}"),
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        format!("log.dirs={}", data.path().display()),
    ];
    let output = Program::new(binary()?)
        .arg("server")
        .args(properties.iter().flat_map(|it| ["--override", it.as_str()]))
        .run()?;
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(output.code == 1, "{output}");
    let wanted = format!(
        "listener PLAINTEXT: {address} cannot be bound; end the program that listens there, or set \
         another port in `listeners`: "
    );
    ensure!(said.contains(&wanted), "{output}");
    // The words are those of the C library.
    ensure!(
        said.matches("in use (os error 98)").count() == 1,
        "{output}"
    );
    Ok(())
}

#[test]
fn a_second_signal_ends_a_node_that_waits_for_others_to_stop_in_order() -> Result<()> {
    if !words_are_known() {
        return Ok(());
    }
    let mut cluster = Cluster::of(3)
        .allow("received a second stop signal")
        .start()?;
    // No other node can take over the leaderships, so the node waits.
    cluster.broker(2).pause()?;
    cluster.broker(3).pause()?;
    let node = cluster.broker(1);
    node.ask_to_stop()?;
    until(DEADLINE, "the node has begun to stop", || {
        Ok(node.log()?.contains(" INFO stopping"))
    })?;
    node.ask_to_stop()?;
    let status = node.wait_until_ended()?;
    ensure!(status.code() == Some(130), "ended with {status}");
    ensure!(node.log()?.contains("received a second stop signal"));
    Ok(())
}

#[test]
fn a_kafka_client_that_asks_a_controllers_port_is_turned_away_in_words() -> Result<()> {
    if !words_are_known() {
        return Ok(());
    }
    let words =
        "this listener does not serve Kafka's client protocol; connect to a listener of a broker";
    let mut cluster = Cluster::of(1).allow(words).start()?;
    let node = cluster.broker(1);
    let mut connection = KafkaConnection::open(node.controller)?;
    connection.limit(DEADLINE)?;
    connection.send(&request_frame(API_VERSIONS, 0, 1, &[])?)?;
    ensure!(connection.receive()?.is_none(), "it was answered");
    until(DEADLINE, "the log says why", || {
        Ok(node.log()?.contains(words))
    })?;
    cluster.create_topic("still-served", 1, 1, &[])
}

/// The name of a pod is in DNS only once it is ready.
#[test]
fn a_node_reaches_its_own_controller_before_its_name_is_in_dns() -> Result<()> {
    let mut cluster = Cluster::of(1).prepare()?;
    let node = &cluster.nodes()[0];
    let properties = fs::read_to_string(&node.properties)?;
    let named = properties.replace("voters=1@127.0.0.1:", "voters=1@dohle-0.dohle.invalid:");
    ensure!(named != properties, "{properties}");
    fs::write(&node.properties, named)?;
    cluster.start()?;
    cluster.create_topic("t", 1, 1, &[])
}
