//! Parameters and results of a partition's operations.

use bytes::Bytes;
use dohle_model::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

pub use crate::replica::Positions;

/// When a produce request is acknowledged (`acks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Acks {
    /// The request is not acknowledged (0).
    None,
    /// After the append to the leader's log (1).
    Leader,
    /// When all in-sync replicas have the records (-1).
    All,
}

/// The source of a batch. Batches of clients are checked more strictly than the broker's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AppendOrigin {
    /// A producer.
    #[default]
    Client,
    /// A coordinator of this broker, to an internal topic.
    Coordinator,
}

/// The result of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The time of the append, with `message.timestamp.type=LogAppendTime`. For a batch that is in
    /// the log already, its largest timestamp with either type, as Kafka's `UnifiedLog` answers.
    pub log_append_time: Option<Timestamp>,
    /// The log start offset.
    pub log_start_offset: Offset,
    /// The epoch that the records were appended in.
    pub leader_epoch: LeaderEpoch,
    /// Whether an idempotent producer sent a batch again that is in the log already. The offsets
    /// are those of the first append.
    pub duplicate: bool,
    /// Whether `flush.messages` may require a flush before the acknowledgement. The caller
    /// continues with [`Partition::flush_appended`](super::Partition::flush_appended).
    pub flush: bool,
}

impl Appended {
    /// Returns the offset after the last record, which [`super::Partition::wait_committed`] waits
    /// for.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.last_offset.plus(1)
    }
}

/// Which records a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// All records of the log, for replicas.
    LogEnd,
    /// Committed records, for `read_uncommitted` consumers.
    HighWatermark,
    /// Committed records below the first open transaction, for `read_committed` consumers.
    LastStable,
}

impl Isolation {
    /// Returns what a consumer with this `isolation_level` sees, or `None` when there is no such
    /// level.
    #[must_use]
    pub fn of_client(level: i8) -> Option<Self> {
        match level {
            0 => Some(Self::HighWatermark),
            1 => Some(Self::LastStable),
            _ => None,
        }
    }
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchParams {
    /// The first offset to read.
    pub fetch_offset: Offset,
    /// The reader's leader epoch. Another epoch than the partition's is refused (KIP-320).
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the reader's last record. `diverging` is returned if the log differs there.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The most bytes of records to read.
    pub max_bytes: usize,
    /// The first batch is returned whole even when it is larger than `max_bytes`.
    pub min_one: bool,
    /// Which records the reader may see.
    pub isolation: Isolation,
    /// Refuses the read unless this broker leads. Consumers with KIP-392 may read from followers.
    pub leader_only: bool,
}

/// An epoch, and its end in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch in the log that is not above the one requested; `None` when there is none.
    pub epoch: Option<LeaderEpoch>,
    /// The offset after the epoch's last record; `None` when there is no such epoch.
    pub end_offset: Option<Offset>,
}

/// A transaction that ended in an abort, for `read_committed` consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// The offset of its first record.
    pub first_offset: Offset,
}

/// The result of a read.
#[derive(Debug, Clone)]
pub struct FetchRead<R = Bytes> {
    /// Whole batches (the first may begin before the offset asked for); empty at the end.
    pub records: R,
    /// The partition's positions when the read began.
    pub positions: Positions,
    /// Where the reader's log diverges from this one (KIP-595). `records` is empty then.
    pub diverging: Option<EpochEnd>,
    /// With [`Isolation::LastStable`]: the aborted transactions among the records.
    pub aborted: Vec<AbortedTransaction>,
}

/// Which offset to find (`ListOffsets`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset (-2).
    Earliest,
    /// The end as the isolation level sees it (-1).
    Latest,
    /// The record with the largest timestamp (-3, KIP-734).
    MaxTimestamp,
    /// The first offset on local disk (-4, KIP-405).
    EarliestLocal,
    /// The last offset in tiered storage (-5, KIP-1005); there is none.
    LatestTiered,
    /// The first record at or after this time.
    ByTime(Timestamp),
}

/// An offset that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp, for searches by time.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the record, or of the leader for `Latest`.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The state of an idempotent producer (`DescribeProducers`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerInfo {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch; `None` while its batches have none.
    pub producer_epoch: Option<ProducerEpoch>,
    /// The sequence of its last record.
    pub last_sequence: Option<Sequence>,
    /// The timestamp of its last batch.
    pub last_timestamp: Option<Timestamp>,
    /// The first offset of its open transaction.
    pub current_txn_start_offset: Option<Offset>,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
}

/// A follower's progress, for the choice of the closest replica (KIP-392).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerState {
    /// The broker.
    pub id: NodeId,
    /// The end of its log, once it is known.
    pub log_end_offset: Option<Offset>,
    /// The start of its log, once it is known.
    pub log_start_offset: Option<Offset>,
    /// Whether it is in the ISR that the controller has committed.
    pub in_sync: bool,
}
