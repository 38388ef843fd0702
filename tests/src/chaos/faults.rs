//! Makes the faults of a plan happen to a cluster, and ends them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kacrab_protocol::generated as kafka;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::calls::Injection;
use super::disk::Disk;
use super::network::Network;
use super::plan::{Calls, Fault, Step};
use crate::cluster::text;
use crate::wait::{DEADLINE, let_pass};
use crate::{Cluster, until};

/// The topic that is created and deleted.
const SHORT_LIVED: &str = "short-lived";

/// The connections that are opened to a node without descriptors.
const CONNECTIONS: usize = 20;

/// A cluster and the topics in it.
#[derive(Debug)]
pub struct Faults<'a> {
    /// The cluster.
    pub cluster: &'a mut Cluster,
    /// The topics whose replicas must be in sync before a disk is replaced.
    pub topics: Vec<String>,
    /// The topic with one partition and two replicas that are reassigned.
    pub moved: String,
    /// The nodes' network, if they have one of their own.
    pub network: Option<&'a Network>,
    /// The nodes' disks, if they have disks of their own.
    pub disks: &'a BTreeMap<i32, Disk>,
}

impl Faults<'_> {
    /// Makes a fault happen, and returns when it has ended and all nodes are there again.
    pub fn happen(&mut self, step: &Step) -> Result<()> {
        match &step.fault {
            Fault::Kill(nodes) => {
                for node in nodes {
                    self.cluster.broker(*node).kill()?;
                }
                let_pass(step.length);
            }
            Fault::Pause(nodes) => {
                for node in nodes {
                    self.cluster.broker(*node).pause()?;
                }
                let_pass(step.length);
                for node in nodes {
                    self.cluster.broker(*node).resume()?;
                }
            }
            Fault::RollingRestart => {
                let nodes: Vec<i32> = self.cluster.nodes().iter().map(|node| node.id).collect();
                for node in nodes {
                    self.wait_in_sync()?;
                    self.cluster.broker(node).stop()?;
                    self.cluster.broker(node).start()?;
                }
            }
            Fault::ReplaceDisk(node) => {
                self.wait_in_sync()?;
                self.cluster.broker(*node).stop()?;
                remove_content(&self.cluster.broker(*node).data)?;
                self.cluster.broker(*node).start()?;
                self.wait_in_sync()?;
            }
            Fault::Reassign(nodes) => self.reassign(nodes)?,
            Fault::DeleteTopic => self.delete_topic()?,
            Fault::Cut { links, flaps, .. } => self.cut(links, *flaps, step.length)?,
            Fault::FillDisks(nodes) => {
                for node in nodes {
                    self.disk(*node)?.fill()?;
                }
                let_pass(step.length);
                for node in nodes {
                    self.disk(*node)?.make_space()?;
                }
            }
            Fault::ChangeCalls(node, calls) => {
                let injection = Injection::start(self.cluster.broker(*node).pid()?, *calls)?;
                let_pass(step.length);
                drop(injection);
                if *calls != Calls::FlushesAreSlow {
                    // It may have ended by itself.
                    self.cluster.broker(*node).kill()?;
                }
            }
            Fault::TakeDescriptors(nodes) => self.take_descriptors(nodes, step.length)?,
        }
        self.cluster.start()
    }

    fn disk(&self, node: i32) -> Result<&Disk> {
        self.disks
            .get(&node)
            .context("the node has no disk of its own")
    }

    fn cut(&self, links: &[(i32, i32)], flaps: Option<Duration>, length: Duration) -> Result<()> {
        let network = self.network.context("there is no network")?;
        let begin = Instant::now();
        while let Some(left) = length.checked_sub(begin.elapsed()) {
            for (from, to) in links {
                network.cut(*from, *to)?;
            }
            let_pass(flaps.map_or(left, |period| period.min(left)));
            for (from, to) in links {
                network.heal(*from, *to)?;
            }
            if let Some(period) = flaps {
                let_pass(period);
            }
        }
        Ok(())
    }

    /// Allows nodes no more descriptors than they have, and connects to them meanwhile.
    fn take_descriptors(&mut self, nodes: &[i32], length: Duration) -> Result<()> {
        let mut limits = Vec::new();
        let mut connections = Vec::new();
        for node in nodes {
            let node = self.cluster.broker(*node);
            let open = fs::read_dir(format!("/proc/{}/fd", node.pid()?))?.count();
            let pid = i32::try_from(node.pid()?).ok().and_then(Pid::from_raw);
            let pid = pid.context("no process id")?;
            let mut limit = Rlimit {
                current: Some(open.try_into()?),
                maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
            };
            let before = prlimit(Some(pid), Resource::Nofile, limit)?;
            limit.current = before.current;
            limits.push((pid, limit));
            // The kernel accepts them, the node cannot.
            connections.extend((0..CONNECTIONS).map(|_| node.connect()));
        }
        let_pass(length);
        for (pid, limit) in limits {
            prlimit(Some(pid), Resource::Nofile, limit)?;
        }
        Ok(())
    }

    /// Waits until no replica is missing, in the quorum either.
    pub fn wait_in_sync(&self) -> Result<()> {
        for topic in &self.topics {
            self.cluster.wait_in_sync(topic)?;
        }
        self.cluster.wait_for_quorum()
    }

    fn reassign(&self, nodes: &[i32]) -> Result<()> {
        let partition = kafka::alter_partition_reassignments_request::ReassignablePartition {
            partition_index: 0,
            replicas: Some(nodes.to_vec()),
            ..Default::default()
        };
        let topic = kafka::alter_partition_reassignments_request::ReassignableTopic {
            name: text(&self.moved),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = kafka::AlterPartitionReassignmentsRequestData {
            timeout_ms: 30_000,
            topics: vec![topic],
            ..Default::default()
        };
        until(DEADLINE, "a reassignment is accepted", || {
            let answer = self.cluster.connect()?.call(&request, 0)?;
            let topic = answer.responses.first();
            let partition = topic.and_then(|topic| topic.partitions.first());
            let code = partition.map_or(answer.error_code, |partition| partition.error_code);
            ensure!(code == 0, "error {code}");
            Ok(true)
        })?;
        let (moved, limit) = (&self.moved, DEADLINE);
        let wanted = |replicas: &[i32]| {
            replicas.len() == nodes.len() && nodes.iter().all(|node| replicas.contains(node))
        };
        let is_complete =
            |state: &crate::cluster::PartitionState| wanted(&state.replicas) && wanted(&state.isr);
        self.cluster
            .wait_for_partition(moved, 0, limit, is_complete)
            .map(drop)
    }

    fn delete_topic(&self) -> Result<()> {
        self.cluster.create_topic(SHORT_LIVED, 2, 3, &[])?;
        let topic = kafka::DeleteTopicState {
            name: Some(text(SHORT_LIVED)),
            ..Default::default()
        };
        let request = kafka::DeleteTopicsRequestData {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..Default::default()
        };
        until(DEADLINE, "a topic is deleted", || {
            let answer = self.cluster.connect()?.call(&request, 6)?;
            let code = answer.responses.first().map(|topic| topic.error_code);
            // 3: an earlier try has deleted it.
            ensure!(matches!(code, Some(0 | 3)), "error {code:?}");
            Ok(true)
        })
    }
}

/// Empties a folder, which may be where a disk is mounted.
fn remove_content(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => fs::remove_dir_all(path)?,
            false => fs::remove_file(path)?,
        }
    }
    Ok(())
}
