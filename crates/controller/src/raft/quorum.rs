//! The handle to a running voter: opens storage, starts Raft, and serves the rest of the node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_model::{DirectoryId, MetadataOffset, NodeId};
use dohle_rpc::v1::raft_server::RaftServer;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::{Config, Instant as _, SnapshotPolicy};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::admission::Waiting;
use super::files::Files;
use super::handle::{NodeAddress, Raft, model_id};
use super::join::Joining;
use super::machine::Machine;
use super::network::{MESSAGE_LEN_MAX, Network};
use super::peers::Silent;
use super::service::RaftService;
use super::store::{FatalSender, LogLimits, LogStore};
use super::timers::{self, Times};
use super::types::{Payload, Types, VoterNode};
use super::voter::Voter;
use super::watch::{self as watchers, CaughtUp};
use super::{
    Leadership, PAYLOAD_LEN_MAX, ProposeError, Proposed, QuorumConfig, QuorumDescription,
    QuorumError, ReplicaDescription, StateMachine, TransferError, recovery, roster, snapshot,
    space,
};

/// The most entries in one AppendEntries; the log store limits their bytes.
const ENTRIES_PER_APPEND: u64 = 256;
/// The capacity of Raft's internal queues. Further proposals wait.
const QUEUE: u64 = 1024;

/// A running voter. All clones are the same voter; it stops with [`Quorum::shutdown`], or abruptly
/// when the last clone is dropped.
#[derive(Clone)]
pub struct Quorum {
    inner: Arc<Inner>,
}

