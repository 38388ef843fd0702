//! A broker with one replica: the cores under test, on a log that is a vector.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_broker::replica::{
    Effects, Follower, IsrProposal, Leader, LeaderAnswer, LeaderConfig, OnLeader, diverges,
    truncation_offset,
};
use dohle_log::LeaderEpochCache;
use dohle_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

use super::controller::Registration;

/// A record, with the epoch of the leader that appended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub epoch: LeaderEpoch,
    pub value: u64,
}

#[derive(Default)]
pub struct ModelLog {
    pub records: Vec<Record>,
    pub epochs: LeaderEpochCache,
    /// The number of records that survive a loss of power.
    pub flushed: usize,
}

impl ModelLog {
    pub fn end(&self) -> Offset {
        Offset(self.records.len() as i64)
    }

    fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.records.last().map(|record| record.epoch)
    }

    pub fn append(&mut self, record: Record) {
        self.epochs.assign(record.epoch, self.end());
        self.records.push(record);
    }

    pub fn truncate(&mut self, to: Offset) {
        self.records.truncate(to.0 as usize);
        self.flushed = self.flushed.min(self.records.len());
        self.epochs.truncate_from_end(to);
    }
}

pub enum Role {
    Leader(Leader),
    Follower(Follower),
}

/// A leader's subscription of one follower.
#[derive(Debug, Clone, Copy)]
pub struct FollowerSubscription {
    pub subscription: Subscription,
    pub leader_epoch: LeaderEpoch,
    pub sent: Offset,
    /// Whether the stream broke before the subscription began, so that nothing that is sent
    /// arrives.
    pub gone: bool,
}

/// The number of a subscription, in one run of the follower's process.
pub type Subscription = (BrokerEpoch, u64);

/// A message from a follower to its leader.
#[derive(Debug, Clone)]
pub enum ToLeader {
    Subscribe {
        subscription: Subscription,
        leader_epoch: LeaderEpoch,
        fetch_offset: Offset,
        last_epoch: Option<LeaderEpoch>,
    },
    Ack {
        subscription: Subscription,
        leader_epoch: LeaderEpoch,
        end: Offset,
    },
}

/// A message from a leader to a follower.
#[derive(Debug, Clone)]
pub struct ToFollower {
    pub answer: LeaderAnswer,
    pub high_watermark: Offset,
    pub base: Offset,
    pub records: Vec<Record>,
}

pub struct Node {
    pub id: NodeId,
    pub log: ModelLog,
    pub high_watermark: Offset,
    pub role: Role,
    pub feeds: BTreeMap<NodeId, FollowerSubscription>,
    pub broker_epoch: BrokerEpoch,
    pub partition_epoch: Option<dohle_model::PartitionEpoch>,
    /// Records that were appended with acks=all and are not answered: (end, value).
    pub waiting: Vec<(Offset, Record)>,
    pub proposal: Option<IsrProposal>,
    /// Subscriptions that ended with a leadership, and must be reported.
    pub ended: Vec<(NodeId, FollowerSubscription)>,
    next_subscription: u64,
    /// The leader at which the next subscription is made. Each leader has a stream of its own,
    /// which makes a subscription when the metadata assign the partition to the leader, and again
    /// when one has ended.
    subscribe_at: Option<NodeId>,
}

/// The configuration of all nodes.
pub const CONFIG: LeaderConfig = LeaderConfig {
    min_insync_replicas: 2,
    lag_max: Duration::from_millis(300),
};

impl Node {
    pub fn new(
        id: NodeId,
        log: ModelLog,
        high_watermark: Offset,
        broker_epoch: BrokerEpoch,
    ) -> Self {
        Self {
            id,
            high_watermark: high_watermark.min(log.end()),
            log,
            role: Role::Follower(Follower::new(LeaderEpoch(0), None)),
            feeds: BTreeMap::new(),
            broker_epoch,
            partition_epoch: None,
            waiting: Vec::new(),
            proposal: None,
            ended: Vec::new(),
            next_subscription: 0,
            subscribe_at: None,
        }
    }

