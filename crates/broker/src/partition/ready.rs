//! Readiness: wakes one task when the positions of any of many partitions change.
//!
//! A [`ReadySet`] belongs to the task that waits (a delayed fetch, a fetch session, a replication
//! stream). A [`ReadyToken`] registers one partition with it. When the partition's positions
//! change, its token is put on the ready set's list, once until it is taken, and the task is woken.
//! A registration and a change take constant time for each token. Partitions without a change cost
//! nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

/// The changes that queue a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyOn {
    /// Changes of the high watermark, the last stable offset, the log start or the leader epoch.
    Committed,
    /// Changes of any position, the log end included.
    Any,
}

/// The list of partitions whose positions changed, and the task that waits for one.
#[derive(Debug, Default)]
pub struct ReadySet {
    ready: Mutex<Vec<u32>>,
    task: AtomicWaker,
}

impl ReadySet {
    /// Creates a ready set without partitions.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Moves the queued tokens into `tokens`, which is cleared first. A token appears once.
    pub fn take(&self, tokens: &mut Vec<u32>) {
        tokens.clear();
        std::mem::swap(&mut *self.ready.lock(), tokens);
    }

    /// Ready when a token was queued since the last take.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.ready.lock().is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Completes when a token was queued since the last take. One task may wait at a time. Dropping
    /// the future loses no token.
    pub async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    pub(crate) fn wake(&self) {
        self.task.wake();
    }
}

/// The registration of one partition with a [`ReadySet`]. Dropping it ends the registration.
#[derive(Debug)]
pub struct ReadyToken {
    ready_set: Arc<ReadySet>,
    token: u32,
    on: ReadyOn,
    queued: AtomicBool,
}

impl ReadyToken {
    pub(crate) fn new(ready_set: &Arc<ReadySet>, token: u32, on: ReadyOn) -> Arc<Self> {
        let ready_set = Arc::clone(ready_set);
        Arc::new(Self {
            ready_set,
            token,
            on,
            queued: AtomicBool::new(false),
        })
    }

    /// Lets the next change queue the token again. Called for a token that was taken, before the
    /// partition's positions are read.
    pub fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Queues the token as if a position had changed.
    pub fn mark(&self) {
        if self.queue() {
            self.ready_set.wake();
        }
    }

    /// Marks the token as queued for a caller that keeps it on a list of its own. Returns `false`
    /// when the ready set has it already.
    pub(crate) fn hold(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn on(&self) -> ReadyOn {
        self.on
    }

    pub(crate) fn ready_set(&self) -> &Arc<ReadySet> {
        &self.ready_set
    }

    /// Queues the token. Returns whether the ready set must be woken.
    pub(crate) fn queue(&self) -> bool {
        if self.queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut ready = self.ready_set.ready.lock();
        ready.push(self.token);
        ready.len() == 1
    }
}
