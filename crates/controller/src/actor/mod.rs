//! The single writer of metadata on the active controller.
//!
//! The actor drains its queue, plans every request on one draft, and proposes the records as one
//! batch. While the batch is in flight, it queues requests and watches sessions. Once the batch is
//! committed, it answers the requests; when the image has changed meanwhile, it plans them again.
//!
//! ```text
//!             leadership is ours                        committed: answer
//! (inactive) ────────────────────▶ idle ──▶ in flight ──────────────────▶ idle
//!      ▲                            │           │  stale: plan again
//!      └────────────────────────────┴───────────┘
//!         leadership or the quorum is lost: refuse all, end all sessions
//! ```
//!
//! Invariant: at most one batch is in flight, so each batch is planned on the image that the
//! previous one produced.

mod batch;
mod job;
mod lease;
mod notes;
mod probe;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::image::ReplayError;
use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, BrokerEpoch, MetadataOffset, NodeId, Uuid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use batch::Batches;
pub(crate) use job::{Job, Planned, Refused};
use probe::Probe;
pub(crate) use sessions::{Outgoing, SessionHandle};

use crate::clock;
use crate::heartbeats::{BrokerHeartbeats, BrokerReport, SessionId};
use crate::plan::delegation_tokens::remove_expired;
use crate::plan::{Draft, Note, PlanSettings, features, leaders};
use crate::raft::{ApplyOutcome, Leadership, PAYLOAD_LEN_MAX, ProposeError, Proposed, Quorum};
use crate::state_machine::PublishedImage;

/// The most requests that wait while a batch is in flight; further ones are refused.
const WAITING_MAX: usize = 4096;

/// The capacity of the actor's queue; when it is full, senders wait.
pub(crate) const QUEUE: usize = 1024;

/// A draft with this many records is proposed before more requests are planned on it.
const BATCH_RECORDS: usize = 10_000;

/// Whether this controller is the active one. The services read it before they accept requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Activity {
    /// Whether this controller accepts requests.
    pub active: bool,
    /// The active controller, if known.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
}

/// A message to the actor.
pub(crate) enum Message {
    /// Plan this request and commit its records.
    Job(Box<dyn Job>),
    /// Begin the session of a broker that has registered.
    Attach(Attach),
    /// A heartbeat.
    Heartbeat {
        broker: NodeId,
        session: SessionId,
        report: BrokerReport,
    },
    /// The stream of a session ended.
    Broken { broker: NodeId, session: SessionId },
    /// The endpoints of a broker refuse connections.
    Refused { broker: NodeId, epoch: BrokerEpoch },
    /// Return each broker's metadata offset and when the broker reported it.
    Observers(oneshot::Sender<Vec<(NodeId, MetadataOffset, Instant)>>),
}

/// The start of a session; see [`Message::Attach`].
pub(crate) struct Attach {
    pub broker: NodeId,
    pub epoch: BrokerEpoch,
    /// The metadata offset of the registration.
    pub registered_at: MetadataOffset,
    /// The metadata offset up to which the broker has replayed.
    pub metadata_offset: MetadataOffset,
    /// The actor's handle to the session, with the sender of responses.
    pub handle: SessionHandle,
    pub reply: oneshot::Sender<Result<SessionId, ApiError>>,
}

/// The part of the controller's configuration that the actor uses.
pub(crate) struct ActorConfig {
    pub node_id: NodeId,
    pub settings: Arc<PlanSettings>,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub broken_session_grace: Duration,
    /// How long brokers may take to connect to a new active controller.
    pub inherited_session_grace: Duration,
    /// The encoded size above which a plan is divided into batches where that is safe.
    pub batch_bytes_max: usize,
    /// The interval of moving leadership back to preferred replicas; `None` to disable it.
    pub rebalance_every: Option<Duration>,
    /// After this time without an answer from a majority of the voters, the others may have elected
    /// another leader.
    pub quorum_lease: Duration,
    /// Set when the node is about to stop.
    pub stopping: Arc<AtomicBool>,
}

type Proposal = Pin<Box<dyn Future<Output = Result<Proposed, ProposeError>> + Send>>;

struct InFlight {
    proposal: Proposal,
    round: PlannedBatch,
    /// The batches to propose after the one in flight.
    rest: Batches,
}