    pub fn epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Leader(leader) => leader.epoch(),
            Role::Follower(follower) => follower.epoch(),
        }
    }

    pub fn leader(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) => None,
        }
    }

    /// Applies effects. Returns the records that are acknowledged as a result.
    #[must_use]
    pub fn apply(&mut self, effects: Effects) -> Vec<(Offset, Record)> {
        if let Some(proposal) = effects.alter_isr {
            self.proposal = Some(proposal);
        }
        if let Some(high_watermark) = effects.high_watermark {
            assert!(high_watermark > self.high_watermark, "the watermark fell");
            self.high_watermark = high_watermark;
        }
        let Role::Leader(leader) = &self.role else {
            return Vec::new();
        };
        let (high_watermark, enough) = (self.high_watermark, leader.admit_ack().is_ok());
        let (done, waiting) = self
            .waiting
            .drain(..)
            .partition(|(end, _)| *end <= high_watermark);
        self.waiting = waiting;
        if enough { done } else { Vec::new() }
    }

    /// Handles the controller's registration. Returns whether this node begins to lead.
    pub fn on_registration(
        &mut self,
        registration: &Registration,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> (bool, Effects) {
        let registered = &registration.registered;
        if self
            .partition_epoch
            .is_some_and(|known| registered.partition_epoch < known)
        {
            return (false, Effects::default());
        }
        self.partition_epoch = Some(registered.partition_epoch);
        if registration.leader == Some(self.id) {
            if let Role::Leader(leader) = &mut self.role
                && leader.epoch() == registered.leader_epoch
            {
                return (false, leader.on_registration(registered, now, eligible));
            }
            self.end_leadership();
            self.log
                .epochs
                .assign(registered.leader_epoch, self.log.end());
            let (end, high_watermark) = (self.log.end(), self.high_watermark);
            let (leader, effects) =
                Leader::new(self.id, CONFIG, registered, end, high_watermark, now);
            self.role = Role::Leader(leader);
            return (true, effects);
        }
        let known = matches!(&self.role, Role::Follower(follower)
            if follower.epoch() == registered.leader_epoch
                && follower.leader() == registration.leader);
        if !known {
            self.end_leadership();
            self.role = Role::Follower(Follower::new(registered.leader_epoch, registration.leader));
            self.subscribe_at = registration.leader;
        }
        (false, Effects::default())
    }

    fn end_leadership(&mut self) {
        let feeds = std::mem::take(&mut self.feeds);
        self.ended.extend(feeds);
        self.subscribe_at = None;
        self.waiting.clear();
        self.proposal = None;
    }

    /// Handles a break of the stream to `leader`.
    pub fn on_break(&mut self, leader: NodeId) {
        if let Role::Follower(follower) = &mut self.role
            && follower.leader() == Some(leader)
        {
            follower.unsubscribe();
            self.subscribe_at = Some(leader);
        }
    }

    /// Returns the follower's next subscription, if it is due at `leader`.
    pub fn subscribe(&mut self, leader: NodeId) -> Option<ToLeader> {
        let (end, last_epoch) = (self.log.end(), self.log.last_epoch());
        let Role::Follower(follower) = &mut self.role else {
            return None;
        };
        if follower.leader() != Some(leader) || self.subscribe_at != Some(leader) {
            return None;
        }
        self.subscribe_at = None;
        self.next_subscription += 1;
        let subscription = self.next_subscription;
        let position = follower.subscribe(subscription, end, last_epoch);
        Some(ToLeader::Subscribe {
            subscription: (self.broker_epoch, subscription),
            leader_epoch: position.leader_epoch,
            fetch_offset: position.fetch_offset,
            last_epoch: position.last_fetched_epoch,
        })
    }

    /// Handles a message that a follower received on its stream from `from`.
    pub fn on_leader(&mut self, from: NodeId, message: &ToFollower) -> Option<ToLeader> {
        let Role::Follower(follower) = &mut self.role else {
            return None;
        };
        match follower.on_leader_data(&message.answer) {
            OnLeader::Ignore => None,
            OnLeader::Ended(_) => {
                self.subscribe_at = Some(from);
                None
            }
            OnLeader::Truncate { epoch, end_offset } => {
                let end = self.log.end();
                let local = self.log.epochs.end_offset_for(epoch, end);
                let local = local.map(|local| (local.epoch, local.end_offset));
                self.log
                    .truncate(truncation_offset(epoch, end_offset, local, end));
                self.high_watermark = self.high_watermark.min(self.log.end());
                self.subscribe_at = Some(from);
                None
            }
            OnLeader::Append => {
                assert_eq!(message.base, self.log.end(), "records follow the log");
                for record in &message.records {
                    assert!(
                        Some(record.epoch) >= self.log.last_epoch(),
                        "epochs don't fall"
                    );
                    self.log.append(*record);
                }
                let end = self.log.end();
                self.high_watermark =
                    Follower::next_high_watermark(self.high_watermark, message.high_watermark, end);
                (!message.records.is_empty()).then_some(ToLeader::Ack {
                    subscription: (self.broker_epoch, message.answer.subscription),
                    leader_epoch: message.answer.leader_epoch,
                    end,
                })
            }
        }
    }

    /// Handles a message that a leader received from a follower.
    pub fn on_follower(
        &mut self,
        from: NodeId,
        message: &ToLeader,
        now: Duration,
        eligible: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> (Option<ToFollower>, Effects) {
        let nothing = (None, Effects::default());
        let epoch = self.epoch();
        let Role::Leader(leader) = &mut self.role else {
            return match message {
                ToLeader::Subscribe {
                    subscription,
                    leader_epoch,
                    ..
                } => (
                    Some(self.ended(*subscription, *leader_epoch)),
                    Effects::default(),
                ),
                ToLeader::Ack { .. } => nothing,
            };
        };
        match message {
            ToLeader::Ack {
                subscription,
                leader_epoch,
                end,
            } => {
                let feed = self.feeds.get(&from);
                let Some(feed) = feed.filter(|feed| feed.subscription == *subscription) else {
                    return nothing;
                };
                if *leader_epoch != epoch {
                    return nothing;
                }
                let end = *end;
                assert!(end <= feed.sent, "acked {end}, sent {}", feed.sent);
                (None, leader.on_ack(from, end, Offset::ZERO, now, eligible))
            }
            ToLeader::Subscribe {
                subscription,
                leader_epoch,
                fetch_offset,
                last_epoch,
            } => {
                if *leader_epoch != epoch
                    || !leader.is_follower(from)
                    || leader.is_superseded(from, subscription.0, subscription.1)
                {
                    let ended = self.ended(*subscription, *leader_epoch);
                    return (Some(ended), Effects::default());
                }
                let end = self.log.end();
                if let Some((epoch, end_offset)) =
                    diverging(&self.log, *fetch_offset, *last_epoch, end)
                {
                    let mut message = self.to_follower(*subscription, end, Vec::new());
                    message.answer.diverging = Some((epoch, end_offset));
                    return (Some(message), Effects::default());
                }
                let subscribed = dohle_broker::replica::Subscription {
                    broker_epoch: subscription.0,
                    number: subscription.1,
                    end: *fetch_offset,
                    log_start: Offset::ZERO,
                    paused: false,
                };
                let effects = leader.on_subscribe(from, subscribed, now, eligible);
                let feed = FollowerSubscription {
                    subscription: *subscription,
                    leader_epoch: *leader_epoch,
                    gone: false,
                    sent: *fetch_offset,
                };
                self.feeds.insert(from, feed);
                (None, effects)
            }
        }
    }

    /// Returns the message to a follower that its subscription has ended.
    pub fn ended(&self, subscription: Subscription, leader_epoch: LeaderEpoch) -> ToFollower {
        let mut message = self.to_follower(subscription, Offset::ZERO, Vec::new());
        message.answer.leader_epoch = leader_epoch;
        message.answer.error = Some(ErrorCode::NotLeaderOrFollower);
        message
    }

    fn to_follower(
        &self,
        subscription: Subscription,
        base: Offset,
        records: Vec<Record>,
    ) -> ToFollower {
        ToFollower {
            answer: LeaderAnswer {
                subscription: subscription.1,
                leader_epoch: self.epoch(),
                error: None,
                diverging: None,
            },
            high_watermark: self.high_watermark,
            base,
            records,
        }
    }

    /// Returns up to `count` records for a follower that is subscribed; with 0, only the positions.
    pub fn send(&mut self, to: NodeId, count: usize) -> Option<ToFollower> {
        let feed = *self.feeds.get(&to)?;
        let from = feed.sent.0 as usize;
        let records: Vec<_> = self.log.records[from..]
            .iter()
            .take(count)
            .copied()
            .collect();
        let sent = feed.sent.plus(records.len() as i64);
        self.feeds.insert(to, FollowerSubscription { sent, ..feed });
        (!feed.gone).then(|| self.to_follower(feed.subscription, feed.sent, records))
    }
}

fn diverging(
    log: &ModelLog,
    fetch_offset: Offset,
    last_epoch: Option<LeaderEpoch>,
    end: Offset,
) -> Option<(LeaderEpoch, Offset)> {
    let last = last_epoch?;
    let found = log
        .epochs
        .end_offset_for(last, end)
        .expect("a leader knows all older epochs");
    let found = (found.epoch, found.end_offset);
    diverges(last, fetch_offset, found).then_some(found)
}
