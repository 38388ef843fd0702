//! The leader's end of a stream: [`LeaderSession`] handles the follower's messages,
//! [`LeaderStream`] makes the messages to the follower.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dohle_auth::NodePeer;
use dohle_log::Access;
use dohle_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, TopicIdPartition};
use dohle_rpc::replication_transport::{EndStatus, Framed, Messages, TransportError};
use dohle_rpc::{convert, v1};
use futures::Stream;
use hyper::body::Incoming;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Instant, Sleep};

use super::connection::MESSAGE_BYTES;
use super::hello::{check_hello, code};
use super::pending_subscriptions::{GivenUp, PendingSubscriptions, SubscribedStream};
use crate::blocking::WorkOwner;
use crate::partition::{
    FollowerData, LocateError, Partition, Positions, ReadySet, ReadyToken, RoleError,
    SubscriptionRequest, SubscriptionStart,
};
use crate::partitions::Partitions;

mod cold_reads;
mod throttled;

use cold_reads::{ColdRead, ColdReads};
use throttled::ThrottledSubscriptions;

/// How long a change of positions waits for records, to be sent together with them.
const POSITIONS_LINGER: Duration = Duration::from_millis(5);

/// One subscription of the follower.
#[derive(Debug)]
struct Subscription {
    id: TopicIdPartition,
    partition: Arc<Partition>,
    number: u64,
    /// The leader epoch in which it began.
    leader_epoch: LeaderEpoch,
    subscription_id: u64,
    watch: Arc<ReadyToken>,
    /// The positions that were last sent to the follower.
    sent_positions: Option<Positions>,
    /// Whether a read for it waits for the disk, or for its turn. No other read begins meanwhile,
    /// so that its records keep their order.
    cold: bool,
    /// Whether it waits for the limit of throttled replicas.
    throttled: bool,
}

#[derive(Debug, Default)]
struct Inner {
    follower: Option<(NodeId, BrokerEpoch)>,
    subscriptions: Vec<Option<Subscription>>,
    free: Vec<u32>,
    by_id: HashMap<TopicIdPartition, u32>,
    /// Bytes of records that may still be sent. A single batch may exceed it.
    credits: i64,
    /// Refusals and divergences to be sent.
    replies: Vec<v1::PartitionData>,
    ended: Option<EndStatus>,
}

/// The state that both directions of one stream share.
#[derive(Debug)]
pub(super) struct LeaderSession {
    partitions: Arc<Partitions>,
    peer: NodePeer,
    pending: Arc<PendingSubscriptions>,
    ready_set: Arc<ReadySet>,
    inner: Mutex<Inner>,
}

impl LeaderSession {
    pub(super) fn new(
        partitions: Arc<Partitions>,
        peer: NodePeer,
        pending: Arc<PendingSubscriptions>,
    ) -> Arc<Self> {
        Arc::new(Self {
            partitions,
            peer,
            pending,
            ready_set: ReadySet::new(),
            inner: Mutex::default(),
        })
    }

