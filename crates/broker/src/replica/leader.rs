//! The leader of a partition: follower progress, the ISR, the high watermark.
//!
//! Invariants:
//! - The high watermark never decreases, and is at most the smallest log end of the maximal ISR.
//! - It does not move while the ISR is smaller than `min.insync.replicas` (KIP-966).
//! - At most one ISR change is pending.

use std::time::Duration;

use dohle_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::isr::{Isr, IsrMember, IsrProposal, Lag};
use super::progress::Progress;

/// The configuration of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderConfig {
    /// `min.insync.replicas`, at least 1.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_max: Duration,
}

/// The part of a partition's registration that its leader uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderRegistration {
    /// The election that made this broker leader.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes of the registration.
    pub partition_epoch: PartitionEpoch,
    /// The assigned replicas, the leader among them.
    pub replicas: Vec<NodeId>,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
}

/// A follower's subscription. The follower's log is a prefix of the leader's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The epoch of the follower's broker.
    pub broker_epoch: BrokerEpoch,
    /// Its number, which grows within one run of the follower's process.
    pub number: u64,
    /// The end of the follower's log.
    pub end: Offset,
    /// The start of the follower's log.
    pub log_start: Offset,
    /// Whether the follower's log directory has no space, so that it takes no records.
    pub paused: bool,
}

/// Effects of an event, which the caller carries out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Effects {
    /// The high watermark rose to this offset.
    pub high_watermark: Option<Offset>,
    /// The ISR to propose to the controller. The response goes to
    /// [`Leader::on_alter_partition_response`].
    pub alter_isr: Option<IsrProposal>,
}

/// Fewer replicas are in sync than `min.insync.replicas` requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotEnoughReplicas {
    /// Replicas in sync.
    pub isr: usize,
    /// The required number of replicas.
    pub min: usize,
}

/// The way in which the controller refused a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterFailure {
    /// The committed ISR stays as it is (`INELIGIBLE_REPLICA`, `OPERATION_NOT_ATTEMPTED`).
    Reverted,
    /// The same, but an earlier copy of the request got no response. The controller may still
    /// receive and accept it. So the new member counts until there is a newer registration, or
    /// until no copy can be in flight any more.
    RevertedInDoubt,
    /// The leader's metadata are outdated. The proposal stays pending, and the larger ISR counts,
    /// until the newer registration arrives.
    Outdated,
}

/// The leader's state of one partition in one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    id: NodeId,
    config: LeaderConfig,
    epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    replicas: Vec<NodeId>,
    isr: Isr,
    /// Every other assigned replica.
    followers: Vec<(NodeId, Progress)>,
    /// The log end when this epoch began. A follower below it has no records of this epoch.
    epoch_start: Offset,
    log_end: Offset,
    high_watermark: Offset,
    /// No expansion is proposed before this time, because the controller refused one.
    expand_after: Duration,
    /// A replica that a late copy of a refused proposal may still add to the ISR, until this time.
    doubtful: Option<(NodeId, Duration)>,
    /// The reasons for the last proposed removals.
    lags: Vec<Lag>,
}

/// How long a copy of a request to the controller may be in flight.
const DOUBT_MAX: Duration = Duration::from_secs(15);

/// How long to wait before a refused expansion is proposed again.
const EXPAND_BACKOFF: Duration = Duration::from_millis(500);

impl Leader {
    /// Creates the leader at the beginning of its epoch.
    pub fn new(
        id: NodeId,
        config: LeaderConfig,
        registration: &LeaderRegistration,
        log_end: Offset,
        high_watermark: Offset,
        now: Duration,
    ) -> (Self, Effects) {
        assert!(
            high_watermark <= log_end,
            "watermark {high_watermark} is past the end {log_end}"
        );
        let mut leader = Self {
            id,
            config,
            epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            replicas: Vec::new(),
            isr: Isr::Committed {
                isr: registration.isr.clone(),
            },
            followers: Vec::new(),
            epoch_start: log_end,
            log_end,
            high_watermark,
            expand_after: Duration::ZERO,
            doubtful: None,
            lags: Vec::new(),
        };
        leader.set_replicas(&registration.replicas, now);
        let effects = leader.effects(now);
        (leader, effects)
    }

