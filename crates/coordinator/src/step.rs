//! One step of a shard: the machine plans it; its records are appended and replayed, and its other
//! effects are handed to the coordinator. No other code appends records of machines, or the markers
//! that end transactions among them.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dohle_log::TxnAppend;
use dohle_machine::{DueReply, Effects, Machine, Step};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, Timestamp, Uuid};
use dohle_transactions::ProducerIdAndEpoch;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batches::batches;
use super::replay::{CommitPoint, append_and_replay};
use super::settings::CoordinatorSettings;
use super::shard::{ShardRuntime, State};
use super::within;
use dohle_broker::partition::{Acks, AppendError, AppendOrigin, CommitError, TxnMarker};
use dohle_broker::partitions::{MarkerCommit, wall_clock};

/// The inputs of a step besides the machine.
pub(super) struct StepContext<M: Machine> {
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) image: Arc<MetadataImage>,
    pub(super) settings: Arc<CoordinatorSettings<M>>,
    /// Results of computations, for a request that is planned again with further results.
    pub(super) lookups: Option<M::Lookups>,
}

impl<M: Machine> StepContext<M> {
    fn step(&self) -> Step<'_, M> {
        Step {
            now: self.now,
            wall: self.wall,
            image: &self.image,
            config: &self.settings.machine,
            fresh: Uuid(*uuid::Uuid::new_v4().as_bytes()),
            lookups: self.lookups.as_ref(),
            unresolved: Vec::new(),
            effects: Effects::default(),
        }
    }
}

/// How the records of a step are appended.
#[derive(Debug, Clone)]
pub(super) enum WriteMode {
    /// All records in one batch, or none of them. For requests.
    Atomic,
    /// All records in one batch, or none of them, as a part of a transaction.
    InTransaction(TransactionWrite),
    /// In as many batches as needed, because each record is complete without the others: for expiry
    /// and other upkeep.
    PerRecord,
}

/// The transaction that the records of a request belong to.
#[derive(Debug, Clone)]
pub struct TransactionWrite {
    /// The producer, whose transaction it is.
    pub producer: ProducerIdAndEpoch,
    /// Whether the transaction was verified for its first batch in the partition.
    pub append: TxnAppend,
}

type Commit = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;

/// The commits that a reply waits for.
#[derive(Default)]
pub(super) struct CommitWait {
    /// The commit of the records that the step appended.
    written: Option<Commit>,
    /// The commit of earlier records that the reply depends on.
    read: Option<Commit>,
    /// Closed once the machine has continued after the commit, or after its failure.
    continued: Option<mpsc::Receiver<Infallible>>,
}

impl CommitWait {
    /// Whether the step appended records.
    pub(super) fn has_written(&self) -> bool {
        self.written.is_some()
    }

    /// Also waits until `continued` is closed: a client that has the reply finds what the machine
    /// did after the commit.
    pub(super) fn and(self, continued: Option<mpsc::Receiver<Infallible>>) -> Self {
        Self { continued, ..self }
    }

    /// Waits until the reply may be sent, until `deadline` at most for each commit.
    pub(super) async fn done(mut self, deadline: Instant) -> Result<(), ErrorCode> {
        let continued = self.continued.take();
        let outcome = self.committed(deadline).await;
        if let Some(mut continued) = continued {
            // The machine has the same deadline.
            continued.recv().await;
        }
        outcome
    }

    async fn committed(self, deadline: Instant) -> Result<(), ErrorCode> {
        if let Some(commit) = self.written {
            let outcome = async { commit.await.map_err(|error| code_of_commit(&error)) };
            within(deadline, outcome).await?;
        }
        if let Some(commit) = self.read {
            let outcome = async {
                match commit.await {
                    // The records are committed. Too few in-sync replicas fail writers only.
                    Ok(()) | Err(CommitError::NotEnoughReplicasAfterAppend { .. }) => Ok(()),
                    Err(CommitError::Role(_)) => Err(ErrorCode::NotCoordinator),
                }
            };
            within(deadline, outcome).await?;
        }
        Ok(())
    }
}

/// Replies, and the continuation of the machine, that wait for a commit.
pub(super) struct AfterCommit<M: Machine> {
    pub(super) commit: CommitWait,
    pub(super) replies: Vec<DueReply>,
    pub(super) on_commit: Option<M::OnCommit>,
}