    /// Handles the follower's messages until the stream ends.
    pub(super) async fn receive(self: Arc<Self>, mut messages: Messages<Incoming>) {
        let status = loop {
            let message = match messages.message().await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    break EndStatus {
                        code: 0,
                        message: String::new(),
                    };
                }
                Err(error) => break broken(&error),
            };
            match v1::FollowerMessage::decode(message) {
                Ok(message) => {
                    if let Err(status) = self.on_message(message) {
                        break status;
                    }
                }
                Err(error) => {
                    let message = format!("the message of the follower cannot be decoded: {error}");
                    break EndStatus {
                        code: code::INVALID_ARGUMENT,
                        message,
                    };
                }
            }
        };
        self.inner.lock().ended.get_or_insert(status);
        self.ready_set.wake();
    }

    fn on_message(self: &Arc<Self>, message: v1::FollowerMessage) -> Result<(), EndStatus> {
        if let Some(hello) = message.hello {
            let broker = NodeId(hello.broker_id);
            let epoch = BrokerEpoch::from_wire(hello.broker_epoch);
            let epoch = check_hello(
                &self.partitions,
                &self.peer,
                &hello.cluster_id,
                broker,
                epoch,
            )?;
            self.inner.lock().follower = Some((broker, epoch));
            tracing::debug!(follower = %broker, "replication stream began");
        }
        if self.inner.lock().follower.is_none() {
            let message = "the first message has no hello".to_owned();
            return Err(EndStatus {
                code: code::INVALID_ARGUMENT,
                message,
            });
        }
        for gone in &message.unsubscribe {
            if let Ok(id) = convert::partition_id_from_wire(&gone.topic_id, gone.partition) {
                let stream: Weak<Self> = Arc::downgrade(self);
                self.pending.forget(id, &(stream as _));
                self.unsubscribe(id);
            }
        }
        for subscribe in &message.subscribe {
            self.subscribe(subscribe);
        }
        for ack in &message.acks {
            self.on_ack(ack);
        }
        for report in &message.damaged {
            self.on_damage_report(report);
        }
        if message.credit_bytes > 0 {
            let credit = i64::try_from(message.credit_bytes).unwrap_or(i64::MAX);
            let mut inner = self.inner.lock();
            inner.credits = inner.credits.saturating_add(credit);
            drop(inner);
            self.ready_set.wake();
        }
        Ok(())
    }

    /// Has the segment checked whose records a follower refused.
    fn on_damage_report(&self, report: &v1::DamageReport) {
        let id = convert::partition_id_from_wire(&report.topic_id, report.partition);
        let (Ok(id), Some(offset)) = (id, Offset::from_wire(report.offset)) else {
            return;
        };
        if self.partitions.get(&id).is_some() {
            self.partitions.shared.suspects.add(id, offset);
        }
    }

    fn on_ack(&self, ack: &v1::Ack) {
        let Ok(id) = convert::partition_id_from_wire(&ack.topic_id, ack.partition) else {
            return;
        };
        let (partition, subscription_id) = {
            let inner = self.inner.lock();
            let Some(subscription) = inner.find(&id) else {
                return;
            };
            if subscription.number != ack.subscription {
                return;
            }
            (
                Arc::clone(&subscription.partition),
                subscription.subscription_id,
            )
        };
        let (Some(end), Some(epoch)) = (
            Offset::from_wire(ack.end),
            LeaderEpoch::from_wire(ack.leader_epoch),
        ) else {
            return;
        };
        let start = Offset::from_wire(ack.log_start_offset).unwrap_or_default();
        partition.on_follower_ack(subscription_id, epoch, end, start);
    }

    /// Begins a subscription, or queues the reply that refuses it.
    pub(super) fn subscribe(self: &Arc<Self>, subscribe: &v1::Subscribe) {
        self.subscribe_unless(subscribe, &GivenUp::default());
    }

    fn subscribe_unless(self: &Arc<Self>, subscribe: &v1::Subscribe, given_up: &GivenUp) {
        let Ok(id) = convert::partition_id_from_wire(&subscribe.topic_id, subscribe.partition)
        else {
            return;
        };
        let partition = self.partitions.get(&id);
        // Held until the subscription is inserted. The partition may queue its token before that,
        // and the stream drops tokens without a subscription.
        let mut inner = self.inner.lock();
        if given_up.is_set() {
            return;
        }
        let current = inner.find(&id).map(|it| it.number);
        if current > Some(subscribe.subscription) {
            // This request waited for the metadata while a newer one arrived.
            return;
        }
        if let Some(older) = inner.remove(&id) {
            older.partition.end_subscription(older.subscription_id);
        }
        let Some(partition) = partition else {
            drop(inner);
            self.park(id, subscribe, given_up);
            return;
        };
        let Some((follower, broker_epoch)) = inner.follower else {
            return;
        };
        let request = SubscriptionRequest {
            follower,
            broker_epoch,
            leader_epoch: LeaderEpoch(subscribe.leader_epoch),
            subscription: subscribe.subscription,
            fetch_offset: Offset::from_wire(subscribe.fetch_offset).unwrap_or_default(),
            last_fetched_epoch: LeaderEpoch::from_wire(subscribe.last_fetched_epoch),
            log_start_offset: Offset::from_wire(subscribe.log_start_offset).unwrap_or_default(),
            paused: subscribe.paused,
        };
        let token = inner.reserve();
        let reply = match partition.subscribe_follower(&request, &self.ready_set, token) {
            Ok(SubscriptionStart::Started(handle)) => {
                let subscription = Subscription {
                    id,
                    partition,
                    number: subscribe.subscription,
                    leader_epoch: request.leader_epoch,
                    subscription_id: handle.id,
                    watch: Arc::clone(&handle.watch),
                    sent_positions: None,
                    cold: false,
                    throttled: false,
                };
                inner.insert(token, subscription);
                drop(inner);
                handle.watch.mark();
                return;
            }
            Ok(SubscriptionStart::Diverging { end, positions }) => {
                let mut reply = answer(subscribe, &positions);
                reply.diverging = Some(v1::DivergingEpoch {
                    epoch: LeaderEpoch::to_wire(end.epoch),
                    end_offset: Offset::to_wire(end.end_offset),
                });
                reply
            }
            Ok(SubscriptionStart::OutOfRange { positions }) => {
                let mut reply = answer(subscribe, &positions);
                reply.error = Some(i32::from(ErrorCode::OffsetOutOfRange.code()));
                reply
            }
            Ok(SubscriptionStart::Superseded) => refusal(subscribe, ErrorCode::StaleBrokerEpoch),
            Err(RoleError::UnknownLeaderEpoch { .. }) => {
                inner.free.push(token);
                drop(inner);
                self.park(id, subscribe, given_up);
                return;
            }
            Err(error) => refusal(subscribe, error.code()),
        };
        inner.free.push(token);
        inner.replies.push(reply);
        drop(inner);
        self.ready_set.wake();
    }

    /// Keeps a subscription until this broker's metadata has reached its leader epoch.
    fn park(self: &Arc<Self>, id: TopicIdPartition, subscribe: &v1::Subscribe, given_up: &GivenUp) {
        let stream: Weak<Self> = Arc::downgrade(self);
        self.pending.park(id, stream, subscribe.clone(), given_up);
        // The metadata may have been applied since the caller's check.
        let known = self
            .partitions
            .get(&id)
            .map(|partition| partition.leader_epoch());
        if known >= Some(LeaderEpoch(subscribe.leader_epoch)) {
            self.pending.release(id);
        }
    }

    fn unsubscribe(&self, id: TopicIdPartition) {
        let removed = self.inner.lock().remove(&id);
        if let Some(subscription) = removed {
            subscription
                .partition
                .end_subscription(subscription.subscription_id);
        }
    }

    /// Ends all subscriptions of the stream.
    fn close(&self) {
        let subscriptions = {
            let mut inner = self.inner.lock();
            inner.by_id.clear();
            // No subscription begins after that.
            inner.follower = None;
            std::mem::take(&mut inner.subscriptions)
        };
        for subscription in subscriptions.into_iter().flatten() {
            subscription
                .partition
                .end_subscription(subscription.subscription_id);
        }
    }
}