struct Inner {
    config: QuorumConfig,
    raft: Raft,
    log: LogStore,
    leadership: watch::Receiver<Leadership>,
    leader_heard: watch::Sender<Option<Instant>>,
    /// The last term whose leader has asked for another one.
    handed_over: watch::Sender<Option<u64>>,
    caught_up: CaughtUp,
    fatal: watch::Receiver<Option<Arc<str>>>,
    network: Arc<Network>,
    voter: Arc<Voter>,
    /// Wakes the task that asks the other voters.
    asked: Arc<Notify>,
    /// The voters that this one waits for, as last logged.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests, which wait for it"))]
    waiting: watch::Sender<Option<Waiting>>,
    /// The other voters that do not answer.
    silent: watch::Receiver<Silent>,
    /// The reason why the log's disk space is short, if it is.
    shortage: watch::Receiver<Option<Arc<str>>>,
    stopped: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

impl Quorum {
    /// Opens the log, restores the newest snapshot and the committed entries after it, and starts
    /// to take part. A voter without a log forms a new cluster with the others, or waits for a
    /// leader to fill it. All tasks run on the caller's runtime, beside one thread of the log's
    /// own.
    ///
    /// # Errors
    /// The configuration contradicts itself, or the directory can't be opened or is corrupt.
    pub async fn open(
        config: QuorumConfig,
        state_machine: impl StateMachine,
    ) -> Result<Self, QuorumError> {
        let mut raft_config = raft_config(&config)?;
        let me = node_id(config.node_id)?;
        let storage = |source| QuorumError::Storage {
            dir: config.dir.clone(),
            source,
        };
        let dir = config.dir.clone();
        spawn_blocking(move || prepare(&dir))
            .await
            .map_err(|error| storage(std::io::Error::other(error)))?
            .map_err(storage)?;
        let (fatal_tx, fatal) = watch::channel(None);
        let fatal_tx = FatalSender(fatal_tx);
        let limits = LogLimits {
            cache_bytes: config.log_cache_bytes,
            file_bytes: config.log_file_bytes_max,
        };
        let mut log = LogStore::open(&config.dir, &limits, fatal_tx.clone())
            .await
            .map_err(storage)?;
        let own = VoterNode {
            addr: config.voters[&config.node_id].clone(),
            directory: config.directory_id,
        };
        recovery::apply(&mut log, &config.dir, me, own)
            .await
            .map_err(storage)?;
        let voter =
            Voter::open(config.dir.clone(), config.directory_id, log.clone()).map_err(storage)?;
        let voter = Arc::new(voter);
        raft_config.enable_elect = voter.is_admitted();
        let snapshot_due = Arc::new(Notify::new());
        let machine = Machine::new(
            Box::new(state_machine),
            &config.dir,
            config.snapshot_after_bytes,
            Arc::clone(&snapshot_due),
        );
        let mut addresses = NodeAddress::new();
        for (id, address) in &config.voters {
            addresses.insert(node_id(*id)?, address.clone());
        }
        let network = Arc::new(Network::new(
            config.cluster_id.clone(),
            me,
            addresses.clone(),
            config.directory_id,
            config.connector.clone(),
        ));
        let raft = Raft::new(
            me,
            Arc::new(raft_config),
            Arc::clone(&network),
            log.clone(),
            machine,
        )
        .await
        .map_err(|error| QuorumError::Start(error.to_string()))?;
        let leader_heard = watch::Sender::new(None);
        let handed_over = watch::Sender::new(None);
        let asked = Arc::new(Notify::new());
        let waiting = watch::Sender::new(None);
        let caught_up = CaughtUp::default();
        let (leadership_tx, leadership) = watch::channel(Leadership::default());
        let (shortage_tx, shortage) = watch::channel(None);
        let tasks = vec![
            tokio::spawn(space::watch(
                config.dir.clone(),
                config.reserve_bytes.clone(),
                log.clone(),
                shortage_tx,
            )),
            tokio::spawn(watchers::watch_metrics(
                raft.clone(),
                leadership_tx,
                leader_heard.clone(),
                watchers::Observed {
                    caught_up: Arc::clone(&caught_up),
                    network: Arc::clone(&network),
                    silence_max: config.election_timeout * 3,
                },
                fatal_tx,
            )),
            tokio::spawn(timers::run(
                raft.clone(),
                times(&config),
                leader_heard.subscribe(),
                handed_over.subscribe(),
            )),
            tokio::spawn(watchers::take_snapshots(
                raft.clone(),
                snapshot_due,
                config.snapshot_interval,
            )),
            tokio::spawn(roster::keep(
                raft.clone(),
                Arc::clone(&network.peers),
                addresses,
                config.directory_id,
            )),
            tokio::spawn(
                Joining {
                    raft: raft.clone(),
                    network: Arc::clone(&network),
                    voter: Arc::clone(&voter),
                    leadership: leadership.clone(),
                    waiting: waiting.clone(),
                    asked: Arc::clone(&asked),
                }
                .run(),
            ),
        ];
        let inner = Inner {
            config,
            raft,
            log,
            leadership,
            leader_heard,
            handed_over,
            caught_up,
            fatal,
            silent: network.peers.silent(),
            shortage,
            network,
            voter,
            asked,
            waiting,
            stopped: watch::Sender::new(false),
            tasks: Mutex::new(tasks),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Appends a payload to the log. Resolves when it is committed and applied by this voter's
    /// state machine. Waits as long as there is no quorum; dropping the future does not withdraw
    /// the proposal.
    ///
    /// # Errors
    /// See [`ProposeError`]; only [`ProposeError::Unknown`] and [`ProposeError::Stopped`] leave
    /// open whether the payload will be applied.
    pub async fn propose(&self, payload: Bytes) -> Result<Proposed, ProposeError> {
        let len = payload.len();
        if len > PAYLOAD_LEN_MAX {
            return Err(ProposeError::TooLarge { len });
        }
        let leader_of = |forward: ForwardToLeader<Types>| forward.leader_id.and_then(model_id);
        match self.inner.raft.client_write(Payload(payload)).await {
            Ok(written) => Ok(Proposed {
                offset: MetadataOffset(written.log_id.index),
                outcome: written.data,
            }),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader {
                    leader: leader_of(forward),
                })
            }
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward))) => {
                Err(ProposeError::Unknown {
                    leader: leader_of(forward),
                })
            }
            Err(error) => Err(ProposeError::Stopped(error.to_string())),
        }
    }

    /// Returns a receiver of the current leadership.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Hands leadership to the voter with the most complete log, and waits until that voter leads.
    /// Used in a clean shutdown: much faster than an election after a timeout.
    ///
    /// # Errors
    /// This voter does not lead, or is the only one, or too few other voters respond for one to
    /// lead, or each of those that were asked let the election timeout pass.
    pub async fn transfer_leadership(&self) -> Result<NodeId, TransferError> {
        let inner = &self.inner;
        let (candidates, voters, me) = {
            let metrics = inner.raft.metrics().borrow_watched().clone();
            let replication = metrics.replication.ok_or(TransferError::NotLeader)?;
            let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
            let mut candidates: Vec<_> = replication
                .into_iter()
                .filter(|(id, _)| *id != metrics.id && voters.contains(id))
                .collect();
            candidates.sort_by_key(|(_, matched)| std::cmp::Reverse(*matched));
            (candidates, voters, metrics.id)
        };
        if candidates.is_empty() {
            return Err(TransferError::NoCandidate);
        }
        let mut silent = inner.silent.clone();
        let patience = inner.config.election_timeout;
        for (candidate, _) in candidates {
            let mut metrics = inner.raft.metrics();
            inner
                .raft
                .trigger()
                .transfer_leader(candidate)
                .await
                .map_err(|error| TransferError::Stopped(error.to_string()))?;
            let deadline = Instant::now() + patience;
            loop {
                let leader = metrics.borrow_watched().current_leader;
                if let Some(leader) = leader.filter(|leader| *leader != me).and_then(model_id) {
                    return Ok(leader);
                }
                let is_gone = {
                    let silent = silent.borrow_and_update();
                    let answering = voters.iter().filter(|id| !silent.contains_key(id));
                    if answering.count() <= voters.len() / 2 {
                        return Err(TransferError::NoMajority);
                    }
                    silent.contains_key(&candidate)
                };
                if is_gone {
                    break;
                }
                let changed = async {
                    tokio::select! {
                        changed = metrics.changed() => changed.map_err(|error| error.to_string()),
                        changed = silent.changed() => changed.map_err(|error| error.to_string()),
                    }
                };
                match timeout_at(deadline, changed).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(TransferError::Stopped(error)),
                    Err(_) => break,
                }
            }
        }
        Err(TransferError::Timeout(patience))
    }

    /// Returns the state of the quorum as this voter observes it; only the leader observes the
    /// other voters' logs.
    #[must_use]
    pub fn describe(&self) -> QuorumDescription {
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let leadership = *self.inner.leadership.borrow();
        let caught_up = self.inner.caught_up.lock().clone();
        let committed = metrics.local_committed.max(metrics.cluster_committed);
        let end = |index: u64| MetadataOffset(index + 1);
        let describe = |id: u64, address: &str, directory: DirectoryId| {
            let own = id == metrics.id;
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id)?);
            let acked = metrics.heartbeat.as_ref().and_then(|all| *all.get(&id)?);
            let now = Instant::now();
            let leads = own && metrics.current_leader == Some(id);
            let own_end = self.inner.log.last_log_id().map(|last| end(last.index));
            ReplicaDescription {
                node_id: model_id(id).unwrap_or_default(),
                address: address.to_owned(),
                directory,
                log_end_offset: if own {
                    own_end
                } else {
                    matched.map(|id| end(id.index))
                },
                last_fetch: if leads {
                    Some(now)
                } else {
                    acked.and_then(|at| now.checked_sub(at.elapsed()))
                },
                last_caught_up: if leads {
                    Some(now)
                } else {
                    caught_up.get(&id).copied()
                },
            }
        };
        let membership = metrics.membership_config.membership();
        let describe = |id: u64| {
            let node = membership.get_node(&id);
            let directory = node.map_or(DirectoryId::ZERO, |node| node.directory);
            // Voters of a log that was imported may have no address there.
            let recorded = node.map(|node| &node.addr).filter(|addr| !addr.is_empty());
            let address = recorded.or_else(|| self.inner.network.addresses.get(&id));
            describe(id, address.map_or("", String::as_str), directory)
        };
        let mut voters: Vec<u64> = membership.voter_ids().collect();
        if voters.is_empty() {
            // No membership is known yet, so the configured voters are listed.
            voters.extend(self.inner.network.addresses.keys());
        }
        QuorumDescription {
            leader: leadership.leader,
            term: metrics.current_term,
            high_watermark: committed.map_or(MetadataOffset(0), |id| end(id.index)),
            voters: voters.into_iter().map(describe).collect(),
            observers: membership.learner_ids().map(describe).collect(),
        }
    }

    /// Describes in one sentence which voters do not respond, since when and why; `None` when all
    /// do.
    #[must_use]
    pub fn outage(&self) -> Option<String> {
        let silent = self.inner.silent.borrow();
        let addresses = &self.inner.network.addresses;
        let listed = addresses.iter().filter_map(|(id, address)| {
            let silence = silent.get(id)?;
            let secs = silence.since.elapsed().as_secs();
            Some(format!("{id}@{address} for {secs} s ({})", silence.reason))
        });
        let listed: Vec<String> = listed.collect();
        if listed.is_empty() {
            return None;
        }
        let (count, all) = (listed.len(), addresses.len());
        let listed = listed.join(", ");
        Some(format!("{count} of {all} voters do not respond: {listed}"))
    }

    /// Why nothing that makes the metadata grow should be proposed, while the log's disk space is
    /// short.
    #[must_use]
    pub fn shortage(&self) -> Option<Arc<str>> {
        self.inner.shortage.borrow().clone()
    }

    /// Whether a write of this voter's log waits for disk space: new proposals may wait, too.
    #[must_use]
    pub fn waits_for_space(&self) -> bool {
        self.inner.log.waits_for_space()
    }

    /// Returns the voters that this one waits for, as last logged.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> watch::Receiver<Option<Waiting>> {
        self.inner.waiting.subscribe()
    }

    /// Returns the voters to which this one has a connection, or has had one.
    #[cfg(test)]
    pub(super) fn connected(&self) -> Vec<u64> {
        self.inner.network.connected()
    }

    /// Whether this voter votes, stands for election and acknowledges entries.
    #[cfg(test)]
    pub(super) fn is_admitted(&self) -> bool {
        self.inner.voter.is_admitted()
    }

    /// Whether a change of the voters is in progress: until it is committed, an election needs
    /// majorities of both the former and the next voters.
    #[cfg(test)]
    pub(super) fn is_changing_voters(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .membership()
            .get_joint_config()
            .len()
            > 1
    }

    /// Returns the Raft RPCs, to be mounted on the CONTROLLER listener. Without them this voter
    /// receives no request of another voter.
    #[must_use]
    pub fn service(&self) -> RaftServer<RaftService> {
        let service = RaftService {
            raft: self.inner.raft.clone(),
            voter: Arc::clone(&self.inner.voter),
            peers: Arc::clone(&self.inner.network.peers),
            addresses: self.inner.network.addresses.clone(),
            leadership: self.inner.leadership.clone(),
            asked: Arc::clone(&self.inner.asked),
            cluster_id: self.inner.config.cluster_id.clone(),
            me: *self.inner.raft.node_id(),
            leader_heard: self.inner.leader_heard.clone(),
            handed_over: self.inner.handed_over.clone(),
            stopped: self.inner.stopped.subscribe(),
        };
        RaftServer::new(service)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
            .max_encoding_message_size(MESSAGE_LEN_MAX)
    }

    /// Becomes `Some` with the reason when this voter failed. The node must stop then: the voter no
    /// longer writes or acknowledges anything.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.inner.fatal.clone()
    }

    /// Stops Raft and closes the log. Does not transfer leadership.
    pub async fn shutdown(self) {
        self.inner.stopped.send_replace(true);
        self.inner.log.stop_waiting();
        let tasks = std::mem::take(&mut *self.inner.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // The task ends as cancelled, which is expected.
            drop(task.await);
        }
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "metadata quorum did not stop cleanly");
        }
        self.inner.log.close().await;
    }
}

