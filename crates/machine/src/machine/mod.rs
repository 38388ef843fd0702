//! The trait of machines, and the traits of its associated types.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::ops::ControlFlow;

use bytes::Bytes;
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, ProducerId, Timestamp, TopicId, TopicName};

use crate::timers::{Timer, Timers};

mod step;

pub use step::{Effects, Step};

/// The state of one partition, and its changes.
///
/// Invariant: a replay of the partition's log from its start results in the same state, except for
/// the state that is kept in memory only: timers, parked requests, and changes under
/// [`Effects::skip_replay`].
///
/// [`Effects::skip_replay`]: crate::Effects::skip_replay
pub trait Machine: Default + Debug + Send + 'static {
    /// A record of the partition.
    type Record: LogRecord;
    /// A snapshot of the configuration. The runtime replaces it when the metadata changes it.
    type Config: Debug + Send + Sync + 'static;
    /// The name of a timer. There is at most one timer of each name.
    type Timer: Timer;
    /// What continues once the records of a step are committed or have failed.
    type OnCommit: Debug + Send + 'static;
    /// Results of long computations that requests need; `()` when no request needs any.
    type Lookups: Lookups;
    /// Something that happened to an object, for its history; `Infallible` when the machine keeps
    /// no history.
    type Event: Debug + Send + 'static;

    /// The plural noun for the machine's objects in log lines and errors, such as `groups`.
    const NAME: &'static str;

    /// Applies a record to the state: one that was just appended, or one of the partition's log
    /// while it is loaded. Sets no timers and sends no replies.
    fn replay(&mut self, record: Self::Record);

    /// Like [`Machine::replay`], for a record of an open transaction of `producer`. The record
    /// takes effect when the transaction is committed. Machines without transactional records treat
    /// it as any other.
    fn replay_in_transaction(&mut self, _producer: ProducerId, record: Self::Record) {
        self.replay(record);
    }

    /// Replays the marker that ends a transaction in this partition, and returns the subjects of
    /// the transaction's records. Does nothing when the producer has no open transaction here.
    fn end_transaction(
        &mut self,
        _producer: ProducerId,
        _committed: bool,
    ) -> BTreeSet<<Self::Record as LogRecord>::Subject> {
        BTreeSet::new()
    }

    /// Notes that records about `subjects` were appended, and replayed unless that was skipped.
    /// They end at `end`: a reply that depends on the state of a subject passes that offset to
    /// [`Step::read_up_to`].
    fn on_appended(
        &mut self,
        subjects: BTreeSet<<Self::Record as LogRecord>::Subject>,
        end: Offset,
    );

    /// Starts the timers, after the whole log was replayed. The broker serves the machine from now
    /// on.
    fn on_loaded(&mut self, step: &mut Step<'_, Self>);

    /// Returns the running timers.
    fn timers(&mut self) -> &mut Timers<Self::Timer>;

    /// Handles a timer that expired and was removed from the table. When the records of this step
    /// cannot be appended, the runtime sets the timer again, unless the step or a later one has set
    /// it.
    fn on_timer(&mut self, timer: &Self::Timer, step: &mut Step<'_, Self>);

    /// Continues once the records with which `on_commit` was returned are committed, or have
    /// failed.
    fn on_commit(
        &mut self,
        on_commit: Self::OnCommit,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_, Self>,
    );

    /// Adds events of a step to the history, which is kept in memory only. Called after the records
    /// of the step were appended; events of a step that changed nothing are dropped.
    fn on_events(&mut self, _events: Vec<Self::Event>, _wall: Timestamp) {}

    /// Periodic upkeep, such as expiry. The runtime repeats it with a fresh step each until it
    /// breaks, so that one step may stay small.
    fn on_interval(&mut self, _step: &mut Step<'_, Self>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    /// Topics were deleted. Repeated until a step returns no records.
    fn on_topics_deleted(&mut self, _topics: &[(TopicId, TopicName)], _step: &mut Step<'_, Self>) {}
}

/// A record as the log stores it.
pub trait LogRecord: Debug + Sized + Send + 'static {
    /// The object that a record is about, such as a group or a transactional id.
    type Subject: Debug + Clone + Ord + Send;
    /// The reason why a record cannot be encoded or decoded.
    type Error: Error + Send + Sync + 'static;

    /// Returns the object that the record is about.
    fn subject(&self) -> &Self::Subject;

    /// Returns the record's key, and its value; `None` is a tombstone.
    ///
    /// # Errors
    /// When a field is too long for the format.
    fn encode(&self) -> Result<(Bytes, Option<Bytes>), Self::Error>;

    /// Decodes a record; `None` when this version does not know its type.
    ///
    /// # Errors
    /// When the bytes are not a record of the type that the key names.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Self::Error>;
}

/// Results of computations that take too long for the lock of a machine. A request that lacks
/// results lists them in [`Step::unresolved`]; they are computed without the lock, and the request
/// is planned again.
pub trait Lookups: Debug + Default + Send + 'static {
    /// Identifies a computation.
    type Key: Debug + Send + 'static;

    /// Computes results on these metadata, and keeps them. Pure.
    fn resolve(&mut self, keys: Vec<Self::Key>, image: &MetadataImage);
}

impl Lookups for () {
    type Key = Infallible;

    fn resolve(&mut self, _: Vec<Infallible>, _: &MetadataImage) {}
}

/// Handles one timer that has expired by the time of the step, the earliest first. Returns its
/// name.
pub fn run_expired_timer<M: Machine>(machine: &mut M, step: &mut Step<'_, M>) -> Option<M::Timer> {
    let timer = machine.timers().take_expired(step.now)?;
    machine.on_timer(&timer, step);
    Some(timer)
}