    /// Returns the leader epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Returns the partition epoch of the last registration.
    #[must_use]
    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// Returns the log end at the beginning of the epoch.
    #[must_use]
    pub fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// Returns the log end.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Returns the high watermark.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Returns the ISR.
    #[must_use]
    pub fn isr(&self) -> &Isr {
        &self.isr
    }

    /// Returns the progress of the followers.
    #[must_use]
    pub fn followers(&self) -> &[(NodeId, Progress)] {
        &self.followers
    }

    /// Returns the reasons for the last proposed removals from the ISR.
    #[must_use]
    pub fn lags(&self) -> &[Lag] {
        &self.lags
    }

    /// Whether `id` is an assigned replica other than the leader.
    #[must_use]
    pub fn is_follower(&self, id: NodeId) -> bool {
        self.followers.iter().any(|(follower, _)| *follower == id)
    }

    /// Returns the number of replicas that a write with acks=all needs.
    #[must_use]
    pub fn min_isr(&self) -> usize {
        self.config.min_insync_replicas.min(self.replicas.len())
    }

    /// Whether a write with acks=all may be appended.
    ///
    /// # Errors
    /// When the committed ISR is too small.
    pub fn admit(&self) -> Result<(), NotEnoughReplicas> {
        enough(self.isr.committed().len(), self.min_isr())
    }

    /// Whether a committed write may be acknowledged.
    ///
    /// # Errors
    /// When the ISR has become too small since the append.
    pub fn admit_ack(&self) -> Result<(), NotEnoughReplicas> {
        enough(self.isr.maximal_len(), self.min_isr())
    }

    /// Whether some follower needs [`Leader::on_tick`]: it lags, or could join the ISR.
    #[must_use]
    pub fn needs_tick(&self) -> bool {
        self.doubtful.is_some() || self.has_lagging_or_waiting()
    }

    fn has_lagging_or_waiting(&self) -> bool {
        self.followers.iter().any(|(id, progress)| {
            if self.isr.committed().contains(id) {
                progress.acked != Some(self.log_end)
            } else {
                progress.streaming && !progress.paused
            }
        })
    }

    /// Applies a change of the configuration.
    pub fn on_config(&mut self, config: LeaderConfig, now: Duration) -> Effects {
        self.config = config;
        self.effects(now)
    }

    /// Notes that the leader's log has grown to `log_end`.
    pub fn on_append(&mut self, log_end: Offset, now: Duration) -> Effects {
        assert!(
            log_end >= self.log_end,
            "log end fell from {} to {log_end}",
            self.log_end
        );
        for (_, progress) in &mut self.followers {
            progress.before_append(self.log_end, now);
        }
        self.log_end = log_end;
        self.effects(now)
    }

    /// Whether a subscription is older than the follower's last one: of an earlier registration of
    /// its broker, or of a stream that the follower left. Streams are not ordered among each other.
    #[must_use]
    pub fn is_superseded(
        &self,
        follower: NodeId,
        broker_epoch: BrokerEpoch,
        subscription: u64,
    ) -> bool {
        let found = self.followers.iter().find(|(id, _)| *id == follower);
        found.is_some_and(|(_, progress)| {
            progress
                .broker_epoch
                .is_some_and(|known| (broker_epoch, subscription) < (known, progress.subscription))
        })
    }

