//! Errors of operations on a partition, with Kafka's code for each.

use dohle_model::{ApiError, ErrorCode, LeaderEpoch, NodeId, Offset};

use super::types::Positions;

/// Why this replica does not serve a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// This broker does not lead the partition (or hosts no replica of it).
    #[error("this broker does not lead the partition; the leader is {}", Leader(*leader))]
    NotLeader {
        /// The leader, when it is known.
        leader: Option<NodeId>,
    },
    /// The caller's leader epoch is older than the partition's.
    #[error("leader epoch {given} is fenced by {current}")]
    FencedLeaderEpoch {
        /// The caller's epoch.
        given: LeaderEpoch,
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// The caller's leader epoch is newer than this broker's metadata.
    #[error("leader epoch {given} is newer than {current}, the newest in this broker's metadata")]
    UnknownLeaderEpoch {
        /// The caller's epoch.
        given: LeaderEpoch,
        /// The partition's epoch.
        current: LeaderEpoch,
    },
    /// The log directory failed, or the log is damaged.
    #[error("the log of the partition is offline: {0}")]
    Offline(String),
    /// There was no space for a write. The log is online and unchanged.
    #[error("{0}")]
    NoSpace(String),
}

struct Leader(Option<NodeId>);

impl std::fmt::Display for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(id) => write!(f, "broker {id}"),
            None => f.write_str("not known"),
        }
    }
}

impl RoleError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
            Self::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::Offline(_) | Self::NoSpace(_) => ErrorCode::KafkaStorageError,
        }
    }
}

/// A record that makes its batch unacceptable (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The record's index in its batch, from 0.
    pub index: u32,
    /// What is wrong with it.
    pub message: String,
}

/// Why records were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// See [`RoleError`].
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The ISR is smaller than `min.insync.replicas` (acks=all only).
    #[error("{isr} replicas are in sync, min.insync.replicas is {min}")]
    NotEnoughReplicas {
        /// Replicas in sync.
        isr: usize,
        /// The required number of replicas.
        min: usize,
    },
    /// The records, or their producer's sequence, are not acceptable.
    #[error("{message}")]
    Rejected {
        /// Kafka's code.
        code: ErrorCode,
        /// What is wrong.
        message: String,
        /// The records that are wrong, if single records are the cause.
        records: Vec<RejectedRecord>,
    },
}

impl AppendError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Role(error) => error.code(),
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::Rejected { code, .. } => *code,
        }
    }

    /// The records that are wrong; empty when no single record is the cause.
    #[must_use]
    pub fn record_errors(&self) -> &[RejectedRecord] {
        match self {
            Self::Rejected { records, .. } => records,
            Self::Role(_) | Self::NotEnoughReplicas { .. } => &[],
        }
    }
}

/// Why appended records will not be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// See [`RoleError`]; the leader has changed since the append.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The records are committed, but the ISR has become smaller than `min.insync.replicas`.
    #[error("{isr} replicas are in sync after the append, min.insync.replicas is {min}")]
    NotEnoughReplicasAfterAppend {
        /// Replicas in sync.
        isr: usize,
        /// The required number of replicas.
        min: usize,
    },
}

impl CommitError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Role(error) => error.code(),
            Self::NotEnoughReplicasAfterAppend { .. } => ErrorCode::NotEnoughReplicasAfterAppend,
        }
    }
}

/// Why nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// See [`RoleError`].
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The offset is outside the log (or above what the reader may see).
    #[error(
        "offset {offset} is not in the log, which has the offsets {} to {}",
        positions.log_start_offset,
        positions.log_end_offset
    )]
    OffsetOutOfRange {
        /// The requested offset.
        offset: Offset,
        /// The positions, which are returned to the client.
        positions: Positions,
    },
    /// The leader has not learned yet which records are committed.
    #[error("the new leader has not reached the high watermark of its predecessor yet")]
    OffsetNotAvailable,
    /// The epoch of the request is not in the log.
    #[error("the log has no records of epoch {0} or before")]
    UnknownEpoch(LeaderEpoch),
    /// A batch on disk is damaged.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
    /// The node lacks the descriptors or the memory for this read, which may be retried.
    #[error("the log cannot be read now: {0}")]
    Unavailable(String),
}

impl ReadError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Role(error) => error.code(),
            Self::OffsetOutOfRange { .. } | Self::UnknownEpoch(_) => ErrorCode::OffsetOutOfRange,
            Self::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
            Self::Corrupt(_) => ErrorCode::CorruptMessage,
            Self::Unavailable(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl From<RoleError> for ApiError {
    fn from(error: RoleError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        error.code().because(error.to_string())
    }
}
