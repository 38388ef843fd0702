//! What a fetch session remembers of its partitions, and how they are read.
//!
//! Does not depend on the pipeline: the sessions of a node outlive the requests.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use parking_lot::Mutex;

mod read;
mod session;
mod sessions;
mod source;

pub(crate) use read::{PartitionRead, Reader};
pub(crate) use session::{Entry, Reads, Session, TopicKey};
pub(crate) use sessions::{EPOCH_FINAL, EPOCH_INITIAL, Slots};
pub(crate) use source::SentRecords;

/// The fetch sessions of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    pub(crate) slots: Mutex<Slots<Mutex<Session>>>,
}

impl FetchSessions {
    /// At most `max` sessions.
    pub fn new(max: usize) -> Self {
        // Ids differ from run to run, so that a client of an earlier one is found out.
        let first_id = (RandomState::new().hash_one(max) & 0x7fff_ffff) as i32;
        Self {
            slots: Mutex::new(Slots::new(max, first_id)),
        }
    }
}

/// What the client is told of one partition.
pub(crate) type PartitionResult = (TopicKey, i32, PartitionRead);
