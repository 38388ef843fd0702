//! Readiness: one task that is woken when any of many partitions moves.
//!
//! A [`ReadySet`] belongs to the task that waits (a delayed fetch, a fetch session, a replication
//! stream). A [`ReadyToken`] ties one partition to it. When the partition moves, its token
//! is put on the ready set's list (once, however often the partition moves) and the task is woken.
//! Cost of a registration and of a move: O(1) a watch; partitions that did not move are not looked
//! at.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

/// What a watch is woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyOn {
    /// The high watermark, the last stable offset, the log start or the leader epoch moved.
    Committed,
    /// Any position moved, the log end included.
    Any,
}

/// The list of partitions that moved, and the task that waits for one.
#[derive(Debug, Default)]
pub struct ReadySet {
    ready: Mutex<Vec<u32>>,
    task: AtomicWaker,
}

impl ReadySet {
    /// A ready set of nothing.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Takes the tokens of the ready tokens whose partitions moved since the last take into
    /// `tokens`, which is cleared first. A token appears once.
    pub fn take(&self, tokens: &mut Vec<u32>) {
        tokens.clear();
        std::mem::swap(&mut *self.ready.lock(), tokens);
    }

    /// Ready when some watch's partition moved since the last take.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.ready.lock().is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Completes when some watch's partition moved since the last take. One task may wait at a
    /// time. Safe to drop at any point: nothing is lost.
    pub async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    pub(crate) fn wake(&self) {
        self.task.wake();
    }
}

/// The tie of one partition to a [`ReadySet`]; dropping it ends it.
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

    /// To be called for a token that was taken, before the partition is looked at: from here on a
    /// move queues the token again.
    pub fn rearm(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Queues the token as if the partition had moved.
    pub fn mark(&self) {
        if self.queue() {
            self.ready_set.wake();
        }
    }

    /// Takes the token as queued by the caller, who keeps it on a list of its own. `false` when the
    /// ready set has it already.
    pub(crate) fn hold(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn on(&self) -> ReadyOn {
        self.on
    }

    pub(crate) fn ready_set(&self) -> &Arc<ReadySet> {
        &self.ready_set
    }

    /// Queues the token; whether the ready set has to be woken.
    pub(crate) fn queue(&self) -> bool {
        if self.queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut ready = self.ready_set.ready.lock();
        ready.push(self.token);
        ready.len() == 1
    }
}
