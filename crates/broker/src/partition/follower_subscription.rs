//! The leader's side of replication: the records that each follower is sent, and the acks of the
//! followers.

use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::Ordering;

use bytes::Bytes;
use dohle_log::{Access, Located, RangeError, ReadLimits, Records};
use dohle_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

use super::Partition;
use super::errors::{ReadError, RoleError};
use super::read::LocateError;
use super::ready::{ReadyOn, ReadySet, ReadyToken};
use super::state::{DeferredWakeups, FollowerSubscription, State};
use super::types::{EpochEnd, Positions};
use crate::replica::{Subscription, diverges};

/// The parameters of a subscription.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubscriptionRequest {
    pub(crate) follower: NodeId,
    pub(crate) broker_epoch: BrokerEpoch,
    pub(crate) leader_epoch: LeaderEpoch,
    /// The number of the subscription, which grows within one run of the follower.
    pub(crate) subscription: u64,
    pub(crate) fetch_offset: Offset,
    pub(crate) last_fetched_epoch: Option<LeaderEpoch>,
    pub(crate) log_start_offset: Offset,
    /// Whether the follower has no space for records: it is sent positions only.
    pub(crate) paused: bool,
}

/// The outcome of a subscription.
#[derive(Debug)]
pub(crate) enum SubscriptionStart {
    /// The subscription began: the follower is sent the records that it lacks.
    Started(SubscriptionHandle),
    /// The follower must truncate its log first.
    Diverging { end: EpochEnd, positions: Positions },
    /// The follower's log ends before this one begins. It must begin again at this log's start.
    OutOfRange { positions: Positions },
    /// A newer subscription of the follower, on another stream, arrived earlier.
    Superseded,
}

/// A subscription as its stream holds it. Dropping the handle does not end the subscription; see
/// [`Partition::end_subscription`].
#[derive(Debug)]
pub(crate) struct SubscriptionHandle {
    pub(crate) id: u64,
    pub(crate) watch: Arc<ReadyToken>,
}

/// Data for a follower.
#[derive(Debug)]
pub(crate) struct FollowerData {
    pub(crate) positions: Positions,
    pub(crate) records: Vec<Bytes>,
    /// Whether there are more records to send.
    pub(crate) more: bool,
}

impl Partition {
    /// Begins a subscription of a follower. An older one of the same follower ends.
    pub(crate) fn subscribe_follower(
        &self,
        request: &SubscriptionRequest,
        ready_set: &Arc<ReadySet>,
        token: u32,
    ) -> Result<SubscriptionStart, RoleError> {
        let now = self.shared.now();
        self.with(|state, wakes| {
            state.check_epoch(Some(request.leader_epoch))?;
            let positions = state.positions();
            let (log, leader) = state.leading()?;
            if !leader.is_follower(request.follower) {
                // This broker's metadata are newer, and do not list the follower as a replica.
                return Err(RoleError::NotLeader {
                    leader: Some(self.shared.node),
                });
            }
            let (broker_epoch, number) = (request.broker_epoch, request.subscription);
            if leader.is_superseded(request.follower, broker_epoch, number) {
                return Ok(SubscriptionStart::Superseded);
            }
            if request.fetch_offset < log.log_start_offset() {
                return Ok(SubscriptionStart::OutOfRange { positions });
            }
            if let Some(end) = diverging(log, request) {
                return Ok(SubscriptionStart::Diverging { end, positions });
            }
            let effects = leader.on_subscribe(
                request.follower,
                Subscription {
                    broker_epoch,
                    number,
                    end: request.fetch_offset,
                    log_start: request.log_start_offset,
                    paused: request.paused,
                },
                now,
                |id, epoch| self.shared.is_eligible(&self.id, id, epoch),
            );
            state.drop_subscription(wakes, |it| it.follower == request.follower);
            let on = match request.paused {
                true => ReadyOn::Committed,
                false => ReadyOn::Any,
            };
            let watch = ReadyToken::new(ready_set, token, on);
            let id = self.shared.next_subscription_id();
            state.subscriptions.push(FollowerSubscription {
                id,
                follower: request.follower,
                sent: request.fetch_offset,
                watch: Arc::clone(&watch),
                paused: request.paused,
            });
            let of_follower = |it: &&FollowerSubscription| it.follower == request.follower;
            let count = state.subscriptions.iter().filter(of_follower).count();
            assert!(
                count == 1 && request.fetch_offset <= positions.log_end_offset,
                "{}: follower {} has {count} subscriptions, the last one from {} of {positions:?}",
                self.name,
                request.follower,
                request.fetch_offset
            );
            self.ready_tokens.lock().add(&watch);
            state.apply(effects, &self.shared, wakes);
            self.take_lost_log_start(state, request.follower, request.log_start_offset);
            state.complete_low_watermarks(&self.shared, wakes);
            self.note_lag(state);
            Ok(SubscriptionStart::Started(SubscriptionHandle { id, watch }))
        })
    }