/// The work of the coordinator after a step, once the lock of the shard is released.
pub(super) struct DeferredActions<M: Machine> {
    /// Replies to send now.
    pub(super) replies: Vec<DueReply>,
    pub(super) after_commit: Vec<AfterCommit<M>>,
    /// The time at which the first timer of the machine expires.
    pub(super) next_deadline: Option<Duration>,
    /// Whether the machine has work for the task outside; see [`Step::signal`].
    pub(super) signal: bool,
}

impl<M: Machine> ShardRuntime<M> {
    /// Makes one step of the machine. Blocks for a write to the page cache.
    pub(super) fn step<R>(
        &self,
        context: &StepContext<M>,
        mode: WriteMode,
        plan: impl FnOnce(&mut M, &mut Step<'_, M>) -> R,
    ) -> (Result<(R, CommitWait), ErrorCode>, DeferredActions<M>) {
        let mut actions = DeferredActions {
            replies: Vec::new(),
            after_commit: Vec::new(),
            next_deadline: None,
            signal: false,
        };
        let mut state = self.state.lock();
        let machine = match &mut *state {
            State::Active(machine) => &mut **machine,
            State::Loading => return (Err(ErrorCode::CoordinatorLoadInProgress), actions),
            State::Failed(_) | State::Resigned => {
                return (Err(ErrorCode::NotCoordinator), actions);
            }
        };
        let mut step = context.step();
        let reply = plan(machine, &mut step);
        let effects = step.effects;
        let commit = self.carry_out(machine, context, mode, effects, &mut actions);
        actions.next_deadline = machine.timers().next();
        drop(state);
        (commit.map(|commit| (reply, commit)), actions)
    }

    fn carry_out(
        &self,
        machine: &mut M,
        context: &StepContext<M>,
        mode: WriteMode,
        effects: Effects<M>,
        actions: &mut DeferredActions<M>,
    ) -> Result<CommitWait, ErrorCode> {
        let Effects {
            records,
            skip_replay,
            on_commit,
            replies,
            reads,
            signal,
            events,
        } = effects;
        actions.signal |= signal;
        if records.is_empty() {
            machine.on_events(events, context.wall);
            self.reply_after_read(replies, reads, actions);
            if let Some(on_commit) = on_commit {
                self.on_commit(machine, context, on_commit, Ok(()), actions);
            }
            return Ok(self.wait_for(CommitPoint::of(None, reads)));
        }
        match self.append(machine, context, mode, records, skip_replay) {
            Ok(end) => {
                machine.on_events(events, context.wall);
                if on_commit.is_some() || !replies.is_empty() {
                    actions.after_commit.push(AfterCommit {
                        commit: self.wait_for(CommitPoint::of(Some(end), None)),
                        replies,
                        on_commit,
                    });
                }
                Ok(self.wait_for(CommitPoint::of(Some(end), reads)))
            }
            Err(code) => {
                if skip_replay {
                    // The state in memory has already changed.
                    machine.on_events(events, context.wall);
                }
                let failed = replies.into_iter().map(|reply| reply.failed(code));
                actions.replies.extend(failed);
                if let Some(on_commit) = on_commit {
                    self.on_commit(machine, context, on_commit, Err(code), actions);
                }
                Err(code)
            }
        }
    }

    /// Sends replies of a step without records, once the earlier records that they depend on are
    /// committed.
    fn reply_after_read(
        &self,
        replies: Vec<DueReply>,
        reads: Option<Offset>,
        actions: &mut DeferredActions<M>,
    ) {
        match reads {
            Some(end) if !replies.is_empty() => {
                actions.after_commit.push(AfterCommit {
                    commit: self.wait_for(CommitPoint::of(None, Some(end))),
                    replies,
                    on_commit: None,
                });
            }
            _ => actions.replies.extend(replies),
        }
    }

    fn on_commit(
        &self,
        machine: &mut M,
        context: &StepContext<M>,
        on_commit: M::OnCommit,
        outcome: Result<(), ErrorCode>,
        actions: &mut DeferredActions<M>,
    ) {
        let mut step = context.step();
        machine.on_commit(on_commit, outcome, &mut step);
        let effects = step.effects;
        // The replies report a failure to the requests that wait.
        let _ = self.carry_out(machine, context, WriteMode::Atomic, effects, actions);
    }

    /// Appends the marker that ends a transaction, and replays it. Appends nothing when the
    /// transaction has already ended here.
    pub(super) fn write_marker(&self, marker: &TxnMarker) -> Result<MarkerCommit, ErrorCode> {
        let mut state = self.state.lock();
        let State::Active(machine) = &mut *state else {
            return Err(ErrorCode::NotLeaderOrFollower);
        };
        if self.partition.leader_epoch() != self.leader_epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let written = self.partition.write_marker(marker, wall_clock());
        let written = written.map_err(|error| error.code())?;
        if written.leader_epoch != self.leader_epoch {
            // This broker has become the leader again meanwhile, and another shard is being loaded.
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        if !written.duplicate {
            let subjects = machine.end_transaction(marker.producer_id, marker.committed);
            if !subjects.is_empty() {
                machine.on_appended(subjects, written.end());
            }
        }
        drop(state);
        let commit = self.commit(written.end());
        Ok(Box::pin(async move {
            commit.await.map_err(|error| error.code())
        }))
    }

    fn wait_for(&self, point: CommitPoint) -> CommitWait {
        CommitWait {
            written: point.written.map(|end| self.commit(end)),
            read: point.read.map(|end| self.commit(end)),
            continued: None,
        }
    }

    /// Waits until everything below `end` is committed, and on the disk where `flush.messages`
    /// requires that.
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

    /// Appends and replays records, and returns the log end after them. With [`WriteMode::Atomic`]
    /// a failure changes nothing.
    fn append(
        &self,
        machine: &mut M,
        context: &StepContext<M>,
        mode: WriteMode,
        records: Vec<M::Record>,
        skip_replay: bool,
    ) -> Result<Offset, ErrorCode> {
        let settings = &context.settings;
        let (bytes_max, transaction) = match mode {
            WriteMode::Atomic => (usize::MAX, None),
            WriteMode::InTransaction(transaction) => (usize::MAX, Some(transaction)),
            WriteMode::PerRecord => (settings.batch_bytes_max, None),
        };
        let producer = transaction.as_ref().map(|transaction| transaction.producer);
        let txn = transaction.map_or(TxnAppend::Plain, |transaction| transaction.append);
        if self.partition.leader_epoch() != self.leader_epoch {
            return Err(ErrorCode::NotCoordinator);
        }
        let batches = batches(records, bytes_max, settings.codec, context.wall, producer)?;
        assert!(
            bytes_max < usize::MAX || batches.len() == 1,
            "{}: records of one step are in {} batches",
            self.partition.name(),
            batches.len()
        );
        let producer = producer.map(|producer| producer.id);
        let mut end = Offset::ZERO;
        append_and_replay(machine, batches, producer, skip_replay, |bytes| {
            let origin = AppendOrigin::Coordinator;
            let appended = self
                .partition
                .append_in_txn(bytes, &txn, Acks::All, origin, context.wall)
                .map_err(|error| self.append_failed(&error))?;
            if appended.leader_epoch != self.leader_epoch {
                // This broker has become the leader again meanwhile, and another shard is being
                // loaded.
                return Err(ErrorCode::NotCoordinator);
            }
            assert!(
                appended.base_offset >= end,
                "{}: records were appended at {}, after {end}",
                self.partition.name(),
                appended.base_offset
            );
            end = appended.end();
            Ok(end)
        })
    }

    fn append_failed(&self, error: &AppendError) -> ErrorCode {
        let code = code_of_append(error);
        if code == ErrorCode::UnknownServerError {
            let partition = self.partition.name();
            let machine = M::NAME;
            tracing::error!(%partition, "records of {machine} cannot be appended: {error}");
        }
        code
    }
}

/// Returns the code for a request whose append failed (`CoordinatorOperationExceptionHelper`).
fn code_of_append(error: &AppendError) -> ErrorCode {
    match error.code() {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        // These codes concern the transaction that the records belong to.
        code @ (ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidTxnState) => code,
        _ => ErrorCode::UnknownServerError,
    }
}

/// Returns the code for a request whose commit failed.
fn code_of_commit(error: &CommitError) -> ErrorCode {
    match error {
        CommitError::Role(_) => ErrorCode::NotCoordinator,
        CommitError::NotEnoughReplicasAfterAppend { .. } => ErrorCode::CoordinatorNotAvailable,
    }
}
