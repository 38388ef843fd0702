//! The metadata quorum's Raft: proposals in, committed payloads out, on every voter in one order.
//!
//! openraft, sled and the Raft RPCs stay behind this interface; nothing else in the workspace names
//! them. What the payloads mean is the [`StateMachine`]'s.
//!
//! ```text
//! Quorum::propose → openraft → LogStore → "raft-log" thread → journal + fdatasync
//!                      │  └─ network → (gRPC) → service of the other voters
//!                      └─ Machine → StateMachine::apply
//! ```
//!
//! Invariant: nothing is acknowledged, to a peer or to a proposer, before it is durable here.
//! Invariant: a voter that lost its log takes no part until a leader has filled it
//! (`admission.rs`). Invariant: any failure of storage is fatal; [`Quorum::fatal`] tells, and the
//! node must stop.

mod admission;
mod fill;
mod handle;
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
use tokio::time::Instant;

pub use quorum::Quorum;
pub use service::RaftService;

/// The largest payload of one proposal, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 32 * 1024 * 1024;

/// Everything a voter needs to know to take part.
#[derive(Debug, Clone)]
pub struct QuorumConfig {
    /// This node; one of `voters`.
    pub node_id: NodeId,
    /// All voters with host:port of their CONTROLLER listeners. Host names are resolved anew for
    /// each connection. 1 to 7 voters.
    pub voters: BTreeMap<NodeId, String>,
    /// The directory of the log and the snapshots; created when absent. Nothing else may be in it.
    pub dir: PathBuf,
    /// Nodes of another cluster are refused.
    pub cluster_id: String,
    /// The `directory.id` of the directory that `dir` is in; zero when it has none. A log that was
    /// written in another directory is not trusted.
    pub directory_id: DirectoryId,
    /// How often the leader tells the others that it lives. At most a third of `election_timeout`
    /// is used.
    pub heartbeat_interval: Duration,
    /// A voter that hears no leader for this long or longer, and for less than twice as long,
    /// starts an election. At least 10 ms.
    pub election_timeout: Duration,
    /// A snapshot is written after this many entries; `u64::MAX` for no such limit.
    pub snapshot_after_entries: u64,
    /// A snapshot is written after this many bytes of the log.
    pub snapshot_after_bytes: u64,
    /// A snapshot is written when the last one is older and does not cover everything; `None` for
    /// no such limit.
    pub snapshot_interval: Option<Duration>,
    /// Entries that are kept behind the last snapshot, so that a voter that was away for a moment
    /// needs no snapshot.
    pub entries_kept_after_snapshot: u64,
    /// The log's journal is rewritten when it is larger than this, in bytes, and at least half of
    /// it is obsolete.
    pub log_file_bytes_max: u64,
    /// Payloads of recent entries kept in memory, in bytes.
    pub log_cache_bytes: usize,
    /// Bytes that are kept free in the file system of `dir`, at most a twentieth of it: below that
    /// [`Quorum::shortage`] has a reason. May change at run time.
    pub reserve_bytes: tokio::sync::watch::Receiver<u64>,
}

impl QuorumConfig {
    /// A configuration with the defaults: heartbeat 200 ms, election timeout 600 ms, a snapshot
    /// each 20 MiB or hour, a journal that is rewritten from 8 MiB on, a cache of 2 MiB.
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

/// What became of a committed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// It is part of the state.
    Applied,
    /// It was planned on a state that is not the present one any more, and was ignored.
    Stale,
}

/// Writes one snapshot's body; again when there was no space.
pub type SnapshotWriter = Box<dyn Fn(&mut dyn io::Write) -> io::Result<()> + Send>;

/// What committed payloads are replayed into. One on each voter; all see the same sequence.
pub trait StateMachine: Send + 'static {
    /// Replays one committed payload. Infallible and deterministic: the outcome is the same on
    /// every voter. `offset` is larger than any before; it skips numbers that Raft used itself.
    fn apply(&mut self, offset: MetadataOffset, payload: &Bytes) -> ApplyOutcome;

    /// The state as it is now, to be written later on a blocking thread. Must be cheap.
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
    #[error("read of the metadata snapshot: {0}")]
    Io(#[from] io::Error),
    /// Its content is not a snapshot of this state machine, or of a newer version.
    #[error("metadata snapshot: {0}")]
    Malformed(String),
}

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The active controller as far as this voter knows; `None` until it heard of one since it
    /// started.
    pub leader: Option<NodeId>,
    /// The term, Kafka's leader epoch of the metadata partition.
    pub term: u64,
    /// This voter leads, and its state machine holds everything that was committed before.
    pub is_self: bool,
}

/// A proposal that was committed and applied here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposed {
    /// Its position in the log.
    pub offset: MetadataOffset,
    /// What the state machine made of it.
    pub outcome: ApplyOutcome,
}

/// Why a proposal was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This voter does not lead; the payload is not in the log.
    #[error("not the active controller; that is {}", DisplayLeader(*.leader))]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// Leadership was lost while the payload was on its way: it may be committed or not.
    #[error("leadership was lost before the proposal was committed; its fate is unknown")]
    Unknown {
        /// Who leads now, if known.
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
            None => f.write_str("not known"),
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
    #[error("start of the metadata quorum: {0}")]
    Start(String),
}

/// Why leadership did not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This voter does not lead.
    #[error("not the active controller")]
    NotLeader,
    /// There is no other voter.
    #[error("no other voter can take over")]
    NoCandidate,
    /// Too few of the other voters answer for anyone to lead.
    #[error("the other voters are gone, or stopping too")]
    NoMajority,
    /// Nobody took over in time.
    #[error("no other voter took over within {0:?}")]
    Timeout(Duration),
    /// The quorum has stopped.
    #[error("metadata quorum has stopped: {0}")]
    Stopped(String),
}

/// What DescribeQuorum tells (KIP-595, KIP-836).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The leader as far as this voter knows.
    pub leader: Option<NodeId>,
    /// The term, Kafka's leader epoch.
    pub term: u64,
    /// One past the last committed offset that this voter knows of.
    pub high_watermark: MetadataOffset,
    /// All voters. Only the leader knows more than its own position.
    pub voters: Vec<ReplicaDescription>,
    /// Replicas without a vote.
    pub observers: Vec<ReplicaDescription>,
}

/// One replica of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// Whose it is.
    pub node_id: NodeId,
    /// host:port of its CONTROLLER listener.
    pub address: String,
    /// Its directory, as committed; zero when that is not known.
    pub directory: DirectoryId,
    /// One past its last offset, if known.
    pub log_end_offset: Option<MetadataOffset>,
    /// When the leader last had an answer from it (for Kafka, when it last fetched).
    pub last_fetch: Option<Instant>,
    /// When it last had everything that the leader had.
    pub last_caught_up: Option<Instant>,
}