impl SubscribedStream for LeaderSession {
    fn resume(self: Arc<Self>, subscribe: &v1::Subscribe, given_up: &GivenUp) {
        self.subscribe_unless(subscribe, given_up);
    }
}

impl Inner {
    fn find(&self, id: &TopicIdPartition) -> Option<&Subscription> {
        self.subscriptions
            .get(*self.by_id.get(id)? as usize)?
            .as_ref()
    }

    fn reserve(&mut self) -> u32 {
        let token = self.free.pop().unwrap_or_else(|| {
            self.subscriptions.push(None);
            u32::try_from(self.subscriptions.len() - 1).expect("fewer than 2^32 subscriptions")
        });
        let place = self.subscriptions.get(token as usize);
        assert!(
            matches!(place, Some(None)),
            "the place {token} is free and has a subscription"
        );
        token
    }

    fn insert(&mut self, token: u32, subscription: Subscription) {
        let before = self.by_id.insert(subscription.id, token);
        assert_eq!(before, None, "{} has two subscriptions", subscription.id);
        let place = self.subscriptions.get_mut(token as usize);
        assert!(
            matches!(place, Some(None)),
            "the place {token} is reserved and has a subscription"
        );
        if let Some(place) = place {
            *place = Some(subscription);
        }
    }

    fn remove(&mut self, id: &TopicIdPartition) -> Option<Subscription> {
        let token = self.by_id.remove(id)?;
        self.free.push(token);
        let removed = self.subscriptions.get_mut(token as usize)?.take();
        assert!(
            removed.as_ref().is_some_and(|it| it.id == *id),
            "the place {token} is that of partition {id}"
        );
        removed
    }

