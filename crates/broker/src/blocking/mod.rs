//! Work that waits for a disk or computes for long, run off the threads that serve connections.
//!
//! One [`BlockingPool`] serves a node. It has three lanes, each with a fixed number of places, so
//! that one kind of work neither delays the others nor occupies more threads than its lane has
//! places. Work beyond that waits without a thread. The owners of waiting work take turns: a client
//! that requests much waits for its own work, and delays no other client.
//!
//! Invariant: a place is held until the work has ended, even when the future that waits for it is
//! dropped. Work that has not begun is taken out of its queue then.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use dohle_model::{NodeId, TopicIdPartition};
use tokio::task::spawn_blocking;

mod fair_queue;
mod lane;

use lane::Lane;

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

/// On whose behalf work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkOwner {
    /// The clients at one address; see [`WorkOwner::client`].
    Client(IpAddr),
    /// A broker that follows partitions, or repairs its replica of one.
    Broker(NodeId),
    /// A partition: its flushes, truncations and computations of its coordinator.
    Partition(TopicIdPartition),
}

impl WorkOwner {
    /// Returns the owner of the work that a client at this address requests. Clients are
    /// distinguished by their address, since a client that opens many connections is still one
    /// client. Each connection requests one thing at a time, so the connections of one address take
    /// turns too. Of an IPv6 address only the network (64 bits) counts, since one machine may use
    /// any address in its network.
    #[must_use]
    pub fn client(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self::Client(Ipv6Addr::from_bits(network).into())
            }
            address => Self::Client(address),
        }
    }
}

/// Runs blocking work on a bounded number of threads.
#[derive(Debug)]
pub struct BlockingPool {
    disk: Arc<Lane>,
    compute: Arc<Lane>,
    search: Arc<Lane>,
}

impl BlockingPool {
    /// Creates a pool for this machine: as many places for computations as half the number of
    /// processors, and as many for searches, but at least two of each.
    #[must_use]
    pub fn for_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(DISK_PLACES, (processors / 2).max(2))
    }

    /// Creates a pool that runs `disk_places` disk operations, `compute_places` computations and as
    /// many searches at a time.
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
            disk: Lane::new(disk_places),
            compute: Lane::new(compute_places),
            search: Lane::new(compute_places),
        }
    }

    /// Returns how much work waits for a place, in all lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let lanes = [&self.disk, &self.compute, &self.search];
        lanes.into_iter().map(|lane| lane.waiting()).sum()
    }

    /// Runs `work`, which reads from or writes to a disk, and returns its result.
    ///
    /// # Errors
    /// When the work panics or the runtime stops. Dropping the future abandons work that has not
    /// started and lets work that has started run to its end.
    pub async fn disk<R: Send + 'static>(
        &self,
        owner: WorkOwner,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.disk, owner, work).await
    }

    /// Runs `work`, which computes for long (decompression, regular expressions), and returns its
    /// result.
    ///
    /// # Errors
    /// As [`BlockingPool::disk`].
    pub async fn compute<R: Send + 'static>(
        &self,
        owner: WorkOwner,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.compute, owner, work).await
    }

    /// Runs `work`, which reads batches from a disk and decompresses them to look for a record, and
    /// returns its result.
    ///
    /// # Errors
    /// As [`BlockingPool::disk`].
    pub async fn search<R: Send + 'static>(
        &self,
        owner: WorkOwner,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, BlockingError> {
        run(&self.search, owner, work).await
    }
}

