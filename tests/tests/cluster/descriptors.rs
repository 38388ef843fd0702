//! Nodes whose descriptors run out, through connections and through partitions: existing
//! connections and partitions can be used, new ones are refused with a reason, and everything works
//! again afterwards.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::cluster::{describe, text};
use dohle_tests::node::Node;
use dohle_tests::records::{batch, fetch, produce};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, KafkaConnection, proc, until};
use kacrab_protocol::generated as kafka;

/// The limit of open files of each node.
const OPEN_FILES: u32 = 256;
/// Connections that are opened to each node.
const CONNECTIONS: usize = 300;
const POLICY_VIOLATION: i16 = 44;

/// A producer and a consumer of one partition, each on the connection with which it began.
struct Traffic {
    leader: SocketAddr,
    rounds: AtomicU64,
    ends: AtomicBool,
}

impl Traffic {
    /// Produces with acks=all and reads back, until it is asked to end. Fails on any error.
    fn run(&self) -> Result<u64> {
        let mut producer = KafkaConnection::open(self.leader)?;
        let mut consumer = KafkaConnection::open(self.leader)?;
        let mut rounds = 0;
        while !self.ends.load(Ordering::Relaxed) {
            let value = format!("record {rounds}");
            let produced = produce(
                &mut producer,
                "t",
                0,
                -1,
                batch(&[value.as_bytes()])?.freeze(),
            )?;
            ensure!(produced.error_code == 0, "round {rounds}: {produced:?}");
            let (values, _) = fetch(&mut consumer, "t", 0, produced.base_offset)?;
            ensure!(values == [value.as_bytes()], "round {rounds}: {values:?}");
            rounds += 1;
            self.rounds.store(rounds, Ordering::Relaxed);
        }
        Ok(rounds)
    }

    /// Waits until some more records were produced and read.
    fn goes_on(&self, when: &str) -> Result<()> {
        let before = self.rounds.load(Ordering::Relaxed);
        until(DEADLINE, format!("traffic goes on {when}"), || {
            Ok(self.rounds.load(Ordering::Relaxed) > before + 5)
        })
    }
}

/// Creates a topic. Returns the error message when the nodes refuse it for lack of room.
fn create(cluster: &Cluster, name: &str, partitions: i32) -> Result<Option<String>> {
    let topic = kafka::CreatableTopic {
        name: text(name),
        num_partitions: partitions,
        replication_factor: 3,
        ..Default::default()
    };
    let request = kafka::CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = cluster.connect()?.call(&request, 7)?;
    let result = response.topics.first().context("no answer for the topic")?;
    match result.error_code {
        0 => Ok(None),
        POLICY_VIOLATION => {
            let message = result.error_message.as_ref().context("no reason")?;
            Ok(Some(message.as_str().to_owned()))
        }
        code => anyhow::bail!("create {name}: error {code} {:?}", result.error_message),
    }
}

/// Writes a record to every partition of a topic, the first one of most of them.
fn write_to_all(cluster: &Cluster, open: &mut [KafkaConnection], topic: &str) -> Result<()> {
    for (at, state) in describe(&mut open[0], topic)?.iter().enumerate() {
        let leader = state.leader.context("no leader")?;
        let node = cluster.nodes().iter().position(|node| node.id == leader);
        let connection = &mut open[node.context("the leader is no node")?];
        let partition = i32::try_from(at)?;
        let produced = produce(
            connection,
            topic,
            partition,
            -1,
            batch(&[b"first"])?.freeze(),
        )?;
        ensure!(
            produced.error_code == 0,
            "{topic}-{partition}: {produced:?}"
        );
    }
    Ok(())
}

fn all_run(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        ensure!(proc::alive(node.pid()?), "node {} has ended", node.id);
    }
    Ok(())
}

fn exhaust(cluster: &Cluster, traffic: &Traffic) -> Result<()> {
    let connections = cluster.nodes().iter().map(Node::connect);
    let mut writers = connections.collect::<Result<Vec<_>>>()?;
    // Creates partitions until there is no room for more.
    let mut refused = None;
    let mut topics = Vec::new();
    for round in 0..20 {
        refused = create(cluster, &format!("many-{round}"), 20)?;
        if refused.is_some() {
            break;
        }
        topics.push(format!("many-{round}"));
    }
    let refused = refused.context("400 partitions fit into 256 open files")?;
    ensure!(
        refused.contains("ulimit -n") && refused.contains(&OPEN_FILES.to_string()),
        "{refused}"
    );
    traffic.goes_on("with many partitions")?;
    all_run(cluster)?;

    // Opens connections: half of them silent, the others with a request.
    let mut open = Vec::new();
    let mut served = 0;
    for node in cluster.nodes() {
        for at in 0..CONNECTIONS {
            if at % 2 == 0 {
                open.extend(TcpStream::connect_timeout(
                    &node.address,
                    Duration::from_secs(5),
                ));
            } else if let Ok(mut connection) = node.connect() {
                connection.limit(Duration::from_secs(5))?;
                served += usize::from(connection.api_versions().is_ok());
            }
        }
        traffic.goes_on(&format!(
            "while node {} has no descriptors for clients",
            node.id
        ))?;
    }
    ensure!(served > 0, "no new connection was served");
    let refusing = cluster.nodes()[0].log()?;
    ensure!(
        refusing.contains("refusing clients"),
        "no connection was refused"
    );
    // The partitions use the descriptors that were reserved for them.
    for topic in &topics {
        write_to_all(cluster, &mut writers, topic)?;
    }
    traffic.goes_on("with all partitions written")?;
    all_run(cluster)?;
    ensure!(create(cluster, "more", 20).map_or(true, |refused| refused.is_some()));
    Ok(())
}

#[test]
fn nodes_without_descriptors_serve_what_is_open_and_refuse_what_is_new() -> Result<()> {
    let cluster = Cluster::of(3)
        .open_files(OPEN_FILES)
        .property("min.insync.replicas", "2")
        .allow("open files are short")
        .start()?;
    cluster.create_topic("t", 1, 3, &[])?;
    let leader = cluster.leader("t", 0)?;
    let node = cluster.nodes().iter().find(|node| node.id == leader);
    let traffic = Traffic {
        leader: node.context("the leader is no node")?.address,
        rounds: AtomicU64::new(0),
        ends: AtomicBool::new(false),
    };
    std::thread::scope(|scope| -> Result<()> {
        let running = scope.spawn(|| traffic.run());
        let exhausted = traffic
            .goes_on("at first")
            .and_then(|()| exhaust(&cluster, &traffic));
        // The connections are closed by now.
        let after = exhausted.and_then(|()| {
            for node in cluster.nodes() {
                until(
                    DEADLINE,
                    format!("node {} serves new clients", node.id),
                    || Ok(node.connect()?.live_brokers()?.len() == 3),
                )?;
            }
            traffic.goes_on("afterwards")
        });
        traffic.ends.store(true, Ordering::Relaxed);
        let rounds = running.join().expect("the traffic does not panic")?;
        after?;
        ensure!(rounds > 0);
        Ok(())
    })?;
    let topics = std::iter::once("t".to_owned()).chain((0..3).map(|at| format!("many-{at}")));
    for topic in topics {
        if cluster.describe(&topic).is_ok() {
            cluster.wait_in_sync(&topic)?;
        }
    }
    Ok(())
}