    /// Ends a subscription, and sends the follower the reason.
    fn end(&mut self, token: u32, code: ErrorCode, out: &mut Outgoing) {
        let Some(Some(subscription)) = self.subscriptions.get(token as usize) else {
            return;
        };
        let positions = Positions {
            leader_epoch: subscription.leader_epoch,
            ..Positions::default()
        };
        let mut reply = subscription.part(&positions);
        reply.error = Some(i32::from(code.code()));
        out.parts.push(reply);
        let id = subscription.id;
        self.remove(&id);
    }
}

/// Whether the token still belongs to this subscription, and a read for it waits for the disk.
fn is_cold(subscriptions: &[Option<Subscription>], token: u32, subscription_id: u64) -> bool {
    let found = subscriptions.get(token as usize).and_then(Option::as_ref);
    found.is_some_and(|it| it.subscription_id == subscription_id && it.cold)
}

fn answer(subscribe: &v1::Subscribe, positions: &Positions) -> v1::PartitionData {
    v1::PartitionData {
        topic_id: subscribe.topic_id.clone(),
        partition: subscribe.partition,
        subscription: subscribe.subscription,
        leader_epoch: positions.leader_epoch.0,
        high_watermark: positions.high_watermark.0,
        log_start_offset: positions.log_start_offset.0,
        ..v1::PartitionData::default()
    }
}

/// Makes the reply that refuses a subscription. It has the subscription's own leader epoch, which
/// the follower compares, not this broker's.
fn refusal(subscribe: &v1::Subscribe, code: ErrorCode) -> v1::PartitionData {
    v1::PartitionData {
        topic_id: subscribe.topic_id.clone(),
        partition: subscribe.partition,
        subscription: subscribe.subscription,
        leader_epoch: subscribe.leader_epoch,
        error: Some(i32::from(code.code())),
        ..v1::PartitionData::default()
    }
}

fn broken(error: &TransportError) -> EndStatus {
    EndStatus {
        code: code::UNAVAILABLE,
        message: error.to_string(),
    }
}

/// The stream of messages to the follower. A message is made when the connection has room for it.
#[derive(Debug)]
pub(crate) struct LeaderStream {
    calls: Arc<LeaderSession>,
    /// Tokens of the subscriptions with data to send, in the order of their turns.
    queue: VecDeque<u32>,
    /// Tokens of the subscriptions that have only positions to send.
    lazy: Vec<u32>,
    linger: Option<Pin<Box<Sleep>>>,
    tokens: Vec<u32>,
    cold: ColdReads,
    throttled: ThrottledSubscriptions,
    /// Bytes of records in a message of this kind of stream.
    message_bytes: usize,
}

impl Drop for LeaderStream {
    fn drop(&mut self) {
        self.calls.close();
    }
}

#[derive(Debug, Default)]
struct Outgoing {
    parts: Vec<v1::PartitionData>,
    payload: Vec<Bytes>,
    bytes: usize,
}

impl LeaderStream {
    pub(super) fn new(calls: Arc<LeaderSession>, catch_up: bool) -> Self {
        Self {
            calls,
            queue: VecDeque::new(),
            lazy: Vec::new(),
            linger: None,
            tokens: Vec::new(),
            cold: ColdReads::default(),
            throttled: ThrottledSubscriptions::default(),
            message_bytes: if catch_up {
                MESSAGE_BYTES / 4
            } else {
                MESSAGE_BYTES
            },
        }
    }

    /// Makes the next message, which is empty when there is nothing to send. Begins reads that wait
    /// for the disk on other threads.
    fn poll_message(&mut self, linger_over: bool, cx: &mut Context<'_>) -> Outgoing {
        let calls = Arc::clone(&self.calls);
        let mut tokens = std::mem::take(&mut self.tokens);
        self.resume_throttled(&mut calls.inner.lock(), cx);
        let out = loop {
            calls.ready_set.take(&mut tokens);
            self.queue.extend(tokens.drain(..));
            let out = self.collect(&mut calls.inner.lock(), linger_over);
            // The first poll begins a read, which may end at once.
            let ended = self.cold.poll_ended(cx);
            if !ended || !out.parts.is_empty() {
                break out;
            }
        };
        self.tokens = tokens;
        out
    }

