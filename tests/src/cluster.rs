//! A cluster of real processes on this machine.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::{
    self as kafka, describe_quorum_request, describe_quorum_response,
};
use tempfile::TempDir;

use crate::connection::KafkaConnection;
use crate::logs;
use crate::node::Node;
use crate::ports::free_port;
use crate::private::write_private;
use crate::wait::{DEADLINE, eventually, until};

/// The id of every test cluster.
pub const CLUSTER_ID: &str = "ZG9obGUtdGVzdHMtMDAwMQ";

/// Texts of log lines that every test allows: advice that depends on the machine, and the Raft
/// library's own warnings about slow or missing peers.
const ALWAYS_ALLOWED: [&str; 4] = [
    "inside a container",
    "runs in a container",
    "timeout while",
    "HeartbeatWorker",
];

/// A cluster. When it is dropped, its processes are ended and its files removed.
///
/// Dropping it fails the test when a node logged a warning or an error that was not allowed.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    allowed: Vec<String>,
    is_silent: bool,
    directory: TempDir,
}

/// The configuration of a cluster to be started.
#[derive(Debug)]
pub struct Builder {
    count: usize,
    first_id: i32,
    program: Option<PathBuf>,
    properties: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    open_files: Option<u32>,
    allowed: Vec<String>,
    parent: PathBuf,
    host: fn(i32) -> Ipv4Addr,
}

/// A partition as the metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The leader, if there is one.
    pub leader: Option<i32>,
    /// Its epoch.
    pub leader_epoch: i32,
    /// The replicas, in their order.
    pub replicas: Vec<i32>,
    /// The replicas in sync, sorted.
    pub isr: Vec<i32>,
}

impl Cluster {
    /// Creates a builder for `count` nodes, each broker and controller.
    pub fn of(count: usize) -> Builder {
        let allowed = ALWAYS_ALLOWED.map(str::to_owned).to_vec();
        Builder {
            count,
            first_id: 1,
            program: None,
            properties: Vec::new(),
            environment: Vec::new(),
            open_files: None,
            allowed,
            parent: std::env::temp_dir(),
            host: |_| Ipv4Addr::LOCALHOST,
        }
    }

    /// Returns the node with this id; ids count from 1, unless [`Builder::first_id`] is set.
    pub fn broker(&mut self, id: i32) -> &mut Node {
        self.nodes
            .iter_mut()
            .find(|node| node.id == id)
            .expect("no node has this id")
    }

    /// Returns all nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns all nodes, to start or stop them.
    pub fn nodes_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Returns the addresses of the running nodes, for a client.
    pub fn bootstrap(&self) -> String {
        let up = self.nodes.iter().filter(|node| node.is_up());
        let addresses: Vec<String> = up.map(|node| node.address.to_string()).collect();
        addresses.join(",")
    }

    /// Returns a folder for files of the test.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the files where they are when this value is dropped.
    pub fn keep_files(&mut self) {
        self.directory.disable_cleanup(true);
    }

