//! A quorum in one process. Killing a voter drops its runtime with all its tasks and sockets; the
//! files stay as they are at that moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use dohle_model::{DirectoryId, NodeId};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

use super::{State, TestMachine};
use crate::raft::admission::Waiting;
use crate::raft::{Leadership, ProposeError, Proposed, Quorum, QuorumConfig};

/// A deadline that is exceeded only on a failure.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Node {
    pub quorum: Quorum,
    pub machine: TestMachine,
    runtime: Runtime,
}

pub(super) struct Cluster {
    nodes: BTreeMap<i32, Node>,
    addresses: BTreeMap<NodeId, String>,
    /// How often each voter's disk was replaced.
    disks: BTreeMap<i32, u8>,
    change: fn(&mut QuorumConfig),
    dir: TempDir,
    waiter: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

impl Cluster {
    /// Starts voters 1 to `count` together, with a configuration that `change` adapts.
    pub(super) fn start_with(count: i32, change: fn(&mut QuorumConfig)) -> Self {
        let mut cluster = Self::stopped(count, change);
        for id in 1..=count {
            cluster.restart(id);
        }
        cluster
    }

    /// Prepares voters 1 to `count` without starting them.
    pub(super) fn stopped(count: i32, change: fn(&mut QuorumConfig)) -> Self {
        let waiter = runtime();
        // The ports are found by binding them; the voters bind them again when they start.
        let listeners: Vec<_> = (1..=count)
            .map(|id| (id, std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        let addresses = listeners
            .iter()
            .map(|(id, listener)| (NodeId(*id), listener.local_addr().unwrap().to_string()))
            .collect();
        let dir = TempDir::new().unwrap();
        Self {
            nodes: BTreeMap::new(),
            addresses,
            disks: BTreeMap::new(),
            change,
            dir,
            waiter,
        }
    }

    /// Returns a voter's directory id, which differs for each disk.
    pub(super) fn directory(&self, id: i32) -> DirectoryId {
        let mut bytes = [id as u8; 16];
        bytes[15] = self.disks.get(&id).copied().unwrap_or(0);
        DirectoryId::from_bytes(bytes)
    }

    /// Gives a stopped voter another directory id. The content of the directory does not change.
    pub(super) fn rename_directory(&mut self, id: i32) {
        *self.disks.entry(id).or_default() += 1;
    }

    /// Replaces the disk of a stopped voter by an empty one.
    pub(super) fn replace_disk(&mut self, id: i32) {
        std::fs::remove_dir_all(self.dir(id)).unwrap();
        self.rename_directory(id);
    }

    pub(super) fn is_running(&self, id: i32) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Waits until a voter has reported that it waits for others, with a report that `wanted`
    /// accepts.
    pub(super) fn wait_waiting(&self, id: i32, wanted: impl Fn(&Waiting) -> bool) {
        let waiting = self.node(id).quorum.waiting();
        let wanted = |waiting: &Option<Waiting>| waiting.as_ref().is_some_and(&wanted);
        self.waiter.block_on(wait(waiting, wanted));
    }

    pub(super) fn start(count: i32) -> Self {
        Self::start_with(count, |_| {})
    }

    pub(super) fn config(&self, id: i32) -> QuorumConfig {
        let dir = self
            .dir
            .path()
            .join(format!("node-{id}/__cluster_metadata-0"));
        let mut config = QuorumConfig::new(
            NodeId(id),
            self.addresses.clone(),
            dir,
            "test-cluster".to_owned(),
        );
        config.directory_id = self.directory(id);
        // Long enough for machines that are busy.
        config.heartbeat_interval = Duration::from_millis(250);
        config.election_timeout = Duration::from_millis(1_500);
        (self.change)(&mut config);
        config
    }

    /// Starts a voter that is not running.
    pub(super) fn restart(&mut self, id: i32) {
        let runtime = runtime();
        let machine = TestMachine::default();
        let config = self.config(id);
        let address: SocketAddr = config.voters[&NodeId(id)].parse().unwrap();
        let quorum = runtime.block_on(async {
            let listener = TcpListener::bind(address).await.unwrap();
            let quorum = Quorum::open(config, machine.clone()).await.unwrap();
            let incoming = TcpListenerStream::new(listener).inspect(|stream| {
                stream.as_ref().unwrap().set_nodelay(true).unwrap();
            });
            let server = tonic::transport::Server::builder()
                .add_service(quorum.service())
                .serve_with_incoming(incoming);
            tokio::spawn(async move { server.await.unwrap() });
            quorum
        });
        let node = Node {
            quorum,
            machine,
            runtime,
        };
        assert!(self.nodes.insert(id, node).is_none());
    }

    pub(super) fn node(&self, id: i32) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn address(&self, id: i32) -> &str {
        &self.addresses[&NodeId(id)]
    }

    /// Drops everything of a voter at once, without notifying the others.
    pub(super) fn kill(&mut self, id: i32) {
        let node = self.nodes.remove(&id).unwrap();
        // Returns when every task has ended and the port is free.
        node.runtime.shutdown_timeout(DEADLINE);
        drop(node.quorum);
    }

    /// Stops a voter as a server does on request.
    pub(super) fn stop(&mut self, id: i32) {
        let node = self.nodes.remove(&id).unwrap();
        self.waiter.block_on(node.quorum.shutdown());
        node.runtime.shutdown_timeout(DEADLINE);
    }

    /// The metadata directory of a voter.
    pub(super) fn dir(&self, id: i32) -> PathBuf {
        self.config(id).dir
    }

    /// Waits until all running voters report the same running leader. Returns its id.
    pub(super) fn leader(&self) -> i32 {
        self.leader_other_than(None)
    }

    pub(super) fn leader_other_than(&self, not: Option<i32>) -> i32 {
        let leads = |now: &Leadership| {
            now.leader
                .is_some_and(|leader| Some(leader.0) != not && self.nodes.contains_key(&leader.0))
        };
        self.waiter.block_on(async {
            loop {
                let mut leaders = Vec::new();
                for node in self.nodes.values() {
                    leaders.push(wait(node.quorum.leadership(), leads).await.leader);
                }
                let leader = leaders[0].unwrap();
                if leaders.iter().all(|other| *other == leaders[0]) {
                    let established = self.nodes[&leader.0].quorum.leadership();
                    wait(established, |now| now.is_self || now.leader != Some(leader)).await;
                    if self.nodes[&leader.0].quorum.leadership().borrow().is_self {
                        return leader.0;
                    }
                }
            }
        })
    }

    /// Proposes to the leader; repeats that when the leader has just lost leadership.
    pub(super) fn commit(&self, payload: &[u8]) -> Proposed {
        loop {
            match self.propose(self.leader(), payload) {
                Err(ProposeError::NotLeader { .. }) => {}
                result => return result.unwrap(),
            }
        }
    }

    pub(super) fn propose(&self, id: i32, payload: &[u8]) -> Result<Proposed, ProposeError> {
        let payload = Bytes::copy_from_slice(payload);
        let propose = async { timeout(DEADLINE, self.node(id).quorum.propose(payload)).await };
        self.waiter
            .block_on(propose)
            .expect("proposal is answered in time")
    }

    /// Waits until `wanted` accepts a voter's state.
    pub(super) fn wait_state(&self, id: i32, wanted: impl FnMut(&State) -> bool) -> State {
        self.waiter
            .block_on(wait(self.node(id).machine.state.subscribe(), wanted))
    }

    /// Waits until `holds` returns true; checks it whenever another task may have run.
    pub(super) fn until(&self, holds: impl Fn() -> bool) {
        let deadline = std::time::Instant::now() + DEADLINE;
        while !holds() {
            assert!(
                std::time::Instant::now() < deadline,
                "not within {DEADLINE:?}"
            );
            std::thread::yield_now();
        }
    }

    /// Runs a future concurrently with the test.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.waiter.spawn(future);
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.waiter
            .block_on(async { timeout(DEADLINE, future).await.expect("in time") })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in std::mem::take(&mut self.nodes).into_values() {
            self.waiter.block_on(node.quorum.shutdown());
            node.runtime.shutdown_background();
        }
    }
}

pub(super) async fn wait<T: Clone + std::fmt::Debug>(
    mut receiver: watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
) -> T {
    let watched = receiver.clone();
    let found = timeout(DEADLINE, receiver.wait_for(wanted)).await;
    match found {
        Ok(found) => found.expect("the voter runs").clone(),
        Err(_) => panic!("still {:?} after {DEADLINE:?}", watched.borrow().clone()),
    }
}