    /// Gives a turn to the subscriptions whose wait for the limit of throttled replicas is over.
    fn resume_throttled(&mut self, inner: &mut Inner, cx: &mut Context<'_>) {
        for (token, subscription_id) in self.throttled.take_due(cx) {
            if let Some(Some(subscription)) = inner.subscriptions.get_mut(token as usize)
                && subscription.subscription_id == subscription_id
            {
                subscription.throttled = false;
                if subscription.watch.hold() {
                    self.queue.push_back(token);
                }
            }
        }
    }

    fn collect(&mut self, inner: &mut Inner, linger_over: bool) -> Outgoing {
        let mut out = Outgoing {
            parts: std::mem::take(&mut inner.replies),
            ..Outgoing::default()
        };
        while out.bytes < self.message_bytes
            && let Some(read) = self.cold.next_ended()
        {
            self.take_cold(inner, read, &mut out);
        }
        while inner.credits > 0
            && self.cold.has_place()
            && let Some((token, subscription_id)) = self.cold.next_waiting()
        {
            self.begin_cold(inner, token, subscription_id);
        }
        // Each subscription gets one turn; those with more to send go to the end of the queue.
        for _ in 0..self.queue.len() {
            let Some(token) = self.queue.pop_front() else {
                break;
            };
            let allowed = usize::try_from(inner.credits).unwrap_or(0);
            let room = allowed.min(self.message_bytes.saturating_sub(out.bytes));
            self.serve(inner, token, room, &mut out);
        }
        if linger_over || !out.parts.is_empty() {
            for token in std::mem::take(&mut self.lazy) {
                if let Some(Some(subscription)) = inner.subscriptions.get_mut(token as usize) {
                    subscription.send_positions(&mut out);
                }
            }
        }
        out
    }

    /// Sends the next records of a subscription if they can be read without waiting for the disk.
    fn serve(&mut self, inner: &mut Inner, token: u32, room: usize, out: &mut Outgoing) {
        let Some(Some(subscription)) = inner.subscriptions.get_mut(token as usize) else {
            return;
        };
        subscription.watch.rearm();
        if subscription.cold || subscription.throttled {
            // The subscription gets its turn when the read or the wait has ended.
            return;
        }
        let follower = inner.follower.map(|(follower, _)| follower);
        let (partition, subscription_id) = (&subscription.partition, subscription.subscription_id);
        if let Some(delay) = follower.and_then(|follower| partition.send_delay(follower)) {
            subscription.throttled = true;
            self.throttled.add(token, subscription_id, delay);
            if subscription.sent_positions.is_none() {
                subscription.send_positions(out);
            } else {
                self.lazy.push(token);
            }
            return;
        }
        match partition.read_for_follower(subscription_id, room, Access::Cached) {
            Ok(Some(part)) => {
                // If the partition changed since `rearm`, the ready set has the token already.
                if part.more && subscription.watch.hold() {
                    self.queue.push_back(token);
                }
                self.send(inner, token, part, out);
            }
            Ok(None) => inner.end(token, ErrorCode::NotLeaderOrFollower, out),
            Err(LocateError::Read(error)) => inner.end(token, error.code(), out),
            Err(LocateError::NotCached) => {
                subscription.cold = true;
                if self.cold.has_place() {
                    self.begin_cold(inner, token, subscription_id);
                } else {
                    let subscriptions = &inner.subscriptions;
                    self.cold.wait(
                        (token, subscription_id),
                        subscriptions.len(),
                        |(token, subscription_id)| is_cold(subscriptions, token, subscription_id),
                    );
                }
            }
        }
    }

