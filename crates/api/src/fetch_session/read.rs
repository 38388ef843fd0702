//! Reads one partition for a fetch.

use std::sync::Arc;

use dohle_log::Access;
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset};

use super::source::SentRecords;
use dohle_broker::blocking::WorkOwner;
use dohle_broker::metadata::MetadataCache;
use dohle_broker::partition::{
    AbortedTransaction, EpochEnd, FetchParams, FetchRead, FollowerState, Isolation, LocateError,
    Partition, Positions, TopicMeter,
};
use dohle_broker::partitions::Partitions;
use dohle_protocol::fetch::RecordChunk;
use dohle_protocol::messages::fetch_request::FetchPartition;

/// The parameters of a fetch from one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionFetch {
    /// The offset to read from; `None` when the client sent a negative one.
    pub fetch_offset: Option<Offset>,
    /// The limit of this partition; `None` when the client sent a negative one.
    pub max_bytes: Option<usize>,
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

impl From<&FetchPartition> for PartitionFetch {
    fn from(partition: &FetchPartition) -> Self {
        Self {
            fetch_offset: Offset::from_wire(partition.fetch_offset),
            max_bytes: usize::try_from(partition.partition_max_bytes).ok(),
            current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
        }
    }
}

/// The parameters of a fetch that all its partitions share.
pub(crate) struct FetchContext<'a> {
    /// Returns whether the client may read a topic. Asked at each read, so that a session ends to
    /// return records when the permission is withdrawn.
    pub may_read: &'a (dyn Fn(&str) -> bool + Sync),
    /// The id of this broker.
    pub node: NodeId,
    pub metadata: &'a MetadataCache,
    pub partitions: &'a Partitions,
    pub isolation: Isolation,
    /// The limit of the whole response; `None` when the client sent a negative one.
    pub max_bytes: Option<usize>,
    /// Whether the response lists every partition, even when no room is left for its records.
    pub is_full: bool,
    /// Whether the client's version does not support reading from followers.
    pub leader_only: bool,
    /// The client's rack, when replicas are chosen by rack.
    pub rack: Option<&'a str>,
    /// The client, as the owner of its reads on the blocking pool.
    pub owner: WorkOwner,
}

/// The outcome of a read.
#[derive(Debug)]
pub(crate) enum PartitionRead {
    Read {
        records: SentRecords,
        positions: Positions,
        diverging: Option<EpochEnd>,
        /// The aborted transactions; `Some` for `read_committed`.
        aborted: Option<Vec<AbortedTransaction>>,
        /// Counts what is returned.
        meter: Arc<TopicMeter>,
    },
    /// Another replica is nearer to the client.
    PreferredReadReplica {
        replica: NodeId,
        positions: Positions,
    },
    Failed(ErrorCode),
}

impl PartitionRead {
    pub fn failed(code: ErrorCode) -> Self {
        Self::Failed(code)
    }

    /// Returns the bytes of records that this outcome holds in memory.
    pub fn memory(&self) -> usize {
        match self {
            Self::Read { records, .. } => records.memory(),
            Self::PreferredReadReplica { .. } | Self::Failed(_) => 0,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Read { records, .. } => RecordChunk::len(records),
            Self::PreferredReadReplica { .. } | Self::Failed(_) => 0,
        }
    }

    /// Returns whether the response is sent at once, without waiting for `min_bytes`.
    pub fn is_urgent(&self) -> bool {
        match self {
            Self::Read { diverging, .. } => diverging.is_some(),
            Self::PreferredReadReplica { .. } | Self::Failed(_) => true,
        }
    }

    /// Returns whether the next request for the same position would also have records or an error
    /// to return.
    pub fn has_more(&self) -> bool {
        self.is_urgent() || self.bytes() > 0
    }

    /// Returns high watermark and log start; a change of either is sent even without records.
    pub fn positions(&self) -> Option<(i64, i64)> {
        match self {
            Self::Read { positions, .. } | Self::PreferredReadReplica { positions, .. } => {
                Some((positions.high_watermark.0, positions.log_start_offset.0))
            }
            Self::Failed(_) => None,
        }
    }
}

/// The outcome of a read that does not wait for the disk.
#[derive(Debug)]
pub(crate) enum Looked {
    Found(PartitionRead),
    /// The records are not in the page cache.
    Cold(ColdRead),
}

