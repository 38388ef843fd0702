//! The metadata quorum's Raft: takes proposals, and applies committed payloads on every voter in
//! the same order.
//!
//! openraft, sled and the Raft RPCs stay behind this interface; no other crate refers to them. Only
//! the [`StateMachine`] interprets the payloads.
//!
//! ```text
//! Quorum::propose → openraft → LogStore → "raft-log" thread → journal + fdatasync
//!                      │  └─ network → (gRPC) → service of the other voters
//!                      └─ Machine → StateMachine::apply
//! ```
//!
//! Invariant: this voter acknowledges nothing, to a peer or to a proposer, before it is durable
//! here.
//! Invariant: a voter that lost its log does not vote or acknowledge until a leader has filled it
//! (`admission.rs`). Invariant: any failure of storage is fatal; [`Quorum::fatal`] has the reason,
//! and the node must stop.

mod admission;
mod files;
mod fill;
mod handle;
mod heartbeats;
pub(crate) mod imported;
mod join;
mod machine;
mod network;
mod peers;
mod quorum;
pub mod recovery;
mod roster;
mod service;
mod snapshot;
mod space;
mod store;
mod timers;
mod types;
mod voter;
mod voter_file;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use dohle_model::{DirectoryId, MetadataOffset, NodeId};
use dohle_tls::Connector;
use tokio::time::Instant;

pub use quorum::Quorum;
pub use service::RaftService;

/// The largest payload of one proposal, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 32 * 1024 * 1024;

/// The configuration of a voter.
#[derive(Debug, Clone)]
pub struct QuorumConfig {
    /// This node; one of `voters`.
    pub node_id: NodeId,
    /// All voters with host:port of their CONTROLLER listeners. Host names are resolved anew for
    /// each connection. 1 to 7 voters.
    pub voters: BTreeMap<NodeId, String>,
    /// Connects to the other voters.
    pub connector: Connector,
    /// The directory of the log and the snapshots; created when absent. It must contain no other
    /// files.
    pub dir: PathBuf,
    /// The cluster's id. Requests of nodes of another cluster are rejected.
    pub cluster_id: String,
    /// The `directory.id` of the directory that contains `dir`; zero when it has none. A log that
    /// was written in another directory is not trusted.
    pub directory_id: DirectoryId,
    /// The interval of the leader's heartbeats to the other voters, limited to a third of
    /// `election_timeout`.
    pub heartbeat_interval: Duration,
    /// A voter starts an election after it has received nothing from a leader for between one and
    /// two times this time. At least 10 ms.
    pub election_timeout: Duration,
    /// The number of entries after which a snapshot is written; `u64::MAX` for no such limit.
    pub snapshot_after_entries: u64,
    /// The bytes of log after which a snapshot is written.
    pub snapshot_after_bytes: u64,
    /// The age of the last snapshot after which another is written, if there are entries that it
    /// does not cover; `None` for no such limit.
    pub snapshot_interval: Option<Duration>,
    /// The number of entries that are kept behind the last snapshot, so that a voter that was
    /// unreachable for a moment needs no snapshot.
    pub entries_kept_after_snapshot: u64,
    /// The size in bytes above which the log's journal is rewritten, when at least half of it is
    /// obsolete.
    pub log_file_bytes_max: u64,
    /// Bytes of payloads of recent entries to keep in memory.
    pub log_cache_bytes: usize,
    /// Bytes to keep free in the file system of `dir`, limited to a twentieth of its size: while
    /// less is free, [`Quorum::shortage`] returns a reason. The value may change at run time.
    pub reserve_bytes: tokio::sync::watch::Receiver<u64>,
}

impl QuorumConfig {
    /// Returns a configuration with the defaults: heartbeat 200 ms, election timeout 600 ms, a
    /// snapshot each 20 MiB or hour, a journal that is rewritten from 8 MiB on, a cache of 2 MiB.
    #[must_use]
    pub fn new(
        node_id: NodeId,
        voters: BTreeMap<NodeId, String>,
        dir: PathBuf,
        cluster_id: String,
    ) -> Self {
        Self {
            node_id,
            voters,
            connector: Connector::plaintext(),
            dir,
            cluster_id,
            directory_id: DirectoryId::ZERO,
            heartbeat_interval: Duration::from_millis(200),
            election_timeout: Duration::from_millis(600),
            snapshot_after_entries: u64::MAX,
            snapshot_after_bytes: 20 * 1024 * 1024,
            snapshot_interval: Some(Duration::from_secs(3600)),
            entries_kept_after_snapshot: 1_000,
            log_file_bytes_max: 8 * 1024 * 1024,
            log_cache_bytes: 2 * 1024 * 1024,
            reserve_bytes: tokio::sync::watch::channel(0).1,
        }
    }
}

/// The outcome of applying a committed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// The payload changed the state.
    Applied,
    /// The payload was planned on a state that has changed since, and was ignored.
    Stale,
}