    /// Notes that a follower has subscribed. The subscription must not be superseded
    /// ([`Leader::is_superseded`]).
    pub fn on_subscribe(
        &mut self,
        follower: NodeId,
        subscription: Subscription,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Effects {
        assert!(
            !self.is_superseded(follower, subscription.broker_epoch, subscription.number),
            "subscription {} of follower {follower} comes after a newer one",
            subscription.number
        );
        let leader_end = self.log_end;
        let Some(progress) = self.progress(follower) else {
            return Effects::default();
        };
        progress.streaming = true;
        progress.broker_epoch = Some(subscription.broker_epoch);
        progress.subscription = subscription.number;
        progress.paused = subscription.paused;
        progress.log_start = Some(subscription.log_start);
        progress.note(subscription.end, leader_end, now);
        self.effects_after_ack(follower, now, eligible)
    }

    /// Processes an ack: the follower has all records below `end`. An ack that does not advance
    /// `end` reports its log start only.
    pub fn on_ack(
        &mut self,
        follower: NodeId,
        end: Offset,
        log_start: Offset,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Effects {
        let leader_end = self.log_end;
        let Some(progress) = self.progress(follower) else {
            return Effects::default();
        };
        let (Some(acked), true) = (progress.acked, progress.streaming) else {
            return Effects::default();
        };
        progress.log_start = Some(log_start);
        progress.note(end.max(acked).min(leader_end), leader_end, now);
        self.effects_after_ack(follower, now, eligible)
    }

    /// Notes that a follower's stream or subscription ended.
    pub fn on_disconnect(&mut self, follower: NodeId, now: Duration) -> Effects {
        if let Some(progress) = self.progress(follower) {
            progress.stop();
        }
        self.effects(now)
    }

    /// Called when time has passed or brokers have joined or left. Proposes to remove members of
    /// the ISR that have lagged for too long or lack records and have no space for them, or to add
    /// a replica that could not join before.
    pub fn on_tick(
        &mut self,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Effects {
        self.doubtful = self.doubtful.filter(|(_, until)| now < *until);
        self.note_eligible(&eligible);
        let mut effects = self.effects(now);
        if self.isr.is_pending() {
            return effects;
        }
        let lags: Vec<Lag> = self
            .followers
            .iter()
            .filter(|(id, _)| self.isr.committed().contains(id))
            .filter(|(_, it)| it.is_too_far_behind(self.log_end, now, self.config.lag_max))
            .map(|(id, progress)| Lag {
                id: *id,
                streaming: progress.streaming,
                acked: progress.acked,
                log_end: self.log_end,
                caught_up_ago: progress.caught_up_at.map(|at| now.saturating_sub(at)),
            })
            .collect();
        let removing: Vec<NodeId> = lags.iter().map(|lag| lag.id).collect();
        if removing.is_empty() {
            effects.alter_isr = self.expand(now, eligible);
        } else {
            let isr = self.isr.committed().to_vec();
            assert!(
                removing.iter().all(|id| isr.contains(id) && *id != self.id),
                "removal of {removing:?} from the ISR {isr:?} of leader {}",
                self.id
            );
            let members = isr
                .iter()
                .copied()
                .filter(|id| !removing.contains(id))
                .collect();
            self.isr = Isr::PendingShrink { isr, removing };
            self.lags = lags;
            effects.alter_isr = Some(self.propose(members));
        }
        effects
    }

    /// Applies a registration from the metadata feed or from a response of the controller. A
    /// registration that is older, or of another leader epoch, changes nothing. Otherwise it ends
    /// the pending change, and a follower that has caught up meanwhile is proposed next.
    pub fn on_registration(
        &mut self,
        registration: &LeaderRegistration,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Effects {
        if registration.leader_epoch != self.epoch
            || registration.partition_epoch <= self.partition_epoch
        {
            return Effects::default();
        }
        assert!(
            registration.partition_epoch > self.partition_epoch,
            "partition epoch {} follows {}",
            registration.partition_epoch,
            self.partition_epoch
        );
        self.partition_epoch = registration.partition_epoch;
        self.isr = Isr::Committed {
            isr: registration.isr.clone(),
        };
        // The controller refuses proposals that were made on an older registration.
        self.doubtful = None;
        self.lags.clear();
        self.set_replicas(&registration.replicas, now);
        self.note_eligible(&eligible);
        // The watermark rises first, since the next member needs all records that this ISR has
        // committed.
        let mut effects = self.effects(now);
        effects.alter_isr = self.expand(now, eligible);
        effects
    }

    /// Handles a refused `proposal`. (An accepted one arrives as a registration.)
    pub fn on_alter_partition_failure(
        &mut self,
        proposal: &IsrProposal,
        failure: AlterFailure,
        now: Duration,
    ) -> Effects {
        if self.is_proposed(proposal) && failure != AlterFailure::Outdated {
            if let (Isr::PendingExpand { adding, .. }, AlterFailure::RevertedInDoubt) =
                (&self.isr, failure)
            {
                self.doubtful = Some((*adding, now + DOUBT_MAX));
            }
            self.isr.revert();
            self.expand_after = now + EXPAND_BACKOFF;
        }
        self.effects(now)
    }

    /// Whether `proposal` still waits for a response.
    #[must_use]
    pub fn is_proposed(&self, proposal: &IsrProposal) -> bool {
        self.isr.is_pending()
            && proposal.leader_epoch == self.epoch
            && proposal.partition_epoch == self.partition_epoch
    }

    /// Returns the smallest log start of all assigned replicas whose brokers are alive, the leader
    /// included (Kafka's `lowWatermarkIfLeader`). A replica that has not subscribed yet counts as
    /// 0.
    #[must_use]
    pub fn low_watermark(&self, log_start: Offset, alive: impl Fn(NodeId) -> bool) -> Offset {
        self.followers
            .iter()
            .filter(|(id, _)| alive(*id))
            .map(|(_, progress)| progress.log_start.unwrap_or_default())
            .fold(log_start, Offset::min)
    }

    fn progress(&mut self, id: NodeId) -> Option<&mut Progress> {
        self.followers
            .iter_mut()
            .find(|(follower, _)| *follower == id)
            .map(|(_, it)| it)
    }

    fn set_replicas(&mut self, replicas: &[NodeId], now: Duration) {
        self.followers.retain(|(id, _)| replicas.contains(id));
        for id in replicas.iter().filter(|id| **id != self.id) {
            if !self.is_follower(*id) {
                let in_sync = self.isr.committed().contains(id);
                self.followers.push((*id, Progress::new(in_sync, now)));
            }
        }
        self.replicas = replicas.to_vec();
    }

    /// Checks the invariants of this core after each event.
    fn check(&self) {
        assert!(
            self.high_watermark <= self.log_end,
            "high watermark {} is past the log end {} in leader epoch {}",
            self.high_watermark,
            self.log_end,
            self.epoch
        );
        assert!(
            self.epoch_start <= self.log_end,
            "log end {} is below {}, where leader epoch {} began",
            self.log_end,
            self.epoch_start,
            self.epoch
        );
        assert!(
            self.followers.len() <= self.replicas.len(),
            "{} followers of the replicas {:?}",
            self.followers.len(),
            self.replicas
        );
        for (id, progress) in &self.followers {
            assert!(*id != self.id, "the leader {id} follows itself");
            assert!(
                progress.acked.is_none_or(|acked| acked <= self.log_end),
                "follower {id} acknowledged {:?} of a log that ends at {}",
                progress.acked,
                self.log_end
            );
            assert!(
                progress.acked.is_some() || !progress.streaming,
                "follower {id} is connected, and its log end is unknown"
            );
        }
    }

    fn effects(&mut self, now: Duration) -> Effects {
        self.check();
        Effects {
            high_watermark: self.maybe_raise(now),
            alter_isr: None,
        }
    }

    /// Notes which followers outside the ISR may join it. A follower that may not, because its
    /// broker is fenced or its log directory failed, delays nothing although its stream is
    /// connected.
    fn note_eligible(&mut self, eligible: &impl Fn(NodeId, BrokerEpoch) -> bool) {
        for (id, progress) in &mut self.followers {
            if let Some(epoch) = progress.broker_epoch
                && !self.isr.maximal_contains(*id)
            {
                progress.ineligible = !eligible(*id, epoch);
            }
        }
    }

    fn effects_after_ack(
        &mut self,
        follower: NodeId,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Effects {
        if !self.isr.maximal_contains(follower) {
            self.note_eligible(&eligible);
        }
        // The expansion is decided first, since the new member counts for the watermark.
        let alter_isr = self.maybe_expand(follower, now, eligible);
        Effects {
            high_watermark: self.maybe_raise(now),
            alter_isr,
        }
    }

    /// Raises the high watermark to the smallest log end among the maximal ISR and the replicas
    /// that are about to join it. Without the latter, a follower might never catch up with a leader
    /// that is alone in its ISR.
    fn maybe_raise(&mut self, now: Duration) -> Option<Offset> {
        if self.isr.committed().len() < self.min_isr() {
            return None;
        }
        let mut end = self.log_end;
        for (id, progress) in &self.followers {
            let counts = self.isr.maximal_contains(*id)
                || self.doubtful.is_some_and(|(doubtful, _)| doubtful == *id)
                || progress.streaming
                    && !progress.ineligible
                    && !progress.paused
                    && progress.is_caught_up(self.log_end, now, self.config.lag_max);
            if counts {
                end = end.min(progress.acked.unwrap_or_default());
            }
        }
        if end <= self.high_watermark {
            return None;
        }
        assert!(
            end <= self.log_end,
            "high watermark {} rises to {end}, past the log end {}",
            self.high_watermark,
            self.log_end
        );
        self.high_watermark = end;
        Some(end)
    }

    /// Proposes the first follower that may join the ISR and keeps up. A follower that was removed
    /// because it lagged must send an ack first, or it would be removed again.
    fn expand(
        &mut self,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Option<IsrProposal> {
        let (log_end, lag_max) = (self.log_end, self.config.lag_max);
        let keeps_up = |progress: &Progress| progress.is_caught_up(log_end, now, lag_max);
        let followers: Vec<NodeId> = self
            .followers
            .iter()
            .filter(|(_, progress)| keeps_up(progress))
            .map(|(id, _)| *id)
            .collect();
        followers
            .into_iter()
            .find_map(|id| self.maybe_expand(id, now, &eligible))
    }

    /// Proposes `follower` for the ISR if it has all committed records and has reached the start of
    /// this epoch.
    fn maybe_expand(
        &mut self,
        follower: NodeId,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Option<IsrProposal> {
        if self.isr.is_pending() || self.isr.committed().contains(&follower) {
            return None;
        }
        let (high_watermark, epoch_start) = (self.high_watermark, self.epoch_start);
        let progress = self.progress(follower)?;
        let acked = progress.acked?;
        let broker_epoch = progress.broker_epoch?;
        // A follower without space would leave again with the next record.
        let takes_records = progress.streaming && !progress.paused;
        let in_sync = takes_records && acked >= high_watermark && acked >= epoch_start;
        if !in_sync || now < self.expand_after || !eligible(follower, broker_epoch) {
            return None;
        }
        let isr = self.isr.committed().to_vec();
        assert!(
            follower != self.id && !isr.contains(&follower),
            "addition of {follower} to the ISR {isr:?} of leader {}",
            self.id
        );
        let mut members = isr.clone();
        members.push(follower);
        self.isr = Isr::PendingExpand {
            isr,
            adding: follower,
        };
        Some(self.propose(members))
    }

    fn propose(&self, members: Vec<NodeId>) -> IsrProposal {
        assert!(
            self.isr.is_pending() && !members.is_empty(),
            "proposal of the ISR {members:?} while it is {:?}",
            self.isr
        );
        let member = |id: NodeId| {
            let progress = self.followers.iter().find(|(follower, _)| *follower == id);
            IsrMember {
                id,
                broker_epoch: progress.and_then(|(_, it)| it.broker_epoch),
            }
        };
        IsrProposal {
            leader_epoch: self.epoch,
            partition_epoch: self.partition_epoch,
            isr: members.into_iter().map(member).collect(),
        }
    }
}

fn enough(isr: usize, min: usize) -> Result<(), NotEnoughReplicas> {
    if isr < min {
        Err(NotEnoughReplicas { isr, min })
    } else {
        Ok(())
    }
}
