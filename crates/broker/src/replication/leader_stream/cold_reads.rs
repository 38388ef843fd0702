//! Reads for followers that must wait for the disk. They run on the blocking pool, while the stream
//! sends the records of its other partitions.
//!
//! A stream has few such reads at a time, and together they use at most half of the follower's
//! credits, so that partitions that are read from the disk do not block the others. Further
//! partitions wait for their turn in the order of their arrival.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dohle_log::Access;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream};

use crate::blocking::WorkOwner;
use crate::partition::{FollowerData, LocateError, Partition, ReadError};

/// The number of reads of one stream at a time. Each reads at most one message, which takes an
/// eighth of the credits, unless a single batch is larger.
const READS_MAX: usize = 4;

/// A read that has ended.
#[derive(Debug)]
pub(super) struct ColdRead {
    /// The token and the id of the subscription.
    pub(super) token: u32,
    pub(super) subscription_id: u64,
    /// The credits that were reserved for it.
    pub(super) reserved: usize,
    /// The result of the read; `None` when the subscription has ended.
    pub(super) outcome: Result<Option<FollowerData>, ReadError>,
}

/// The reads of one stream.
#[derive(Default)]
pub(super) struct ColdReads {
    running: FuturesUnordered<BoxFuture<'static, ColdRead>>,
    ended: VecDeque<ColdRead>,
    /// Token and id of the subscriptions that wait until a read ends. Subscriptions that have ended
    /// meanwhile may still be in the queue.
    waiting: VecDeque<(u32, u64)>,
}

impl std::fmt::Debug for ColdReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdReads")
            .field("running", &self.running.len())
            .field("ended", &self.ended.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl ColdReads {
    /// Returns whether one more read may begin.
    pub(super) fn has_place(&self) -> bool {
        self.running.len() + self.ended.len() < READS_MAX
    }

    /// Reads about `reserved` bytes for a subscription. The read begins with the next
    /// [`ColdReads::poll_ended`].
    pub(super) fn begin(
        &mut self,
        partition: Arc<Partition>,
        token: u32,
        subscription_id: u64,
        reserved: usize,
        owner: WorkOwner,
    ) {
        assert!(
            self.has_place(),
            "{} reads run and {} have ended, at most {READS_MAX} may",
            self.running.len(),
            self.ended.len()
        );
        self.running.push(Box::pin(async move {
            let reader = Arc::clone(&partition);
            let read = move || reader.read_for_follower(subscription_id, reserved, Access::Disk);
            let outcome = match partition.blocking().disk(owner, read).await {
                Ok(Ok(read)) => Ok(read),
                Ok(Err(LocateError::Read(error))) => Err(error),
                Ok(Err(LocateError::NotCached)) => {
                    let reason = "its files were replaced during the read";
                    Err(ReadError::Unavailable(reason.to_owned()))
                }
                Err(error) => Err(ReadError::Unavailable(error.to_string())),
            };
            ColdRead {
                token,
                subscription_id,
                reserved,
                outcome,
            }
        }));
    }

    /// Moves reads that have ended to those that [`ColdReads::next_ended`] returns. Returns whether
    /// there are any; the task is woken when a running one ends.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(read)) = Pin::new(&mut self.running).poll_next(cx) {
            self.ended.push_back(read);
        }
        !self.ended.is_empty()
    }

    /// Returns a read that has ended, and frees its place.
    pub(super) fn next_ended(&mut self) -> Option<ColdRead> {
        self.ended.pop_front()
    }

    /// Makes a subscription wait until a read ends. The stream has `subscriptions` of them;
    /// `is_waiting` returns whether a subscription still waits.
    pub(super) fn wait(
        &mut self,
        subscription: (u32, u64),
        subscriptions: usize,
        is_waiting: impl Fn((u32, u64)) -> bool,
    ) {
        if self.waiting.len() >= subscriptions.saturating_mul(2) {
            self.waiting.retain(|it| is_waiting(*it));
        }
        self.waiting.push_back(subscription);
    }

    /// Returns the subscription that has waited longest.
    pub(super) fn next_waiting(&mut self) -> Option<(u32, u64)> {
        self.waiting.pop_front()
    }

    /// Returns the number of reads that run, or whose outcome was not taken yet.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.running.len() + self.ended.len()
    }
}