/// The content of one draft, to be settled when its records are committed.
struct PlannedBatch {
    jobs: Vec<Box<dyn Job>>,
    /// Brokers whose sessions expired.
    expired: Vec<NodeId>,
    /// Brokers whose heartbeats the plan has considered.
    attended: BTreeSet<NodeId>,
    /// Decisions to log once the batch is committed.
    notes: Vec<Note>,
}

enum ActorEvent {
    Message(Message),
    Closed,
    Leadership,
    Committed(Result<Proposed, ProposeError>),
    Timer,
}

/// The single writer of metadata; see the module.
pub(crate) struct Actor {
    config: ActorConfig,
    quorum: Quorum,
    published: watch::Receiver<PublishedImage>,
    leadership: watch::Receiver<Leadership>,
    activity: watch::Sender<Activity>,
    inbox: mpsc::Receiver<Message>,
    /// The actor's own queue, for tasks that it starts; a weak sender, so that it does not keep the
    /// actor running.
    own: mpsc::WeakSender<Message>,
    waiting: VecDeque<Box<dyn Job>>,
    in_flight: Option<InFlight>,
    heartbeats: BrokerHeartbeats,
    sessions: BTreeMap<NodeId, (SessionId, SessionHandle)>,
    next_session: u64,
    /// Brokers whose heartbeats the next plan has to consider.
    brokers_to_review: BTreeSet<NodeId>,
    /// Whether the first batch of this activation is still to be proposed.
    activation_pending: bool,
    rebalance_at: Option<Instant>,
    /// When expired delegation tokens are removed next; `None` where tokens are disabled.
    expire_tokens_at: Option<Instant>,
    lease_check_at: Option<Instant>,
    /// When the actor last checked for work; at least twice in a lease while active.
    ran_at: Instant,
    /// The last term this voter was elected in, and when the actor observed it.
    elected: Option<(u64, Instant)>,
}

impl Actor {
    pub fn new(
        config: ActorConfig,
        quorum: Quorum,
        published: watch::Receiver<PublishedImage>,
        activity: watch::Sender<Activity>,
        (own, inbox): (mpsc::WeakSender<Message>, mpsc::Receiver<Message>),
    ) -> Self {
        let heartbeats = BrokerHeartbeats::new(
            config.session_timeout,
            config.broken_session_grace,
            config.inherited_session_grace,
            config.heartbeat_interval,
        );
        let leadership = quorum.leadership();
        Self {
            config,
            quorum,
            published,
            leadership,
            activity,
            inbox,
            own,
            waiting: VecDeque::new(),
            in_flight: None,
            heartbeats,
            sessions: BTreeMap::new(),
            next_session: 0,
            brokers_to_review: BTreeSet::new(),
            activation_pending: false,
            rebalance_at: None,
            expire_tokens_at: None,
            lease_check_at: None,
            elected: None,
            ran_at: Instant::now(),
        }
    }

    /// Runs until every sender of messages is dropped.
    pub async fn run(mut self) {
        self.on_leadership();
        loop {
            self.pump();
            match self.event().await {
                ActorEvent::Message(message) => self.on_message(message),
                ActorEvent::Closed => break,
                ActorEvent::Leadership => self.on_leadership(),
                ActorEvent::Committed(result) => self.on_proposed(result),
                ActorEvent::Timer => self.on_timer(),
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.on_message(message);
            }
        }
        self.become_inactive();
    }