    /// Allows log lines with this text from now on.
    pub fn allow(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    /// Does not print the ends of the logs when the cluster is dropped: for a program, whose error
    /// output is always shown.
    pub fn silence(&mut self) {
        self.is_silent = true;
    }

    /// Connects to any running node. While none runs, another program may serve the first one's
    /// address.
    pub fn connect(&self) -> Result<KafkaConnection> {
        let up = self.nodes.iter().find(|node| node.is_up());
        let node = up.or(self.nodes.first()).context("no nodes")?;
        node.connect()
    }

    /// Stops all nodes at the same time, cleanly.
    ///
    /// The last nodes cannot hand over the leadership of the quorum, so warnings about that are
    /// allowed.
    pub fn stop(&mut self) -> Result<()> {
        self.allow("no answer from a majority");
        self.allow("leadership of the quorum was not handed over");
        self.allow("raft stopped");
        self.allow("failed to receive from RaftCore");
        let mut running: Vec<&mut Node> = self
            .nodes
            .iter_mut()
            .filter(|node| node.child.is_some())
            .collect();
        for node in &running {
            node.ask_to_stop()?;
        }
        for node in &mut running {
            node.wait_until_stopped()?;
        }
        Ok(())
    }

    /// Starts all stopped nodes, and waits until each of them lists all nodes.
    pub fn start(&mut self) -> Result<()> {
        for node in self.nodes.iter_mut().filter(|node| node.child.is_none()) {
            node.launch()?;
        }
        for node in &mut self.nodes {
            node.wait_until_ready()?;
        }
        self.wait_for_brokers(self.nodes.len())
    }

    /// Waits until every running node lists this number of live brokers.
    pub fn wait_for_brokers(&self, count: usize) -> Result<()> {
        for node in self.nodes.iter().filter(|node| node.is_up()) {
            let what = format!("node {} sees {count} brokers", node.id);
            until(DEADLINE, what, || {
                let seen = node.connect()?.live_brokers()?;
                ensure!(seen.len() == count, "brokers {seen:?}");
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Creates a topic with the given configs, and waits until every running node lists a leader of
    /// each of its partitions.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let configs = configs
            .iter()
            .map(|(name, value)| kafka::CreatableTopicConfig {
                name: text(name),
                value: Some(text(value)),
                ..Default::default()
            });
        let topic = kafka::CreatableTopic {
            name: text(name),
            num_partitions: partitions,
            replication_factor: replicas,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = kafka::CreateTopicsRequestData {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let response = self.connect()?.call(&request, 7)?;
        let result = response.topics.first().context("no answer for the topic")?;
        if result.error_code != 0 {
            bail!(
                "create {name}: error {} {:?}",
                result.error_code,
                result.error_message
            );
        }
        for node in self.nodes.iter().filter(|node| node.is_up()) {
            until(DEADLINE, format!("node {} knows {name}", node.id), || {
                let seen = describe(&mut node.connect()?, name)?;
                let led = seen.iter().all(|partition| partition.leader.is_some());
                Ok(led && seen.len() == usize::try_from(partitions)?)
            })?;
        }
        Ok(())
    }

    /// Returns the topic's partitions, in order, as the first running node lists them.
    pub fn describe(&self, topic: &str) -> Result<Vec<PartitionState>> {
        describe(&mut self.connect()?, topic)
    }

    /// Waits until a partition has a leader, and returns it.
    pub fn leader(&self, topic: &str, partition: usize) -> Result<i32> {
        eventually(
            DEADLINE,
            format!("{topic}-{partition} has a leader"),
            || {
                let state = self.describe(topic)?;
                Ok(state.get(partition).context("no such partition")?.leader)
            },
        )
    }

    /// Waits until `wanted` accepts a partition, and returns its state.
    pub fn wait_for_partition(
        &self,
        topic: &str,
        partition: usize,
        limit: Duration,
        wanted: impl Fn(&PartitionState) -> bool,
    ) -> Result<PartitionState> {
        eventually(limit, format!("{topic}-{partition} is as wanted"), || {
            let state = self.describe(topic)?;
            let state = state.get(partition).context("no such partition")?;
            ensure!(wanted(state), "{state:?}");
            Ok(Some(state.clone()))
        })
    }

    /// Waits until all replicas of all partitions of a topic are in sync.
    pub fn wait_in_sync(&self, topic: &str) -> Result<()> {
        until(
            DEADLINE,
            format!("all replicas of {topic} are in sync"),
            || {
                let state = self.describe(topic)?;
                let behind = state.iter().find(|p| p.isr.len() != p.replicas.len());
                ensure!(behind.is_none() && !state.is_empty(), "{behind:?}");
                Ok(true)
            },
        )
    }

    /// Returns the active controller.
    pub fn controller(&self) -> Result<i32> {
        eventually(DEADLINE, "there is an active controller", || {
            let leader = self.describe_quorum()?.leader_id;
            Ok((leader > 0).then_some(leader))
        })
    }

    /// Waits until there is an active controller, and each voter has all of the metadata.
    pub fn wait_for_quorum(&self) -> Result<()> {
        until(DEADLINE, "all controllers have the metadata", || {
            let quorum = self.describe_quorum()?;
            let voters = &quorum.current_voters;
            let behind = voters
                .iter()
                .find(|voter| voter.log_end_offset < quorum.high_watermark);
            ensure!(
                behind.is_none() && voters.len() == self.nodes.len(),
                "{quorum:?}"
            );
            Ok(quorum.leader_id > 0)
        })
    }

    fn describe_quorum(&self) -> Result<describe_quorum_response::PartitionData> {
        let topic = describe_quorum_request::TopicData {
            topic_name: text("__cluster_metadata"),
            partitions: vec![describe_quorum_request::PartitionData::default()],
            ..Default::default()
        };
        let request = kafka::DescribeQuorumRequestData {
            topics: vec![topic],
            ..Default::default()
        };
        let response = self.connect()?.call(&request, 2)?;
        ensure!(response.error_code == 0, "error {}", response.error_code);
        let topic = response.topics.into_iter().next().context("no topic")?;
        topic.partitions.into_iter().next().context("no partition")
    }

    /// Fails when a node logged a warning or an error that is not allowed.
    pub fn check_logs(&self) -> Result<()> {
        if !logs::checked() {
            return Ok(());
        }
        let mut report = String::new();
        for node in &self.nodes {
            for line in logs::unexpected(&node.log()?, &self.allowed) {
                writeln!(report, "node {}: {line}", node.id)?;
            }
        }
        ensure!(
            report.is_empty(),
            "warnings and errors that no one expects:\n{report}"
        );
        Ok(())
    }
}

impl Builder {
    /// Sets a property of every node.
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets an environment variable of every node.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the program of every node, which has Dohle's command line.
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    /// Sets the id of the first node; Kubernetes numbers from 0.
    pub fn first_id(mut self, id: i32) -> Self {
        self.first_id = id;
        self
    }

    /// Sets the limit of open files of each node, both soft and hard.
    pub fn open_files(mut self, limit: u32) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Allows log lines with this text.
    pub fn allow(mut self, text: &str) -> Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// Sets the folder in which the cluster creates its own; otherwise that is the system's for
    /// temporary files.
    pub fn directory(mut self, parent: &Path) -> Self {
        self.parent = parent.to_owned();
        self
    }

    /// Sets the address of each node by its id. A node whose address is not one of this machine's
    /// is started in [`Node::namespace`].
    pub fn hosts(mut self, host: fn(i32) -> Ipv4Addr) -> Self {
        self.host = host;
        self
    }

    /// Starts the cluster, and waits until each node lists all nodes.
    pub fn start(self) -> Result<Cluster> {
        let mut cluster = self.prepare()?;
        cluster.start()?;
        Ok(cluster)
    }

    /// Writes the files of the cluster without starting it.
    pub fn prepare(self) -> Result<Cluster> {
        let directory = TempDir::with_prefix_in("dohle-cluster-", &self.parent)?;
        let ids: Vec<i32> = (self.first_id..).take(self.count).collect();
        let mut ports = Vec::new();
        for _ in &ids {
            ports.push((free_port()?, free_port()?));
        }
        let voters: Vec<String> = ids
            .iter()
            .zip(&ports)
            .map(|(id, (_, controller))| format!("{id}@{}:{controller}", (self.host)(*id)))
            .collect();
        let mut nodes = Vec::new();
        for (id, (broker, controller)) in ids.iter().zip(&ports) {
            let home = directory.path().join(format!("node{id}"));
            std::fs::create_dir(&home)?;
            let address = SocketAddr::from(((self.host)(*id), *broker));
            let controller_address = SocketAddr::from(((self.host)(*id), *controller));
            let mut node = Node::new(*id, address, controller_address, &home);
            node.environment
                .push(("CLUSTER_ID".to_owned(), CLUSTER_ID.to_owned()));
            node.environment.extend(self.environment.iter().cloned());
            node.open_files = self.open_files;
            node.program.clone_from(&self.program);
            node.create_log()?;
            let properties = self.file(&node, &voters.join(","));
            write_private(&node.properties, properties)?;
            nodes.push(node);
        }
        Ok(Cluster {
            nodes,
            allowed: self.allowed,
            is_silent: false,
            directory,
        })
    }

    fn file(&self, node: &Node, voters: &str) -> String {
        let (address, controller) = (node.address, node.controller);
        let mut file = format!(
            "process.roles=broker,controller\n\
             node.id={}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
             advertised.listeners=PLAINTEXT://{address}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n",
            node.id,
            node.data.display(),
        );
        for (name, value) in &self.properties {
            file.push_str(&format!("{name}={value}\n"));
        }
        file
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        // The test runner shows this when the test fails, and only then.
        for node in self.nodes.iter().filter(|_| !self.is_silent) {
            eprintln!("--- node {} ends its log with:", node.id);
            eprintln!("{}", logs::tail(&node.log, 25));
        }
        let checked = self.check_logs();
        if let (false, Err(error)) = (std::thread::panicking(), checked) {
            panic!("{error}");
        }
    }
}

/// Returns a topic's partitions as one node lists them; fails when the node does not know the
/// topic.
pub fn describe(connection: &mut KafkaConnection, topic: &str) -> Result<Vec<PartitionState>> {
    let wanted = kafka::MetadataRequestTopic {
        name: Some(text(topic)),
        ..Default::default()
    };
    let request = kafka::MetadataRequestData::default()
        .with_topics(Some(vec![wanted]))
        .with_allow_auto_topic_creation(false);
    let response = connection.call(&request, 12)?;
    let found = response
        .topics
        .into_iter()
        .next()
        .context("no answer for the topic")?;
    ensure!(
        found.error_code == 0,
        "metadata of {topic}: error {}",
        found.error_code
    );
    let mut partitions = found.partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let state = partitions.into_iter().map(|partition| {
        let mut isr = partition.isr_nodes;
        isr.sort_unstable();
        PartitionState {
            leader: (partition.leader_id >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            isr,
        }
    });
    Ok(state.collect())
}

/// Converts a text for a message.
pub fn text(value: &str) -> KafkaString {
    KafkaString::from(value.to_owned())
}