    /// Returns the next records to send, about `max_bytes` but at least one batch if there is any.
    /// `None` when the subscription has ended. Records that are not in the tail are read without
    /// the lock; the caller makes one such read of a subscription at a time.
    ///
    /// # Errors
    /// [`LocateError::NotCached`] with [`Access::Cached`] when the read would wait for the disk:
    /// the caller repeats it with [`Access::Disk`] on a thread that may block.
    pub(crate) fn read_for_follower(
        &self,
        subscription_id: u64,
        max_bytes: usize,
        access: Access,
    ) -> Result<Option<FollowerData>, LocateError> {
        let mut records = Vec::new();
        let (plan, positions, from) = {
            let mut state = self.state.lock();
            let positions = state.positions();
            let end = positions.log_end_offset;
            let Some(at) = state.subscription_at(subscription_id) else {
                return Ok(None);
            };
            let from = state.subscriptions[at].sent;
            if state.subscriptions[at].paused {
                return Ok(Some(FollowerData {
                    positions,
                    records,
                    more: false,
                }));
            }
            if from >= end || max_bytes == 0 {
                return Ok(Some(FollowerData {
                    positions,
                    records,
                    more: from < end,
                }));
            }
            if let Some(next) = state.tail.read(from, max_bytes, &mut records) {
                assert!(
                    next > from && next <= end,
                    "{}: the tail has records from {from} to {next} of a log that ends at {end}",
                    self.name
                );
                state.subscriptions[at].sent = next;
                state.release_tail();
                return Ok(Some(FollowerData {
                    positions,
                    records,
                    more: next < end,
                }));
            }
            let limits = ReadLimits {
                max_bytes,
                upper_bound: Offset(i64::MAX),
                min_one: true,
            };
            let log = state.log().map_err(ReadError::from)?;
            (log.plan_read(from, limits), positions, from)
        };
        #[cfg(test)]
        if access == Access::Cached && self.is_uncached.load(Ordering::Relaxed) {
            return Err(LocateError::NotCached);
        }
        let located = match plan {
            Ok(plan) => plan.locate(usize::MAX, access),
            // Retention deleted the next records. The follower subscribes again.
            Err(dohle_log::ReadError::OffsetOutOfRange { .. }) => {
                self.end_subscription(subscription_id);
                return Ok(None);
            }
            Err(error @ dohle_log::ReadError::Damaged(_)) => {
                return Err(ReadError::Corrupt(error.to_string()).into());
            }
            Err(dohle_log::ReadError::Storage(error)) => Err(error.into()),
        };
        let (read, next_offset) = match located {
            Ok(Located {
                records: Records::Memory(read),
                next_offset,
            }) => (read, next_offset),
            // Not reached, since records are read into memory whatever their size.
            Ok(Located {
                records: Records::File(_),
                ..
            })
            | Err(RangeError::NotCached | RangeError::Truncated) => {
                return Err(LocateError::NotCached);
            }
            Err(RangeError::Storage(error)) => return Err(self.read_failed(&error).into()),
        };
        let mut state = self.state.lock();
        // A change of the leader epoch during the read has ended the subscription.
        let Some(at) = state.subscription_at(subscription_id) else {
            return Ok(None);
        };
        let sent = std::mem::replace(&mut state.subscriptions[at].sent, next_offset);
        assert!(
            sent == from && next_offset >= from,
            "{}: records were read from {from} to {next_offset} after those below {sent} were sent",
            self.name
        );
        state.release_tail();
        if !read.is_empty() {
            records.push(read);
        }
        let more = next_offset < positions.log_end_offset;
        Ok(Some(FollowerData {
            positions,
            records,
            more,
        }))
    }

