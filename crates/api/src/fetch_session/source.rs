//! Records of a response that stay in their file until the socket accepts them.

use std::sync::Arc;

use bytes::Bytes;
use dohle_log::{Access, FileRange, RangeError, Records};
use dohle_protocol::fetch::RecordChunk;
use parking_lot::Mutex;

use dohle_broker::blocking::WorkOwner;
use dohle_broker::partition::Partition;
use dohle_network::connection::{Chunk, Load, Source, SourceError};

/// Records of one partition, as a response holds them.
#[derive(Debug)]
pub(crate) enum SentRecords {
    /// Records in memory: few, or none.
    Memory(Bytes),
    /// Records in their file.
    Stored(StoredRecords),
}

/// Batches in the file of a partition.
#[derive(Debug)]
pub(crate) struct StoredRecords {
    partition: Arc<Partition>,
    /// The range of the file, shared with the thread that loads what is not in the page cache.
    range: Arc<Mutex<FileRange>>,
    length: usize,
    /// The client that the records are sent to.
    owner: WorkOwner,
}

impl SentRecords {
    pub fn new(records: Records, partition: &Arc<Partition>, owner: WorkOwner) -> Self {
        match records {
            Records::Memory(bytes) => Self::Memory(bytes),
            Records::File(range) => Self::Stored(StoredRecords {
                partition: Arc::clone(partition),
                length: range.len(),
                range: Arc::new(Mutex::new(range)),
                owner,
            }),
        }
    }

    /// Returns the bytes of records that are held in memory.
    pub fn memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Stored(_) => 0,
        }
    }
}

impl RecordChunk for SentRecords {
    fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Stored(stored) => stored.length,
        }
    }

    fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Stored(_) => None,
        }
    }
}

impl From<SentRecords> for Chunk {
    fn from(records: SentRecords) -> Self {
        match records {
            SentRecords::Memory(bytes) => Self::Memory(bytes),
            SentRecords::Stored(stored) => Self::Source(Box::new(stored)),
        }
    }
}

/// Returns why a range cannot be sent to its end, and applies an error of the storage to its
/// partition.
fn lost(error: RangeError, partition: &Partition) -> String {
    match error {
        RangeError::Storage(error) => partition.read_failed(&error).to_string(),
        RangeError::Truncated | RangeError::NotCached => format!(
            "partition {}: {error}, and some of its records have not been sent",
            partition.name()
        ),
    }
}

impl Source for StoredRecords {
    fn length(&self) -> usize {
        self.length
    }

    fn read(&mut self, at: usize, window: &mut [u8]) -> Result<usize, SourceError> {
        // Held for a short time only: the connection does not read while another thread loads.
        let read = self.range.lock().read(at, window, Access::Cached);
        read.map_err(|error| match error {
            RangeError::NotCached => SourceError::NotCached,
            error => SourceError::Lost(lost(error, &self.partition)),
        })
    }

    fn load(&mut self, at: usize, length: usize) -> Load {
        let (partition, range) = (Arc::clone(&self.partition), Arc::clone(&self.range));
        let owner = self.owner;
        Box::pin(async move {
            let sent = Arc::clone(&partition);
            let read = move || {
                let mut bytes = vec![0; length];
                match range.lock().read(at, &mut bytes, Access::Disk) {
                    Ok(count) => {
                        bytes.truncate(count);
                        Ok(Bytes::from(bytes))
                    }
                    Err(error) => Err(lost(error, &partition)),
                }
            };
            let loaded = sent.blocking().disk(owner, read).await;
            loaded.map_err(|error| format!("records cannot be loaded: {error}"))?
        })
    }
}