async fn run<R: Send + 'static>(
    lane: &Arc<Lane>,
    owner: WorkOwner,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, BlockingError> {
    let place = lane.acquire(owner).await?;
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
    const A: WorkOwner = WorkOwner::Broker(NodeId(1));
    const B: WorkOwner = WorkOwner::Broker(NodeId(2));

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
                    pool.compute(A, work).await
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
            let work = pool.disk(A, move || {
                let _ = begin.send(());
                let _ = released.recv_timeout(DEADLINE);
            });
            tokio::pin!(work);
            tokio::select! {
                _ = &mut work => panic!("the work waits for its release"),
                started = begun => started.unwrap(),
            }
        }
        assert_eq!(pool.disk.free(), 0, "the work still runs");
        // Computation does not wait for the disk.
        assert_eq!(pool.compute(A, || 1).await, Ok(1));
        release.send(()).unwrap();
        let next = tokio::time::timeout(DEADLINE, pool.disk(A, || 2)).await;
        assert_eq!(next.unwrap(), Ok(2));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_its_place() {
        let pool = BlockingPool::new(1, 1);
        let failed = pool.disk(A, || panic!("planted")).await;
        assert_eq!(failed, Err(BlockingError::Panicked));
        assert_eq!(pool.disk(A, || 3).await, Ok(3));
    }

    /// Lets a lane of one place run what `queue` adds, once everything waits. Returns the order.
    async fn order(queue: impl AsyncFnOnce(&BlockingPool, &dyn Fn(WorkOwner, u32))) -> Vec<u32> {
        let pool = Arc::new(BlockingPool::new(1, 1));
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let gate = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                let wait = move || {
                    let _ = begin.send(());
                    let _ = released.recv_timeout(DEADLINE);
                };
                pool.search(A, wait).await
            }
        });
        begun.await.unwrap();
        let done = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let tasks = parking_lot::Mutex::new(tokio::task::JoinSet::new());
        queue(&pool, &|owner, number| {
            let (pool, done) = (Arc::clone(&pool), Arc::clone(&done));
            let work = async move { pool.search(owner, move || done.lock().push(number)).await };
            tasks.lock().spawn(work);
        })
        .await;
        drop(release);
        assert_eq!(gate.await.unwrap(), Ok(()));
        let all = tokio::time::timeout(DEADLINE, tasks.into_inner().join_all());
        assert!(all.await.unwrap().iter().all(Result::is_ok));
        assert_eq!((pool.waiting(), pool.search.free()), (0, 1));
        Arc::try_unwrap(done).unwrap().into_inner()
    }

    async fn until_waiting(pool: &BlockingPool, count: usize) {
        let reached = async {
            while pool.waiting() != count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap();
    }

    #[tokio::test]
    async fn the_only_work_of_an_owner_is_done_next_but_one_however_much_another_has_queued() {
        let done = order(async |pool, queue| {
            for number in 0..1_000 {
                queue(A, number);
            }
            until_waiting(pool, 1_000).await;
            queue(B, 1_000);
            until_waiting(pool, 1_001).await;
        });
        assert_eq!(done.await[..3], [0, 1_000, 1]);
    }

    #[test]
    fn the_addresses_of_one_machine_are_one_owner() {
        let owner = |address: &str| WorkOwner::client(address.parse().unwrap());
        assert_eq!(owner("::ffff:10.0.0.1"), owner("10.0.0.1"));
        assert_ne!(owner("10.0.0.2"), owner("10.0.0.1"));
        assert_eq!(owner("2001:db8:0:1::1"), owner("2001:db8:0:1:ffff::2"));
        assert_ne!(owner("2001:db8:0:1::1"), owner("2001:db8:0:2::1"));
    }

    #[tokio::test]
    async fn work_whose_wait_was_dropped_is_not_done() {
        let done = order(async |pool, queue| {
            let mut waits = Vec::new();
            for _ in 0..1_000 {
                let mut wait = Box::pin(pool.search(A, || panic!("dropped")));
                assert!(futures::poll!(&mut wait).is_pending());
                waits.push(wait);
            }
            queue(B, 1);
            until_waiting(pool, 1_001).await;
            drop(waits);
            assert_eq!(pool.waiting(), 1);
            queue(A, 2);
            until_waiting(pool, 2).await;
        });
        assert_eq!(done.await, [1, 2]);
    }
}
