//! Sends each request to the node that serves it, and forgets nodes and leaders that fail.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kacrab_protocol::generated as kafka;

use super::history::Partition;
use crate::Cluster;
use crate::cluster::{describe, text};
use crate::connection::KafkaConnection;

/// How long an answer may take: longer than a request waits for replicas in most cases.
const ANSWER: Duration = Duration::from_secs(5);

/// The partitions that the workers use.
#[derive(Debug, Clone)]
pub struct Partitions(pub Vec<(String, i32)>);

impl Partitions {
    /// Returns the topic and the index of a partition.
    #[must_use]
    pub fn name(&self, partition: Partition) -> (&str, i32) {
        let (topic, index) = &self.0[partition];
        (topic, *index)
    }
}

/// What has a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordinator<'a> {
    /// A group.
    Group(&'a str),
    /// A transactional id.
    Transaction(&'a str),
}

/// The connections of a worker.
#[derive(Debug)]
pub struct Client {
    nodes: Vec<(i32, SocketAddr)>,
    connections: BTreeMap<i32, KafkaConnection>,
    leaders: BTreeMap<(String, i32), i32>,
    coordinators: BTreeMap<(i8, String), i32>,
}

impl Client {
    /// Returns a client of a cluster, without connections.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let nodes = cluster.nodes().iter().map(|node| (node.id, node.address));
        Self {
            nodes: nodes.collect(),
            connections: BTreeMap::new(),
            leaders: BTreeMap::new(),
            coordinators: BTreeMap::new(),
        }
    }

    /// Sends a request to a node. A connection that fails is closed.
    fn on<T>(
        &mut self,
        node: i32,
        ask: impl FnOnce(&mut KafkaConnection) -> Result<T>,
    ) -> Result<T> {
        let mut connection = match self.connections.remove(&node) {
            Some(connection) => connection,
            None => {
                let found = self.nodes.iter().find(|(id, _)| *id == node);
                let (_, address) = found.with_context(|| format!("there is no node {node}"))?;
                let mut connection = KafkaConnection::open(*address)?;
                connection.limit(ANSWER)?;
                connection
            }
        };
        let answer = ask(&mut connection)?;
        self.connections.insert(node, connection);
        Ok(answer)
    }

    /// Sends a request to the nodes in turn until one answers.
    pub fn on_any<T>(
        &mut self,
        mut ask: impl FnMut(&mut KafkaConnection) -> Result<T>,
    ) -> Result<T> {
        let mut last = None;
        for (node, _) in self.nodes.clone() {
            match self.on(node, &mut ask) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("there are no nodes")?)
    }

    /// Sends a request to a partition's leader. `ask` returns an answer and its error code; after
    /// any error the leader is looked for again.
    pub fn on_leader<T>(
        &mut self,
        (topic, index): (&str, i32),
        ask: impl FnOnce(&mut KafkaConnection) -> Result<(T, i16)>,
    ) -> Result<(T, i16)> {
        let key = (topic.to_owned(), index);
        let leader = match self.leaders.get(&key) {
            Some(leader) => *leader,
            None => self.on_any(|connection| {
                let partitions = describe(connection, topic)?;
                let partition = partitions.get(usize::try_from(index)?);
                let leader = partition.context("no such partition")?.leader;
                leader.with_context(|| format!("{topic}-{index} has no leader"))
            })?,
        };
        let answer = self.on(leader, ask);
        match &answer {
            Ok((_, 0)) => self.leaders.insert(key, leader),
            _ => self.leaders.remove(&key),
        };
        answer
    }

    /// Does the same for a coordinator.
    pub fn on_coordinator<T>(
        &mut self,
        coordinator: Coordinator<'_>,
        ask: impl FnOnce(&mut KafkaConnection) -> Result<(T, i16)>,
    ) -> Result<(T, i16)> {
        let (key_type, id) = match coordinator {
            Coordinator::Group(id) => (0, id),
            Coordinator::Transaction(id) => (1, id),
        };
        let key = (key_type, id.to_owned());
        let node = match self.coordinators.get(&key) {
            Some(node) => *node,
            None => self.on_any(|connection| {
                let request = kafka::FindCoordinatorRequestData {
                    key: text(id),
                    key_type,
                    ..Default::default()
                };
                let answer = connection.call(&request, 3)?;
                let code = answer.error_code;
                ensure!(code == 0, "FindCoordinator of {id}: error {code}");
                Ok(answer.node_id)
            })?,
        };
        let answer = self.on(node, ask);
        match &answer {
            Ok((_, 0)) => self.coordinators.insert(key, node),
            _ => self.coordinators.remove(&key),
        };
        answer
    }
}
