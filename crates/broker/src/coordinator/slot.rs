//! One partition of `__consumer_offsets` that this broker leads, in one leader epoch: its shard
//! behind a lock, the requests that are parked in it, and the one place where what a step asks for
//! is appended and replayed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_groups::{Effects, Matches, OnCommit, Record, Shard, Step};
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_machine::{DueReply, Machine as _, Reply, ReplyToken};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, LeaderEpoch, Offset, Timestamp, Uuid};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::parked::Parked;
use super::settings::Settings;
use super::within;
use crate::partition::{Acks, AppendError, AppendOrigin, CommitError, Partition};
use crate::partitions::wall_clock;

/// After a failed load, requests may start another one this much later.
const LOAD_AGAIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) partition: Arc<Partition>,
    pub(super) leader_epoch: LeaderEpoch,
    state: Mutex<State>,
    /// Whether the state is no longer `Loading`.
    loaded: watch::Sender<bool>,
    parked: Mutex<HashMap<u64, oneshot::Sender<DueReply>>>,
}

#[derive(Debug)]
enum State {
    Loading,
    Active(Box<Shard>),
    /// The load failed, at this time.
    Failed(Duration),
    Resigned,
}

/// What a step is made on.
pub(super) struct Surroundings {
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) image: Arc<MetadataImage>,
    pub(super) settings: Arc<Settings>,
    /// What regular expressions match, for requests that are planned again with more of it.
    pub(super) matches: Option<Matches>,
}

impl Surroundings {
    fn step(&self) -> Step<'_> {
        Step {
            now: self.now,
            wall: self.wall,
            image: &self.image,
            config: &self.settings.groups,
            fresh: Uuid(*uuid::Uuid::new_v4().as_bytes()),
            lookups: self.matches.as_ref(),
            unresolved: Vec::new(),
            effects: Effects::default(),
        }
    }
}

/// Whether a step's records may become several batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    /// All or nothing: requests.
    Whole,
    /// Each record stands for itself: expiry and other upkeep.
    Apart,
}

type Commit = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;
pub(super) type Replies = Vec<DueReply>;

/// What an answer waits for.
#[derive(Default)]
pub(super) struct Waits {
    committed: Option<Commit>,
    /// What it shows was written by others.
    shown: Option<Commit>,
}

impl Waits {
    /// Whether the step wrote records.
    pub(super) fn has_written(&self) -> bool {
        self.committed.is_some()
    }

    /// Waits until the answer may leave.
    pub(super) async fn done(self, deadline: Instant) -> Result<(), ErrorCode> {
        if let Some(commit) = self.committed {
            committed(commit, deadline).await?;
        }
        if let Some(commit) = self.shown {
            let shown = async {
                match commit.await {
                    // It is committed; that too few replicas are in sync by now stops no reader.
                    Ok(()) | Err(CommitError::NotEnoughReplicasAfterAppend { .. }) => Ok(()),
                    Err(CommitError::Role(_)) => Err(ErrorCode::NotCoordinator),
                }
            };
            within(deadline, shown).await?;
        }
        Ok(())
    }
}

/// Waits for a commit; fails with the code for a group's request.
pub(super) async fn committed(commit: Commit, deadline: Instant) -> Result<(), ErrorCode> {
    let outcome = async { commit.await.map_err(|error| of_commit(&error)) };
    within(deadline, outcome).await
}

/// Replies, and a continuation of the shard, that wait for a commit.
pub(super) struct Pending {
    pub(super) committed: Commit,
    pub(super) replies: Replies,
    pub(super) on_commit: Option<OnCommit>,
}

/// What is to be done after a step, when the lock is released.
#[derive(Default)]
pub(super) struct FollowUps {
    pub(super) replies: Replies,
    pub(super) pending: Vec<Pending>,
    /// When the shard's first timer runs out.
    pub(super) next_deadline: Option<Duration>,
}

impl Slot {
    pub(super) fn new(partition: Arc<Partition>, leader_epoch: LeaderEpoch) -> Arc<Self> {
        Arc::new(Self {
            partition,
            leader_epoch,
            state: Mutex::new(State::Loading),
            loaded: watch::Sender::new(false),
            parked: Mutex::default(),
        })
    }