/// A read that waits for the disk.
#[derive(Debug)]
pub(crate) struct ColdRead {
    pub partition: Arc<Partition>,
    pub params: FetchParams,
}

impl FetchContext<'_> {
    /// Reads a partition without waiting for the disk. Reads up to `memory` bytes of records at
    /// once; more of them stay in their file. `room` is what the response has left; without it, or
    /// without a limit of the partition, the limit is negative: as in Kafka, the read then fails
    /// with UNKNOWN_SERVER_ERROR, unless there is nothing to read.
    pub fn read(
        &self,
        partition: &Arc<Partition>,
        wanted: &PartitionFetch,
        room: Option<usize>,
        min_one: bool,
        memory: usize,
    ) -> Looked {
        let Some(fetch_offset) = wanted.fetch_offset else {
            return Looked::Found(PartitionRead::Failed(ErrorCode::OffsetOutOfRange));
        };
        if let Some(replica) = self.closest(partition, fetch_offset) {
            return Looked::Found(PartitionRead::PreferredReadReplica {
                replica,
                positions: partition.positions(),
            });
        }
        let limit = wanted.max_bytes.zip(room).map(|(own, room)| own.min(room));
        let params = FetchParams {
            fetch_offset,
            current_leader_epoch: wanted.current_leader_epoch,
            last_fetched_epoch: wanted.last_fetched_epoch,
            max_bytes: limit.unwrap_or(0),
            min_one: min_one || limit.is_none(),
            isolation: self.isolation,
            leader_only: self.leader_only,
        };
        match partition.locate(&params, memory, Access::Cached) {
            Ok(read) if limit.is_none() && !read.records.is_empty() => {
                Looked::Found(PartitionRead::Failed(ErrorCode::UnknownServerError))
            }
            Ok(read) => Looked::Found(self.found(partition, read)),
            // There is something to read.
            Err(LocateError::NotCached) if limit.is_none() => {
                Looked::Found(PartitionRead::Failed(ErrorCode::UnknownServerError))
            }
            Err(LocateError::NotCached) => Looked::Cold(ColdRead {
                partition: Arc::clone(partition),
                params,
            }),
            Err(LocateError::Read(error)) => Looked::Found(PartitionRead::Failed(error.code())),
        }
    }

    /// Reads a partition from the disk, on the blocking pool.
    pub async fn read_cold(&self, read: ColdRead) -> PartitionRead {
        let ColdRead { partition, params } = read;
        let reading = Arc::clone(&partition);
        let located = partition
            .blocking()
            .disk(self.owner, move || reading.locate(&params, 0, Access::Disk))
            .await;
        match located {
            Ok(Ok(read)) => self.found(&partition, read),
            Ok(Err(LocateError::Read(error))) => PartitionRead::Failed(error.code()),
            Ok(Err(LocateError::NotCached)) | Err(_) => {
                PartitionRead::Failed(ErrorCode::KafkaStorageError)
            }
        }
    }

    fn found(
        &self,
        partition: &Arc<Partition>,
        read: FetchRead<dohle_log::Records>,
    ) -> PartitionRead {
        PartitionRead::Read {
            records: SentRecords::new(read.records, partition, self.owner),
            positions: read.positions,
            diverging: read.diverging,
            aborted: (self.isolation == Isolation::LastStable).then_some(read.aborted),
            meter: Arc::clone(partition.meter()),
        }
    }

    /// Returns the replica in the client's rack, when this leader is in another one (KIP-392).
    fn closest(&self, partition: &Partition, fetch_offset: Offset) -> Option<NodeId> {
        let rack = self.rack?;
        if !partition.is_leader() {
            return None;
        }
        let image = self.metadata.image();
        let in_rack = |node: NodeId| {
            let broker = image.brokers.get(&node);
            broker.is_some_and(|broker| !broker.fenced && broker.rack.as_deref() == Some(rack))
        };
        if in_rack(self.node) {
            return None;
        }
        let has_offset = |follower: &FollowerState| {
            follower.in_sync
                && follower
                    .log_start_offset
                    .is_none_or(|start| start <= fetch_offset)
                && follower
                    .log_end_offset
                    .is_some_and(|end| end >= fetch_offset)
        };
        let followers = partition.followers();
        let near = followers
            .iter()
            .filter(|follower| in_rack(follower.id) && has_offset(follower));
        near.max_by_key(|follower| (follower.log_end_offset, std::cmp::Reverse(follower.id)))
            .map(|follower| follower.id)
    }
}
