//! How brokers stop, what they lose, and how they return.
//!
//! What the cluster promises with `min.insync.replicas` 2: acknowledged records survive any number
//! of deaths that lose nothing, and losses of records (a page cache, a disk) one after the other.
//! A loss is over once the broker has registered again, or its failed disk was reported, and the
//! partition has a leader, or another broker as the last known leader that it waits for. Until then
//! no other broker dies, though it may stop cleanly, and is fenced.

use std::collections::VecDeque;

use dohle_model::{NodeId, Offset};

use super::node::{ModelLog, Node};
use super::world::{Broker, Harness, NODES};

/// How a broker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It flushes its log and leaves its epoch in the clean-shutdown file.
    Clean,
    /// Its process dies; written data are kept.
    Killed,
    /// Its page cache is lost, with everything that was not flushed.
    PageCacheLost,
    /// The disk of its replica fails while it runs, and is mounted again at the next start, without
    /// what was not flushed.
    DiskFailed,
    /// It dies, and starts with an empty disk.
    DiskReplaced,
}

impl Stop {
    fn kind(self) -> &'static str {
        match self {
            Self::Clean => "stop: clean",
            Self::Killed => "stop: killed",
            Self::PageCacheLost => "stop: page cache lost",
            Self::DiskFailed => "stop: disk failed",
            Self::DiskReplaced => "stop: disk replaced",
        }
    }

    fn loses_records(self) -> bool {
        !matches!(self, Self::Clean | Self::Killed)
    }
}

/// The number of records by which the checkpoint of the high watermark may lag behind.
const CHECKPOINT_EVERY: u64 = 8;

impl Harness {
    pub(super) fn stop(&mut self, id: NodeId) {
        if self.node(id).is_none() {
            return;
        }
        let mut how = match self.random.below(8) {
            0..2 => Stop::Clean,
            2..5 => Stop::Killed,
            5 => Stop::PageCacheLost,
            6 => Stop::DiskFailed,
            _ => Stop::DiskReplaced,
        };
        if how.loses_records() && !self.may_lose_records(id) {
            how = Stop::Killed;
        }
        if how == Stop::Killed && !self.losses.is_empty() {
            how = Stop::Clean;
        }
        if how == Stop::Clean && self.random.one_in(2) {
            self.controller.begin_controlled_shutdown(id);
        }
        for other in NODES {
            self.break_stream(id, other);
            self.break_stream(other, id);
        }
        let Some(Broker::Up(node)) = self.brokers.remove(&id) else {
            return;
        };
        let stopped = self.what_is_left(*node, how);
        self.brokers.insert(id, stopped);
        self.feed.insert(id, VecDeque::new());
        if how.loses_records() {
            self.losses.insert(id, how == Stop::DiskFailed);
        }
        match how {
            Stop::DiskFailed => self.controller.on_failed_disk(id, self.disks[&id]),
            Stop::DiskReplaced => *self.disks.entry(id).or_default() += 1,
            _ => {}
        }
        if how.loses_records() {
            self.note_loss(id);
        }
        self.note(how.kind(), || id.to_string());
        // The broker is often back before its failure is noticed.
        if self.random.one_in(3) {
            self.start(id);
            self.unfence(id);
        }
    }

    fn what_is_left(&mut self, node: Node, how: Stop) -> Broker {
        let Node {
            mut log,
            high_watermark,
            broker_epoch,
            ..
        } = node;
        let forgets = self.random.below(CHECKPOINT_EVERY) as i64;
        let checkpoint = Offset((high_watermark.0 - forgets).max(0));
        let (high_watermark, previous) = match how {
            Stop::Clean => {
                log.flushed = log.records.len();
                (high_watermark, Some(broker_epoch))
            }
            Stop::Killed => (checkpoint, None),
            Stop::PageCacheLost | Stop::DiskFailed => {
                let kept = log.flushed;
                log.truncate(Offset(kept as i64));
                (checkpoint, None)
            }
            Stop::DiskReplaced => {
                log = ModelLog::default();
                (Offset::ZERO, None)
            }
        };
        Broker::Down {
            high_watermark: high_watermark.min(log.end()),
            log,
            previous,
        }
    }

    /// Returns whether the guarantee covers the loss of this broker's records now: another replica
    /// is complete, every earlier loss can no longer do harm, and no other broker is dead.
    fn may_lose_records(&self, id: NodeId) -> bool {
        let died = |broker: &Broker| matches!(broker, Broker::Down { previous: None, .. });
        self.losses.is_empty()
            && !self.brokers.values().any(died)
            && self.controller.complete().any(|other| other != id)
    }

    fn note_loss(&mut self, id: NodeId) {
        let epoch = self.controller.partition.leader_epoch;
        self.lost_in.insert(id, epoch);
    }

    /// Removes losses that can no longer do harm; see the module.
    pub(super) fn forget_harmless_losses(&mut self) {
        let partition = &self.controller.partition;
        let waits_for = &partition.last_known_elr;
        let is_stuck = partition.leader.is_none() && waits_for.is_empty();
        self.losses
            .retain(|id, reported| !*reported || waits_for.contains(id) || is_stuck);
    }

    pub(super) fn start(&mut self, id: NodeId) {
        if self.node(id).is_some() {
            return;
        }
        let Some(Broker::Down {
            log,
            high_watermark,
            previous,
        }) = self.brokers.remove(&id)
        else {
            return;
        };
        let epoch = self.controller.register(id, self.disks[&id], previous);
        if let Some(reported) = self.losses.get_mut(&id) {
            *reported = true;
            self.note_loss(id);
        }
        let node = Node::new(id, log, high_watermark, epoch);
        self.brokers.insert(id, Broker::Up(Box::new(node)));
        // The broker first receives the complete registration.
        let registration = self.controller.registration();
        self.feed.insert(id, VecDeque::from([registration]));
        self.note("start", || {
            let previous = previous.map(|epoch| epoch.0);
            format!("{id}, epoch {epoch}, previous {previous:?}")
        });
    }

    /// Fences a broker, whether it is dead or alive.
    pub(super) fn fence(&mut self, id: NodeId) {
        self.controller.fence(id);
        self.note("fence", || id.to_string());
    }

    pub(super) fn unfence(&mut self, id: NodeId) {
        if self.node(id).is_some() {
            self.controller.unfence(id);
            self.note("unfence", || id.to_string());
        }
    }

    pub(super) fn rebalance(&mut self) {
        self.controller.rebalance();
        self.note("rebalance", String::new);
    }
}
