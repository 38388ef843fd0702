//! One step of a machine: what it sees, and what it asks the runtime to do.

use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{Offset, Timestamp, Uuid};

use super::{Lookups, Machine};
use crate::reply::{DueReply, Reply, ReplyToken};

/// One step: a request, a timer, upkeep, or the outcome of a commit.
#[derive(Debug)]
pub struct Step<'a, M: Machine> {
    /// The monotonic time since an epoch of the node's own. Drives sessions and all other timers.
    pub now: Duration,
    /// The wall clock, for timestamps of records and what expires by them. Never for sessions.
    pub wall: Timestamp,
    /// The newest metadata.
    pub image: &'a MetadataImage,
    /// The configuration.
    pub config: &'a M::Config,
    /// An id that nothing else has, for one new object.
    pub fresh: Uuid,
    /// Results of computations, as far as they were asked for; `None` when the request is not
    /// planned again with more of them.
    pub lookups: Option<&'a M::Lookups>,
    /// Computations whose results the request lacks. It changed nothing and asks for nothing; it is
    /// planned again with their results in `lookups`.
    pub unresolved: Vec<<M::Lookups as Lookups>::Key>,
    /// What the step asks for.
    pub effects: Effects<M>,
}

/// What a step asks of the runtime, which carries it out in this order: append and replay
/// `records`; send `replies`, at once when `records` is empty, otherwise when they are committed.
#[derive(Debug)]
pub struct Effects<M: Machine> {
    /// Appended to the partition as one batch. When it cannot be appended, no record is replayed
    /// and the request fails with the error; see also `on_commit`.
    pub records: Vec<M::Record>,
    /// Whether `records` are not replayed after they were appended, because the state in memory has
    /// changed already and the records log the result.
    pub skip_replay: bool,
    /// Passed to [`Machine::on_commit`] once `records` are committed or have failed.
    pub on_commit: Option<M::OnCommit>,
    /// Replies to parked requests, perhaps to the one of this step. When `records` fail,
    /// [`Reply::failed`] makes what is sent instead.
    pub replies: Vec<DueReply>,
    /// The replies of this step show state that rests on records below this offset. They are sent
    /// once those records are committed.
    pub reads: Option<Offset>,
    /// Whether the machine has something to be taken by the task that works outside the machine for
    /// it. See [`Step::signal`].
    pub signal: bool,
}

impl<M: Machine> Default for Effects<M> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            skip_replay: false,
            on_commit: None,
            replies: Vec::new(),
            reads: None,
            signal: false,
        }
    }
}

impl<M: Machine> Step<'_, M> {
    /// Asks for a record to be appended.
    pub fn write(&mut self, record: M::Record) {
        self.effects.records.push(record);
    }

    /// Sends the reply to a parked request.
    pub fn reply<R: Reply>(&mut self, token: ReplyToken<R>, reply: R) {
        self.effects.replies.push(DueReply::new(token, reply));
    }

    /// Wakes the task that works outside the machine for it, such as the one that sends markers of
    /// transactions. The task takes its work with a request, whose reply waits for the commit of
    /// the records that the work rests on.
    pub fn signal(&mut self) {
        self.effects.signal = true;
    }

    /// Holds back the replies of this step until everything below `end` is committed.
    pub fn read_up_to(&mut self, end: Offset) {
        let reads = &mut self.effects.reads;
        *reads = (*reads).max(Some(end));
    }
}
