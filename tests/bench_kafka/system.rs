//! The systems that are measured: three nodes of Dohle, of Apache Kafka or of the null broker on
//! this machine, or a cluster that runs already.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dohle_tests::cluster::CLUSTER_ID;
use dohle_tests::{Cluster, node, root};

use crate::null_broker::NullCluster;

/// A cluster to measure.
#[derive(Debug)]
pub struct System {
    nodes: Nodes,
    /// The addresses for clients.
    pub bootstrap: String,
    /// The processes of the servers.
    pub pids: Vec<u32>,
}

/// Who started the nodes.
#[derive(Debug)]
enum Nodes {
    Ours(Cluster),
    Null(NullCluster),
    Running,
}

/// What a system is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The program under test.
    Dohle,
    /// Apache Kafka of the jars in `DOHLE_KAFKA_LIBS`.
    Kafka,
    /// A cluster that runs already.
    Running {
        /// The addresses for clients.
        bootstrap: String,
        /// The processes of its servers; without them, what they use is not measured.
        pids: Vec<u32>,
    },
}

/// Options of the Java machine as Kafka's own scripts set them.
const KAFKA_JVM: &str = "-Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
                         -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent \
                         -Djava.awt.headless=true";

/// What all nodes have in common, whatever their make. Deleted records leave the disk soon, since
/// the runs after them need the space.
const PROPERTIES: [(&str, &str); 8] = [
    ("min.insync.replicas", "2"),
    ("default.replication.factor", "3"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("log.segment.delete.delay.ms", "1000"),
    ("log.retention.check.interval.ms", "10000"),
];

impl Kind {
    /// Writes the files of three nodes that can be started to a new folder in `folder`; returns
    /// `None` for a cluster that runs already.
    pub fn prepare(&self, folder: &Path) -> Result<Option<Cluster>> {
        let mut builder = Cluster::of(3).directory(folder);
        for (name, value) in PROPERTIES {
            builder = builder.property(name, value);
        }
        let cluster = match self {
            Self::Dohle => builder.program(&node::binary()?).prepare()?,
            Self::Kafka => {
                let script = root().join("tests/wire/kafka.sh");
                let builder = builder.environment("DOHLE_KAFKA_JVM", KAFKA_JVM);
                let cluster = builder.program(&script).prepare()?;
                format(&script, &cluster)?;
                cluster
            }
            Self::Running { .. } => return Ok(None),
        };
        Ok(Some(cluster))
    }
}

/// Formats Kafka's data folders, which is not part of a start.
fn format(script: &Path, cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        let mut command = Command::new(script);
        command.arg("format").arg(&node.properties);
        command.env("CLUSTER_ID", CLUSTER_ID);
        let output = command.output().context("format a data folder")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "format a data folder: {errors}");
    }
    Ok(())
}

impl System {
    /// Returns a system of nodes that have been started.
    pub fn of(cluster: Cluster) -> Result<Self> {
        let mut system = Self {
            bootstrap: cluster.bootstrap(),
            pids: Vec::new(),
            nodes: Nodes::Ours(cluster),
        };
        system.find_processes()?;
        Ok(system)
    }

    /// Starts so many null brokers.
    pub fn null(count: usize, appends: bool) -> Result<Self> {
        let cluster = NullCluster::start(count, appends)?;
        Ok(Self {
            bootstrap: cluster.bootstrap(),
            pids: cluster.pids(),
            nodes: Nodes::Null(cluster),
        })
    }

    /// Returns a system that runs already.
    pub fn running(bootstrap: &str, pids: &[u32]) -> Result<Self> {
        for pid in pids {
            ensure!(dohle_tests::proc::alive(*pid), "there is no process {pid}");
        }
        Ok(Self {
            nodes: Nodes::Running,
            bootstrap: bootstrap.to_owned(),
            pids: pids.to_vec(),
        })
    }

    /// Returns the null brokers, if it is these.
    pub fn null_brokers(&self) -> Option<&NullCluster> {
        match &self.nodes {
            Nodes::Null(cluster) => Some(cluster),
            _ => None,
        }
    }

    /// Returns whether its nodes can be started, stopped and killed.
    pub fn is_ours(&self) -> bool {
        matches!(self.nodes, Nodes::Ours(_))
    }

    /// Returns the nodes, for what needs to start, stop or kill them.
    pub fn cluster(&mut self) -> Result<&mut Cluster> {
        match &mut self.nodes {
            Nodes::Ours(cluster) => Some(cluster),
            _ => None,
        }
        .context("the nodes were not started by this program")
    }

    /// Finds the processes again after nodes were started.
    pub fn find_processes(&mut self) -> Result<()> {
        let pids = self.cluster()?.nodes().iter().map(node::Node::pid);
        self.pids = pids.collect::<Result<_>>()?;
        Ok(())
    }
}