    /// Processes an ack: the follower has all records below `end`, and its log begins at
    /// `log_start_offset`. An ack of another leader epoch is ignored. An ack of records that were
    /// not sent ends the subscription.
    pub(crate) fn on_follower_ack(
        &self,
        subscription_id: u64,
        leader_epoch: LeaderEpoch,
        end: Offset,
        log_start_offset: Offset,
    ) {
        let now = self.shared.now();
        self.with(|state, wakes| {
            let Some(at) = state.subscription_at(subscription_id) else {
                return;
            };
            let FollowerSubscription { follower, sent, .. } = state.subscriptions[at];
            let Ok((_, leader)) = state.leading() else {
                return;
            };
            if leader.epoch() != leader_epoch {
                return;
            }
            if end > sent || log_start_offset > end {
                tracing::warn!(
                    partition = %self.name,
                    %follower,
                    %leader_epoch,
                    acked = %end,
                    %sent,
                    %log_start_offset,
                    "follower acked records that it was not sent: its subscription is ended"
                );
                self.drop_follower(state, wakes, subscription_id);
                return;
            }
            let effects = leader.on_ack(follower, end, log_start_offset, now, |id, epoch| {
                self.shared.is_eligible(&self.id, id, epoch)
            });
            state.apply(effects, &self.shared, wakes);
            self.take_lost_log_start(state, follower, log_start_offset);
            state.complete_low_watermarks(&self.shared, wakes);
        });
    }

    /// Ends a subscription, whose stream broke or whose follower unsubscribed.
    pub(crate) fn end_subscription(&self, subscription_id: u64) {
        self.with(|state, wakes| self.drop_follower(state, wakes, subscription_id));
    }

    fn drop_follower(&self, state: &mut State, wakes: &mut DeferredWakeups, subscription_id: u64) {
        let Some(at) = state.subscription_at(subscription_id) else {
            return;
        };
        let follower = state.subscriptions[at].follower;
        state.drop_subscription(wakes, |it| it.id == subscription_id);
        if let Ok((_, leader)) = state.leading() {
            let effects = leader.on_disconnect(follower, self.shared.now());
            state.apply(effects, &self.shared, wakes);
            state.complete_low_watermarks(&self.shared, wakes);
        }
        self.note_lag(state);
    }
}

impl State {
    /// Returns the place of a subscription in `subscriptions`; `None` once it has ended.
    fn subscription_at(&self, subscription_id: u64) -> Option<usize> {
        let mut subscriptions = self.subscriptions.iter();
        subscriptions.position(|it| it.id == subscription_id)
    }

    fn drop_subscription(
        &mut self,
        wakes: &mut DeferredWakeups,
        gone: impl Fn(&FollowerSubscription) -> bool,
    ) {
        if let Some(at) = self.subscriptions.iter().position(gone) {
            self.subscriptions.swap_remove(at).end(wakes);
            self.release_tail();
        }
    }

    /// Drops the batches of the tail that all followers were sent.
    pub(super) fn release_tail(&mut self) {
        let subscriptions = self.subscriptions.iter().filter(|it| !it.paused);
        match subscriptions.map(|it| it.sent).min() {
            Some(sent) => self.tail.release(sent),
            None => self.tail.clear(),
        }
    }
}

/// Returns where the follower's log diverges from this one, if it does (KIP-595).
fn diverging(log: &dohle_log::Log, request: &SubscriptionRequest) -> Option<EpochEnd> {
    let end = log.log_end_offset();
    let past_end = || EpochEnd {
        epoch: log.latest_epoch(),
        end_offset: Some(end),
    };
    let Some(last) = request.last_fetched_epoch else {
        return (request.fetch_offset > end).then(past_end);
    };
    let Some(found) = log.leader_epochs().end_offset_for(last, end) else {
        // The epoch of the follower's last record is older than every epoch of this log.
        return Some(past_end());
    };
    diverges(last, request.fetch_offset, (found.epoch, found.end_offset)).then_some(EpochEnd {
        epoch: Some(found.epoch),
        end_offset: Some(found.end_offset),
    })
}