    /// Makes one step of the shard. Blocks for a write to the page cache.
    pub(super) fn step<R>(
        &self,
        around: &Surroundings,
        writes: Writes,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R,
    ) -> (Result<(R, Waits), ErrorCode>, FollowUps) {
        let mut follow_ups = FollowUps::default();
        let mut state = self.state.lock();
        let shard = match &mut *state {
            State::Active(shard) => shard,
            State::Loading => return (Err(ErrorCode::CoordinatorLoadInProgress), follow_ups),
            State::Failed(_) | State::Resigned => {
                return (Err(ErrorCode::NotCoordinator), follow_ups);
            }
        };
        let mut step = around.step();
        let answer = plan(shard, &mut step);
        let effects = step.effects;
        let waits = self.carry_out(shard, around, writes, effects, &mut follow_ups);
        follow_ups.next_deadline = shard.timers().next();
        drop(state);
        (waits.map(|waits| (answer, waits)), follow_ups)
    }

    fn carry_out(
        &self,
        shard: &mut Shard,
        around: &Surroundings,
        writes: Writes,
        effects: Effects,
        follow_ups: &mut FollowUps,
    ) -> Result<Waits, ErrorCode> {
        let mut waits = Waits::default();
        let Effects {
            records,
            skip_replay,
            on_commit,
            replies,
            reads,
        } = effects;
        if records.is_empty() {
            follow_ups.replies.extend(replies);
            if let Some(on_commit) = on_commit {
                self.on_commit(shard, around, on_commit, Ok(()), follow_ups);
            }
        } else {
            match self.append(shard, around, writes, records, skip_replay) {
                Ok(end) => {
                    waits.committed = Some(self.commit(end));
                    if on_commit.is_some() || !replies.is_empty() {
                        follow_ups.pending.push(Pending {
                            committed: self.commit(end),
                            replies,
                            on_commit,
                        });
                    }
                }
                Err(code) => {
                    let failed = |reply: DueReply| reply.failed(code);
                    follow_ups.replies.extend(replies.into_iter().map(failed));
                    if let Some(on_commit) = on_commit {
                        self.on_commit(shard, around, on_commit, Err(code), follow_ups);
                    }
                    return Err(code);
                }
            }
        }
        waits.shown = reads.map(|end| self.commit(end));
        Ok(waits)
    }

    fn on_commit(
        &self,
        shard: &mut Shard,
        around: &Surroundings,
        on_commit: OnCommit,
        outcome: Result<(), ErrorCode>,
        follow_ups: &mut FollowUps,
    ) {
        let mut step = around.step();
        shard.on_commit(on_commit, outcome, &mut step);
        let effects = step.effects;
        // A failure has reached whoever waits, through the replies.
        let _ = self.carry_out(shard, around, Writes::Whole, effects, follow_ups);
    }

    /// Waits until what was appended below `end` is committed, and on the disk where
    /// `flush.messages` asks for that.
    fn commit(&self, end: Offset) -> Commit {
        let committed = self.partition.wait_committed(self.leader_epoch, end);
        if !self.partition.flushes_before_answer() {
            return Box::pin(committed);
        }
        let flushed = Arc::clone(&self.partition).flush_appended(wall_clock());
        Box::pin(async move {
            flushed.await?;
            committed.await
        })
    }

    /// Appends and replays; answers the log end after the records. With [`Writes::Whole`] nothing
    /// was changed when it fails.
    fn append(
        &self,
        shard: &mut Shard,
        around: &Surroundings,
        writes: Writes,
        records: Vec<Record>,
        skip_replay: bool,
    ) -> Result<Offset, ErrorCode> {
        let bytes_max = match writes {
            Writes::Whole => usize::MAX,
            Writes::Apart => around.settings.batch_bytes_max,
        };
        if self.partition.leader_epoch() != self.leader_epoch {
            return Err(ErrorCode::NotCoordinator);
        }
        let mut end = Offset::ZERO;
        for (batch, records) in batches(records, bytes_max, around)? {
            let appended = self
                .partition
                .append(batch, Acks::All, AppendOrigin::Coordinator, around.wall)
                .map_err(|error| self.refused(&error))?;
            if appended.leader_epoch != self.leader_epoch {
                // The partition was won again in between, and another shard is being loaded.
                return Err(ErrorCode::NotCoordinator);
            }
            end = appended.end();
            let group_ids = records.iter().map(Record::group_id).cloned().collect();
            if !skip_replay {
                for record in records {
                    shard.replay(record);
                }
            }
            shard.on_appended(group_ids, end);
        }
        Ok(end)
    }

