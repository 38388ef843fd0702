//! Makes the faults of a plan happen to a cluster, and ends them.

use std::fs;

use anyhow::{Result, ensure};
use kacrab_protocol::generated as kafka;

use super::plan::{Fault, Step};
use crate::cluster::text;
use crate::wait::{DEADLINE, let_pass};
use crate::{Cluster, until};

/// The topic that is created and deleted.
const SHORT_LIVED: &str = "short-lived";

/// A cluster and the topics in it.
#[derive(Debug)]
pub struct Faults<'a> {
    /// The cluster.
    pub cluster: &'a mut Cluster,
    /// The topics whose replicas must be in sync before a disk is replaced.
    pub topics: Vec<String>,
    /// The topic with one partition and two replicas that are reassigned.
    pub moved: String,
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
                fs::remove_dir_all(&self.cluster.broker(*node).data)?;
                self.cluster.broker(*node).start()?;
                self.wait_in_sync()?;
            }
            Fault::Reassign(nodes) => self.reassign(nodes)?,
            Fault::DeleteTopic => self.delete_topic()?,
        }
        self.cluster.start()
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