    /// Has a thread that may wait for the disk read records for a subscription, unless it has
    /// ended. They are reserved among the credits, so that the follower is never sent more than it
    /// allows.
    fn begin_cold(&mut self, inner: &mut Inner, token: u32, subscription_id: u64) {
        if !is_cold(&inner.subscriptions, token, subscription_id) {
            return;
        }
        let Some(Some(subscription)) = inner.subscriptions.get(token as usize) else {
            return;
        };
        let allowed = usize::try_from(inner.credits).unwrap_or(0);
        let reserved = allowed.min(self.message_bytes);
        inner.credits -= reserved as i64;
        let partition = Arc::clone(&subscription.partition);
        // A stream without a follower has no subscriptions.
        let Some((follower, _)) = inner.follower else {
            return;
        };
        let owner = WorkOwner::Broker(follower);
        self.cold
            .begin(partition, token, subscription_id, reserved, owner);
    }

    /// Takes the outcome of a read that waited for the disk.
    fn take_cold(&mut self, inner: &mut Inner, read: ColdRead, out: &mut Outgoing) {
        let token = read.token;
        inner.credits += read.reserved as i64;
        // The subscription may have ended while the read ran, and another have its token.
        if !is_cold(&inner.subscriptions, token, read.subscription_id) {
            return;
        }
        match read.outcome {
            Ok(Some(part)) => {
                if let Some(Some(subscription)) = inner.subscriptions.get_mut(token as usize) {
                    subscription.cold = false;
                    // Positions may have moved since the read was planned.
                    if subscription.watch.hold() {
                        self.queue.push_back(token);
                    }
                }
                self.send(inner, token, part, out);
            }
            Ok(None) => inner.end(token, ErrorCode::NotLeaderOrFollower, out),
            Err(error) => inner.end(token, error.code(), out),
        }
    }

    /// Adds what was read for a subscription to the message.
    fn send(&mut self, inner: &mut Inner, token: u32, part: FollowerData, out: &mut Outgoing) {
        let Some(Some(subscription)) = inner.subscriptions.get_mut(token as usize) else {
            return;
        };
        let length: usize = part.records.iter().map(Bytes::len).sum();
        if length == 0 {
            if subscription.sent_positions.is_none() {
                subscription.send_positions(out);
            } else if !part.more && subscription.has_changed(&part.positions) {
                self.lazy.push(token);
            }
            return;
        }
        subscription.partition.on_sent(length);
        let mut data = subscription.part(&part.positions);
        data.length = length as u64;
        subscription.sent_positions = Some(part.positions);
        out.parts.push(data);
        out.payload.extend(part.records);
        out.bytes += length;
        inner.credits -= length as i64;
    }
}

impl Subscription {
    fn part(&self, positions: &Positions) -> v1::PartitionData {
        v1::PartitionData {
            topic_id: convert::uuid_to_wire(self.id.topic_id.0),
            partition: self.id.partition.0,
            subscription: self.number,
            leader_epoch: positions.leader_epoch.0,
            high_watermark: positions.high_watermark.0,
            log_start_offset: positions.log_start_offset.0,
            ..v1::PartitionData::default()
        }
    }

    fn has_changed(&self, positions: &Positions) -> bool {
        self.sent_positions.is_none_or(|sent| {
            sent.high_watermark != positions.high_watermark
                || sent.log_start_offset != positions.log_start_offset
        })
    }

    fn send_positions(&mut self, out: &mut Outgoing) {
        let positions = self.partition.positions();
        // In another leader epoch the subscription is about to end.
        if positions.leader_epoch == self.leader_epoch && self.has_changed(&positions) {
            self.sent_positions = Some(positions);
            out.parts.push(self.part(&positions));
        }
    }
}

impl Stream for LeaderStream {
    type Item = Result<Framed, EndStatus>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Registers the task, so that later changes wake it.
        let _ = this.calls.ready_set.poll_ready(cx);
        let linger_over = match &mut this.linger {
            Some(linger) => linger.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if linger_over {
            this.linger = None;
        }
        if let Some(status) = this.calls.inner.lock().ended.clone() {
            return Poll::Ready((status.code != 0).then_some(Err(status)));
        }
        let out = this.poll_message(linger_over, cx);
        if !out.parts.is_empty() {
            return Poll::Ready(Some(Ok(Framed::leader_message(&out.parts, out.payload))));
        }
        if !this.lazy.is_empty() && this.linger.is_none() {
            let mut linger = Box::pin(tokio::time::sleep_until(Instant::now() + POSITIONS_LINGER));
            // The first poll starts the timer.
            if linger.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            this.linger = Some(linger);
        }
        this.throttled.wake_when_due(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