    fn refused(&self, error: &AppendError) -> ErrorCode {
        let code = of_append(error);
        if code == ErrorCode::UnknownServerError {
            let partition = self.partition.name();
            tracing::error!(%partition, "records of a group cannot be appended: {error}");
        }
        code
    }

    /// Puts an answer on its way.
    pub(super) fn reply(&self, reply: DueReply) {
        let sender = self.parked.lock().remove(&reply.id());
        if let Some(sender) = sender {
            // Who asked may be gone.
            let _ = sender.send(reply);
        }
    }

    /// Parks a request.
    pub(super) fn park<R: Reply>(self: &Arc<Self>, token: ReplyToken<R>) -> Parked<R> {
        let (sender, receiver) = oneshot::channel();
        self.parked.lock().insert(token.id(), sender);
        Parked::new(Arc::clone(self), token, receiver)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn parked(&self) -> usize {
        self.parked.lock().len()
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&self, token: u64) {
        self.parked.lock().remove(&token);
    }

    /// The shard is loaded; `false` when it is not wanted any more.
    pub(super) fn activate(&self, shard: Shard) -> bool {
        self.end_load(State::Active(Box::new(shard)))
    }

    /// The load failed; `false` when it is not wanted any more.
    pub(super) fn fail(&self, now: Duration) -> bool {
        self.end_load(State::Failed(now))
    }

    fn end_load(&self, outcome: State) -> bool {
        let mut state = self.state.lock();
        let wanted = matches!(*state, State::Loading);
        if wanted {
            *state = outcome;
            drop(state);
            self.loaded.send_replace(true);
        }
        wanted
    }

    /// Whether a failed load is to be tried again; it is then `Loading` anew.
    pub(super) fn may_load_again(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Failed(since) if now >= since + LOAD_AGAIN => {
                *state = State::Loading;
                self.loaded.send_replace(false);
                true
            }
            _ => false,
        }
    }

    /// Waits until the load has ended, or the deadline.
    pub(super) async fn until_loaded(&self, deadline: Instant) {
        if *self.loaded.borrow() {
            return;
        }
        let mut loaded = self.loaded.subscribe();
        // The slot is told of the outcome by its state.
        let _ = timeout_at(deadline, loaded.wait_for(|loaded| *loaded)).await;
    }

    /// The end of this leadership.
    pub(super) fn resign(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Resigned);
        // Dropping the senders answers those who wait.
        self.parked.lock().clear();
        self.loaded.send_replace(true);
        drop(state);
    }

    /// When the shard's first timer runs out.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match &mut *self.state.lock() {
            State::Active(shard) => shard.timers().next(),
            State::Loading | State::Failed(_) | State::Resigned => None,
        }
    }
}

/// The records as batches of at most `bytes_max` before compression, where a record is not larger.
fn batches(
    records: Vec<Record>,
    bytes_max: usize,
    around: &Surroundings,
) -> Result<Vec<(Bytes, Vec<Record>)>, ErrorCode> {
    let options = BatchOptions {
        compression: around.settings.codec,
        ..BatchOptions::default()
    };
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(options);
    let mut inside = Vec::new();
    for record in records {
        let (key, value) = record.encode().map_err(|error| {
            tracing::info!(group = %record.group_id(), "a group's record is refused: {error}");
            ErrorCode::InvalidRequest
        })?;
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD;
        if !inside.is_empty() && builder.size() + bytes > bytes_max {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(options));
            batches.push((built(full)?, std::mem::take(&mut inside)));
        }
        builder.append(Some(around.wall), Some(&key), value.as_deref(), &[]);
        inside.push(record);
    }
    batches.push((built(builder)?, inside));
    Ok(batches)
}

/// Bytes of a record besides key and value, at most.
const RECORD_OVERHEAD: usize = 32;

fn built(builder: BatchBuilder) -> Result<Bytes, ErrorCode> {
    builder.build().map_err(|error| {
        tracing::error!("a batch of groups' records cannot be made: {error}");
        ErrorCode::UnknownServerError
    })
}

/// What a failed append is to a group's request (`CoordinatorOperationExceptionHelper`).
fn of_append(error: &AppendError) -> ErrorCode {
    match error.code() {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        _ => ErrorCode::UnknownServerError,
    }
}

/// What a failed commit is to a group's request.
fn of_commit(error: &CommitError) -> ErrorCode {
    match error {
        CommitError::Role(_) => ErrorCode::NotCoordinator,
        CommitError::NotEnoughReplicasAfterAppend { .. } => ErrorCode::CoordinatorNotAvailable,
    }
}