/// Writes the body of one snapshot; called again when there was no space.
pub type SnapshotWriter = Box<dyn Fn(&mut dyn io::Write) -> io::Result<()> + Send>;

/// The state that committed payloads are replayed into. Each voter has one; all receive the same
/// sequence.
pub trait StateMachine: Send + 'static {
    /// Replays one committed payload. Infallible and deterministic: the outcome is the same on
    /// every voter. `offset` is larger than in any earlier call; the offsets of Raft's own entries
    /// are skipped.
    fn apply(&mut self, offset: MetadataOffset, payload: &Bytes) -> ApplyOutcome;

    /// Returns a writer of the present state, to be run later on a blocking thread. Must be cheap.
    fn snapshot(&self) -> SnapshotWriter;

    /// Replaces the state by a snapshot that covers everything up to and including `offset`. Runs
    /// on a blocking thread.
    ///
    /// # Errors
    /// A failure is fatal for the node.
    fn restore(
        &mut self,
        offset: MetadataOffset,
        snapshot: &mut dyn io::Read,
    ) -> Result<(), RestoreError>;
}

/// A snapshot that can't be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Reading it failed.
    #[error("cannot read the metadata snapshot: {0}")]
    Io(#[from] io::Error),
    /// The content is not a snapshot of this state machine, or it is of a newer version.
    #[error("metadata snapshot: {0}")]
    Malformed(String),
}

/// The leader and the term of the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The active controller as far as this voter knows; `None` until this voter has received a
    /// message of one since it started.
    pub leader: Option<NodeId>,
    /// The term, Kafka's leader epoch of the metadata partition.
    pub term: u64,
    /// Whether this voter leads and its state machine has applied everything that was committed
    /// before.
    pub is_self: bool,
}

/// A proposal that was committed, and applied by this voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposed {
    /// Its position in the log.
    pub offset: MetadataOffset,
    /// The state machine's outcome.
    pub outcome: ApplyOutcome,
}

/// Why a proposal was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This voter does not lead; the payload is not in the log.
    #[error("not the active controller; that is {}", DisplayLeader(*.leader))]
    NotLeader {
        /// The leader, if known.
        leader: Option<NodeId>,
    },
    /// Leadership was lost before the outcome was known: the payload may or may not be committed.
    #[error("leadership was lost before the proposal was committed; it may still be committed")]
    Unknown {
        /// The present leader, if known.
        leader: Option<NodeId>,
    },
    /// The payload is larger than [`PAYLOAD_LEN_MAX`].
    #[error("a proposal of {len} bytes; at most {PAYLOAD_LEN_MAX} are allowed")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// The quorum has stopped; [`Quorum::fatal`] has the reason when it is a failure.
    #[error("metadata quorum has stopped: {0}")]
    Stopped(String),
}

struct DisplayLeader(Option<NodeId>);

impl fmt::Display for DisplayLeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(leader) => write!(f, "node {leader}"),
            None => f.write_str("unknown"),
        }
    }
}

/// Why a quorum can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// The configuration contradicts itself.
    #[error("metadata quorum: {0}")]
    Config(String),
    /// The log or the snapshot can't be opened or read.
    #[error("open metadata log in {dir}: {source}")]
    Storage {
        /// The metadata directory.
        dir: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Raft refused to start.
    #[error("cannot start the metadata quorum: {0}")]
    Start(String),
}

/// Why a transfer of leadership failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This voter does not lead.
    #[error("not the active controller")]
    NotLeader,
    /// There is no other voter.
    #[error("no other voter can take over")]
    NoCandidate,
    /// Too few of the other voters respond for one of them to be elected.
    #[error("too few of the other voters respond to elect a leader")]
    NoMajority,
    /// No other voter became the leader in time.
    #[error("no other voter took over within {0:?}")]
    Timeout(Duration),
    /// The quorum has stopped.
    #[error("metadata quorum has stopped: {0}")]
    Stopped(String),
}

/// The state of the quorum for DescribeQuorum (KIP-595, KIP-836).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader as far as this voter knows.
    pub leader: Option<NodeId>,
    /// The term, Kafka's leader epoch.
    pub term: u64,
    /// One past the last committed offset that this voter has learned of.
    pub high_watermark: MetadataOffset,
    /// All voters. The positions of other voters are known only on the leader.
    pub voters: Vec<ReplicaDescription>,
    /// Replicas without a vote.
    pub observers: Vec<ReplicaDescription>,
}

/// One replica of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// The node that holds it.
    pub node_id: NodeId,
    /// host:port of its CONTROLLER listener.
    pub address: String,
    /// The id of its directory, as committed; zero when unknown.
    pub directory: DirectoryId,
    /// One past its last offset, if known.
    pub log_end_offset: Option<MetadataOffset>,
    /// When the leader last received an answer from it (in Kafka, when it last fetched).
    pub last_fetch: Option<Instant>,
    /// When its log was last equal to the leader's.
    pub last_caught_up: Option<Instant>,
}
