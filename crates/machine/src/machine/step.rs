//! One step of a machine: its inputs, and its effects.

use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{Offset, Timestamp, Uuid};

use super::{Lookups, Machine};
use crate::reply::{DueReply, Reply, ReplyToken};

/// One step, for a request, a timer, upkeep or the outcome of a commit.
#[derive(Debug)]
pub struct Step<'a, M: Machine> {
    /// The monotonic time since a fixed moment of the node's own. Used for sessions and all other
    /// timers.
    pub now: Duration,
    /// The time of the wall clock, for timestamps of records and for expiry by them. Never used for
    /// sessions.
    pub wall: Timestamp,
    /// The newest metadata.
    pub image: &'a MetadataImage,
    /// The configuration.
    pub config: &'a M::Config,
    /// A new unique id, for one new object.
    pub fresh: Uuid,
    /// Results of computations, as far as the request has listed them; `None` when the request is
    /// not planned again with further results.
    pub lookups: Option<&'a M::Lookups>,
    /// Computations whose results the request lacks. Such a plan changes nothing and has no
    /// effects; the request is planned again with the results in `lookups`.
    pub unresolved: Vec<<M::Lookups as Lookups>::Key>,
    /// The effects of the step.
    pub effects: Effects<M>,
}

/// The effects of a step, which the runtime carries out in this order: it appends and replays
/// `records`, and sends `replies`: at once when `records` is empty, otherwise once they are
/// committed.
#[derive(Debug)]
pub struct Effects<M: Machine> {
    /// Records that are appended to the partition as one batch. When they cannot be appended, none
    /// is replayed, and the request fails with the error; see also `on_commit`.
    pub records: Vec<M::Record>,
    /// Whether `records` are not replayed after they were appended, because the state in memory has
    /// already changed and the records log the result.
    pub skip_replay: bool,
    /// Passed to [`Machine::on_commit`] once `records` are committed or have failed.
    pub on_commit: Option<M::OnCommit>,
    /// Replies to parked requests, which may include the request of this step. When `records` fail,
    /// the result of [`Reply::failed`] is sent instead.
    pub replies: Vec<DueReply>,
    /// The offset below which all records must be committed before the replies of this step are
    /// sent, because the replies depend on them.
    pub reads: Option<Offset>,
    /// Whether the machine has work for the task that works for it outside. See [`Step::signal`].
    pub signal: bool,
    /// What happened, for [`Machine::on_events`].
    pub events: Vec<M::Event>,
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
            events: Vec::new(),
        }
    }
}

impl<M: Machine> Step<'_, M> {
    /// Adds a record to be appended.
    pub fn write(&mut self, record: M::Record) {
        self.effects.records.push(record);
    }

    /// Adds the reply to a parked request.
    pub fn reply<R: Reply>(&mut self, token: ReplyToken<R>, reply: R) {
        self.effects.replies.push(DueReply::new(token, reply));
    }

    /// Wakes the task that works for the machine outside, such as the one that sends markers of
    /// transactions. The task takes its work with a request, whose reply waits for the commit of
    /// the records that the work depends on.
    pub fn signal(&mut self) {
        self.effects.signal = true;
    }

    /// Holds back the replies of this step until everything below `end` is committed.
    pub fn read_up_to(&mut self, end: Offset) {
        let reads = &mut self.effects.reads;
        *reads = (*reads).max(Some(end));
    }
}
