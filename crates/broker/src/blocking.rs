//! Work that waits for a disk or computes for long, run off the threads that serve connections.
//!
//! One [`BlockingPool`] serves a node. It has three lanes, each with a fixed number of places, so
//! that one kind of work neither delays the others nor occupies more threads than its lane has
//! places. Work beyond that waits in the order it came, without a thread.
//!
//! Invariant: a place is held until the work has ended, even when the future that waits for it is
//! dropped.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Reads and flushes at a time (Kafka's default of `num.io.threads`).
const DISK_PLACES: usize = 8;

/// Why work has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockingError {
    /// The work panicked.
    #[error("the work panicked")]
    Panicked,
    /// The runtime is shutting down and did not start the work.
    #[error("the node is shutting down")]
    Stopped,
}

/// Runs blocking work on a bounded number of threads.
#[derive(Debug)]
pub struct BlockingPool {
    disk: Arc<Semaphore>,
    compute: Arc<Semaphore>,
    search: Arc<Semaphore>,
}

impl BlockingPool {
    /// A pool with places for this machine: half the processors compute, and as many search, two at
    /// least of each.
    #[must_use]
    pub fn for_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(DISK_PLACES, (processors / 2).max(2))
    }

    /// A pool that runs `disk_places` disk operations, `compute_places` computations and as many
    /// searches at a time.
    ///
    /// # Panics
    /// When a lane would have no place.
    #[must_use]
    pub fn new(disk_places: usize, compute_places: usize) -> Self {
        assert!(
            disk_places > 0 && compute_places > 0,
            "each lane has a place"
        );
        Self {
            disk: Arc::new(Semaphore::new(disk_places)),
            compute: Arc::new(Semaphore::new(compute_places)),
            search: Arc::new(Semaphore::new(compute_places)),
        }
    }

    /// Runs `work`, which reads from or writes to a disk, and returns its result.
    ///
    /// # Errors
    /// When the work panics or the runtime stops. Dropping the future abandons work that has not
    /// started and lets work that has started run to its end.
    pub async fn disk<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.disk, work).await
    }

    /// Runs `work`, which computes for long (decompression, regular expressions), and returns its
    /// result.
    ///
    /// # Errors
    /// As [`BlockingPool::disk`].
    pub async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.compute, work).await
    }

    /// Runs `work`, which reads batches from a disk and decompresses them to look for a record, and
    /// returns its result.
    ///
    /// # Errors
    /// As [`BlockingPool::disk`].
    pub async fn search<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.search, work).await
    }
}

async fn run<R: Send + 'static>(
    lane: &Arc<Semaphore>,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, BlockingError> {
    // The semaphores are never closed.
    let place = Arc::clone(lane).acquire_owned().await;
    let place = place.map_err(|_| BlockingError::Stopped)?;
    let task = spawn_blocking(move || {
        let _place = place;
        work()
    });
    task.await.map_err(|error| {
        if error.is_panic() {
            BlockingError::Panicked
        } else {
            BlockingError::Stopped
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_lane_runs_no_more_work_at_a_time_than_it_has_places() {
        let pool = Arc::new(BlockingPool::new(1, 2));
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let pool = Arc::clone(&pool);
                let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
                tokio::spawn(async move {
                    let work = move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        peak.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    };
                    pool.compute(work).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
        assert!((1..=2).contains(&peak.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_dropped_wait_gives_its_place_back_only_when_the_work_has_ended() {
        let pool = BlockingPool::new(1, 1);
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        {
            let work = pool.disk(move || {
                let _ = begin.send(());
                let _ = released.recv_timeout(DEADLINE);
            });
            tokio::pin!(work);
            tokio::select! {
                _ = &mut work => panic!("the work waits for its release"),
                started = begun => started.unwrap(),
            }
        }
        assert_eq!(pool.disk.available_permits(), 0, "the work still runs");
        // Computation does not wait for the disk.
        assert_eq!(pool.compute(|| 1).await, Ok(1));
        release.send(()).unwrap();
        let next = tokio::time::timeout(DEADLINE, pool.disk(|| 2)).await;
        assert_eq!(next.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_its_place() {
        let pool = BlockingPool::new(1, 1);
        let failed = pool.disk(|| panic!("planted")).await;
        assert_eq!(failed, Err(BlockingError::Panicked));
        assert_eq!(pool.disk(|| 3).await, Ok(3));
    }
}