/// Creates the directory durably, and removes the files of interrupted snapshots.
fn prepare(dir: &std::path::Path) -> std::io::Result<()> {
    let files = Files::new(dir);
    files.create_directory()?;
    snapshot::remove_temporary(&files)
}

/// Converts a node id to Raft's. Kafka's node ids are not negative, so Raft uses the same numbers.
fn node_id(id: NodeId) -> Result<u64, QuorumError> {
    u64::try_from(id.0).map_err(|_| QuorumError::Config(format!("node id {id} is negative")))
}

fn times(config: &QuorumConfig) -> Times {
    Times::new(config.heartbeat_interval, config.election_timeout)
}

fn raft_config(config: &QuorumConfig) -> Result<Config, QuorumError> {
    if !config.voters.contains_key(&config.node_id) {
        return Err(QuorumError::Config(format!(
            "node {} is a controller, but controller.quorum.voters does not name it",
            config.node_id
        )));
    }
    let election = config.election_timeout;
    if election < Duration::from_millis(10) {
        return Err(QuorumError::Config(format!(
            "an election timeout of {election:?} is less than 10 ms"
        )));
    }
    let times = times(config);
    Config {
        cluster_name: config.cluster_id.clone(),
        heartbeat_interval: millis(times.heartbeat_interval).max(1),
        election_timeout_min: millis(times.random_min),
        election_timeout_max: millis(times.lease),
        install_snapshot_timeout: 60_000,
        max_payload_entries: ENTRIES_PER_APPEND,
        snapshot_policy: match config.snapshot_after_entries {
            u64::MAX => SnapshotPolicy::Never,
            entries => SnapshotPolicy::LogsSinceLast(entries.max(1)),
        },
        max_in_snapshot_log_to_keep: config.entries_kept_after_snapshot,
        purge_batch_size: 64,
        api_channel_size: Some(QUEUE),
        notification_channel_size: Some(QUEUE),
        state_machine_channel_size: Some(QUEUE),
        enable_pre_vote: Some(true),
        // A new leader always starts with an entry of its own term, and `is_self` waits for that.
        enable_leader_restore: Some(false),
        // The log of a voter whose end moved backwards is replicated again from its actual end.
        allow_log_reversion: Some(true),
        backoff: "50ms 100ms ...300ms".to_owned(),
        ..Config::default()
    }
    .validate()
    .map_err(|error| QuorumError::Config(error.to_string()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