    async fn event(&mut self) -> ActorEvent {
        let deadline = self.next_deadline();
        let proposal = async {
            match &mut self.in_flight {
                Some(in_flight) => in_flight.proposal.as_mut().await,
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.leadership.changed() => match changed {
                Ok(()) => ActorEvent::Leadership,
                Err(_) => ActorEvent::Closed,
            },
            result = proposal => ActorEvent::Committed(result),
            message = self.inbox.recv() => message.map_or(ActorEvent::Closed, ActorEvent::Message),
            () = timer => ActorEvent::Timer,
        }
    }

    fn is_active(&self) -> bool {
        self.activity.borrow().active
    }

    fn next_deadline(&self) -> Option<Instant> {
        if !self.is_active() {
            return self.lease_check_at;
        }
        // Expired brokers are fenced after the batch in flight is committed.
        let session = if self.in_flight.is_none() {
            self.heartbeats.next_deadline().map(Instant::from_std)
        } else {
            None
        };
        let (rebalance, expire_tokens) = if self.in_flight.is_none() {
            (self.rebalance_at, self.expire_tokens_at)
        } else {
            (None, None)
        };
        [session, rebalance, expire_tokens, self.lease_check_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        if self.lease_check_at.is_some_and(|at| at <= now) {
            let holds = self.holds_quorum(now);
            self.lease_check_at = Some(self.next_lease_check(now));
            if holds != self.is_active() {
                if !holds && self.config.stopping.load(Ordering::Relaxed) {
                    tracing::info!("stopping: no answer from a majority of the voters");
                } else if !holds {
                    tracing::warn!("no answer from a majority of the voters: not active any more");
                }
                self.on_leadership();
            }
        }
    }

    fn on_leadership(&mut self) {
        let leadership = *self.leadership.borrow_and_update();
        let now = Instant::now();
        if leadership.is_self && self.elected.is_none_or(|(term, _)| term != leadership.term) {
            self.elected = Some((leadership.term, now));
        }
        let lead = leadership.is_self && self.holds_quorum(now);
        let before = *self.activity.borrow();
        assert!(
            leadership.term >= before.term,
            "term {} after {}",
            leadership.term,
            before.term
        );
        if before.active && (!lead || before.term != leadership.term) {
            self.become_inactive();
        }
        let leader = leadership
            .leader
            .filter(|leader| lead || *leader != self.config.node_id);
        let activity = Activity {
            active: lead,
            leader,
            term: leadership.term,
        };
        if lead && !self.is_active() {
            self.become_active(now, leadership.term);
        }
        self.lease_check_at = leadership.is_self.then(|| self.next_lease_check(now));
        self.activity.send_if_modified(|current| {
            let changed = *current != activity;
            *current = activity;
            changed
        });
    }

    /// Whether a majority of the voters answered within the lease. A leader that is cut off learns
    /// late that another was elected, so it must not keep brokers attached meanwhile.
    fn holds_quorum(&self, now: Instant) -> bool {
        now < self.quorum_held_until(now)
    }

    /// Returns until when a majority of the voters has elected this voter or answered to it.
    fn quorum_held_until(&self, now: Instant) -> Instant {
        let voters = self.quorum.describe().voters;
        let me = self.config.node_id;
        let answers = voters.iter().map(|voter| match voter.node_id == me {
            true => Some(now),
            false => voter.last_fetch,
        });
        let answered = lease::majority_answered(answers.collect());
        // Winning the election required answers of a majority.
        let elected = self.elected.map(|(_, at)| at);
        let last = answered.max(elected);
        last.map_or(now, |last| last + self.config.quorum_lease)
    }

    fn next_lease_check(&self, now: Instant) -> Instant {
        lease::next_check(self.quorum_held_until(now), now, self.config.quorum_lease)
    }

    fn become_active(&mut self, now: Instant, term: u64) {
        let node = self.config.settings.controller;
        tracing::info!(%node, term, "became the active controller");
        let image = Arc::clone(&self.published.borrow().image);
        let mut probes = Vec::new();
        for broker in image.brokers.values().filter(|broker| !broker.fenced) {
            self.heartbeats
                .on_inherited(broker.id, broker.epoch, now.into_std());
            probes.push(Probe::of(broker));
        }
        tokio::spawn(probe::run(probes, self.own.clone()));
        assert!(
            self.in_flight.is_none(),
            "a batch of an earlier term is in flight when this controller becomes active"
        );
        self.activation_pending = true;
        self.rebalance_at = self.config.rebalance_every.map(|every| now + every);
        self.expire_tokens_at = self.next_token_check(now);
    }

    fn next_token_check(&self, now: Instant) -> Option<Instant> {
        let tokens = self.config.settings.delegation_tokens.as_ref()?;
        Some(now + tokens.check_interval)
    }

    fn become_inactive(&mut self) {
        self.heartbeats.clear();
        self.sessions.clear();
        self.brokers_to_review.clear();
        self.activation_pending = false;
        self.rebalance_at = None;
        self.expire_tokens_at = None;
        self.activity
            .send_modify(|activity| activity.active = false);
        let in_flight = self.in_flight.take().map(|in_flight| in_flight.round.jobs);
        for job in in_flight
            .into_iter()
            .flatten()
            .chain(self.waiting.drain(..))
        {
            job.refused(Refused::NotActive);
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Job(job) if !self.is_active() => job.refused(Refused::NotActive),
            Message::Job(job) if self.waiting.len() >= WAITING_MAX => {
                job.refused(Refused::Overloaded);
            }
            Message::Job(job) if self.quorum.waits_for_space() => job.refused(Refused::NoSpace),
            Message::Job(job) => self.waiting.push_back(job),
            Message::Attach(attach) => self.on_attach(attach),
            Message::Heartbeat {
                broker,
                session,
                report,
            } => {
                self.on_heartbeat(broker, session, report);
            }
            Message::Broken { broker, session } => self.on_broken(broker, session),
            Message::Refused { broker, epoch } => {
                self.heartbeats
                    .on_refused(broker, epoch, Instant::now().into_std());
            }
            Message::Observers(reply) => {
                let observers = self
                    .heartbeats
                    .iter()
                    .map(|(broker, l)| {
                        (broker, l.report.metadata_offset, Instant::from_std(l.heard))
                    })
                    .collect();
                drop(reply.send(observers));
            }
        }
    }

    /// Plans and proposes all pending work, unless a batch is in flight.
    fn pump(&mut self) {
        let now = Instant::now();
        if now > self.ran_at + self.config.quorum_lease {
            self.heartbeats.on_paused(now.into_std());
        }
        self.ran_at = now;
        while self.is_active() && self.in_flight.is_none() {
            let now = Instant::now();
            let expired = self.heartbeats.expired(now.into_std());
            let rebalance = self.rebalance_at.is_some_and(|at| at <= now);
            let expire_tokens = self.expire_tokens_at.is_some_and(|at| at <= now);
            if !self.activation_pending
                && self.waiting.is_empty()
                && self.brokers_to_review.is_empty()
                && expired.is_empty()
                && !rebalance
                && !expire_tokens
            {
                return;
            }
            let mut draft = {
                let published = self.published.borrow();
                Draft::new(&published.image, &published.indexes, &self.config.settings)
            };
            draft.shortage = self.quorum.shortage();
            let planned_on = draft.image.clone();
            let base = planned_on.offset;
            let round = self.plan(&mut draft, now, expired, rebalance);
            let bytes_max = self.config.batch_bytes_max.min(PAYLOAD_LEN_MAX);
            match Batches::new(&planned_on, &draft.records, &draft.splits, bytes_max) {
                Ok(batches) if batches.is_empty() => self.settle(round, base),
                Ok(batches) => self.propose(base, batches, round),
                Err(error) => {
                    tracing::error!(
                        error,
                        "planned metadata records do not fit the image and are not proposed"
                    );
                    let reason =
                        format!("the planned records cannot be applied to the metadata: {error}");
                    self.give_up(round, base, &reason);
                }
            }
        }
    }

    /// Proposes the first of the batches; the rest follow once it is committed.
    fn propose(&mut self, base: MetadataOffset, mut batches: Batches, round: PlannedBatch) {
        assert!(
            self.in_flight.is_none(),
            "a batch on {base} is proposed while another is in flight"
        );
        let payload = batches.encode_next(base);
        let quorum = self.quorum.clone();
        let proposal = Box::pin(async move { quorum.propose(payload).await });
        self.in_flight = Some(InFlight {
            proposal,
            round,
            rest: batches,
        });
    }

    /// Drops a plan that cannot be committed, and could not be if it were planned again.
    fn give_up(&mut self, round: PlannedBatch, base: MetadataOffset, reason: &str) {
        self.activation_pending = false;
        for broker in &round.expired {
            self.heartbeats.on_fenced(*broker, base);
        }
        for job in round.jobs {
            job.refused(Refused::Failed(reason.to_owned()));
        }
    }

    fn plan(
        &mut self,
        draft: &mut Draft,
        now: Instant,
        expired: Vec<NodeId>,
        rebalance: bool,
    ) -> PlannedBatch {
        let brokers = self.heartbeats.iter().map(|(broker, _)| broker);
        draft.connected = brokers
            .filter(|broker| self.heartbeats.is_connected(*broker, now.into_std()))
            .collect();
        let limited = self.heartbeats.iter();
        let limited = limited.filter(|(_, liveness)| liveness.report.open_files_max > 0);
        draft.open_files_max = limited
            .map(|(broker, liveness)| (broker, liveness.report.open_files_max))
            .collect();
        if self.activation_pending {
            let id = Uuid(uuid::Uuid::new_v4().into_bytes());
            let opened = draft.step(|draft| {
                draft.push(MetadataRecord::ControllerActivated { id });
                features::bootstrap(draft);
                let leaderless: Vec<_> = draft.indexes.leaderless.iter().copied().collect();
                for id in leaderless {
                    draft.may_split();
                    leaders::elect_leaderless(draft, id);
                }
            });
            report_broken(opened);
        }
        let attended = std::mem::take(&mut self.brokers_to_review);
        self.plan_sessions(draft, &expired, &attended);
        if rebalance {
            let again = report_broken(draft.step(leaders::rebalance)).unwrap_or(false);
            let every = self
                .config
                .rebalance_every
                .filter(|_| !again)
                .unwrap_or_default();
            self.rebalance_at = Some(now + every);
        }
        if self.expire_tokens_at.is_some_and(|at| at <= now) {
            let expired = |draft: &mut Draft| remove_expired(draft, clock::now());
            report_broken(draft.step(expired));
            self.expire_tokens_at = self.next_token_check(now);
        }
        let mut jobs = Vec::new();
        while draft.records.len() < BATCH_RECORDS {
            let Some(mut job) = self.waiting.pop_front() else {
                break;
            };
            draft.may_split();
            match plan_job(draft, job.as_mut()) {
                Ok(()) => jobs.push(job),
                Err(reason) => job.refused(Refused::Failed(reason)),
            }
        }
        PlannedBatch {
            jobs,
            expired,
            attended,
            notes: std::mem::take(&mut draft.notes),
        }
    }

    fn on_proposed(&mut self, result: Result<Proposed, ProposeError>) {
        let Some(InFlight { round, rest, .. }) = self.in_flight.take() else {
            return;
        };
        if let Ok(proposed) = &result {
            let at = self.published.borrow().image.offset;
            assert!(
                proposed.outcome == ApplyOutcome::Stale || proposed.offset <= at,
                "the batch at {} is applied, the image is at {at}",
                proposed.offset
            );
        }
        match result {
            Ok(Proposed {
                offset,
                outcome: ApplyOutcome::Applied,
            }) if rest.is_empty() => self.settle(round, offset),
            Ok(Proposed {
                offset,
                outcome: ApplyOutcome::Applied,
            }) => self.propose(offset, rest, round),
            Ok(Proposed {
                outcome: ApplyOutcome::Stale,
                ..
            }) => {
                self.brokers_to_review.extend(round.attended);
                for job in round.jobs.into_iter().rev() {
                    self.waiting.push_front(job);
                }
            }
            Err(ProposeError::TooLarge { len }) => {
                tracing::error!(len, "batch of metadata records is too large");
                let base = self.published.borrow().image.offset;
                let reason = format!("{len} bytes of metadata are too much for one request");
                self.give_up(round, base, &reason);
            }
            Err(error) => {
                tracing::info!(%error, "batch of metadata records was not committed");
                for job in round.jobs {
                    job.refused(Refused::NotActive);
                }
                self.become_inactive();
                self.on_leadership();
            }
        }
    }

    /// Completes the requests and sessions of a plan that was committed at `offset`.
    fn settle(&mut self, round: PlannedBatch, offset: MetadataOffset) {
        self.activation_pending = false;
        self.settle_sessions(&round, offset);
        notes::log(&round.notes);
        for job in round.jobs {
            job.committed(offset);
        }
    }
}

/// Plans a request; takes its records back when they cannot be committed.
///
/// # Errors
/// The reason the request cannot be committed.
fn plan_job(draft: &mut Draft, job: &mut dyn Job) -> Result<(), String> {
    let first = draft.records.len();
    let mut large = None;
    let planned = draft.attempt(|draft| {
        let fits = draft.step(|draft| job.plan(draft));
        large = batch::too_large(&draft.records, first, &draft.splits);
        match (fits, large) {
            (Err(error), _) => Err(Some(error)),
            (Ok(()), Some(_)) => Err(None),
            (Ok(()), None) => Ok(()),
        }
    });
    match (planned, large) {
        (Ok(()), _) => Ok(()),
        (Err(Some(error)), _) => {
            tracing::error!(%error, "planned records cannot be applied to the metadata");
            Err(format!(
                "the planned records cannot be applied to the metadata: {error}"
            ))
        }
        (Err(None), len) => {
            let len = len.unwrap_or_default();
            tracing::error!(len, "batch of metadata records is too large");
            Err(format!(
                "{len} bytes of metadata are too much for one request"
            ))
        }
    }
}

/// Logs the failure of a planning step whose records were taken back.
fn report_broken<T>(step: Result<T, ReplayError>) -> Option<T> {
    step.inspect_err(
        |error| tracing::error!(%error, "planned records cannot be applied to the metadata"),
    )
    .ok()
}
