//! When batches are due, and which one a client sends next.
//!
//! Batch `k` of a run is due `k` intervals after its beginning, whatever the server does (open
//! loop), or as soon as a client can send it (closed loop). Client `c` of `n` has the batches `c`,
//! `c + n`, `c + 2n` and so on. Its batches visit the partitions one after the other; a partition
//! whose leader does not accept another request delays the batches for that leader alone.
//!
//! Pure: times are arguments, in nanoseconds since the run began.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long overdue batches are still sent after the end of a run of fixed length.
pub(crate) const GRACE: u64 = 250_000_000;

/// The times at which the batches of a run are due, and how many there are.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Nanoseconds between two batches of all clients; `None` in a closed loop.
    pub interval: Option<f64>,
    /// Batches that are due before are not measured.
    pub warm_up: u64,
    pub end: PaceEnd,
}

/// When a run ends.
#[derive(Debug, Clone)]
pub(crate) enum PaceEnd {
    /// At this time.
    At(u64),
    /// After this many measured batches.
    Batches {
        total: u64,
        /// How many of them no client has taken yet, in a closed loop.
        left: Arc<AtomicU64>,
    },
}

/// Returns the nanoseconds between two batches.
pub(crate) fn interval(records_per_second: f64, batch_records: usize) -> f64 {
    batch_records as f64 * 1e9 / records_per_second
}

impl Pace {
    fn due(interval: f64, number: u64) -> u64 {
        (number as f64 * interval) as u64
    }

    /// Returns the number of batches of all clients in an open loop.
    fn batches(&self, interval: f64) -> u64 {
        let until = |time: u64| (time as f64 / interval).ceil() as u64;
        match &self.end {
            PaceEnd::At(end) => until(*end),
            PaceEnd::Batches { total, .. } => until(self.warm_up) + total,
        }
    }

    /// Returns the time after which nothing is sent; `None` when all batches are sent, however
    /// late.
    pub(crate) fn send_until(&self) -> Option<u64> {
        match (&self.end, self.interval) {
            (PaceEnd::At(end), Some(_)) => Some(end + GRACE),
            (PaceEnd::At(end), None) => Some(*end),
            (PaceEnd::Batches { .. }, _) => None,
        }
    }
}

/// A batch that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueBatch {
    /// Its number among those of the client.
    pub index: u64,
    /// The index of its partition.
    pub partition: usize,
    /// When it is due. In a closed loop, the time at which it is taken.
    pub due: u64,
    pub measured: bool,
    /// Whether it is the last one of a run with a number of records, which may have fewer.
    pub last: bool,
}

/// What a client does next for one leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Sends a batch.
    Ready,
    /// Waits until this time.
    At(u64),
    /// Waits until the transaction is complete.
    Blocked,
    /// Nothing: all batches for this leader were sent, or it has no partition.
    Done,
}

/// The batches of one client that are not sent yet.
#[derive(Debug)]
pub(crate) struct ClientSchedule {
    pace: Pace,
    client: u64,
    clients: u64,
    /// The number of partitions.
    partitions: u64,
    /// The next batch of each partition, by leader: number and partition.
    by_leader: BTreeMap<i32, BinaryHeap<Reverse<(u64, usize)>>>,
    /// Batches from this number on have to wait.
    limit: Option<u64>,
}

impl ClientSchedule {
    /// Returns the schedule of a client. `leaders` has the leader of each partition, -1 for none.
    pub(crate) fn new(pace: Pace, client: u64, clients: u64, leaders: &[i32]) -> Self {
        let mut schedule = Self {
            pace,
            client,
            clients,
            partitions: leaders.len() as u64,
            by_leader: BTreeMap::new(),
            limit: None,
        };
        for (partition, leader) in leaders.iter().enumerate() {
            // The clients begin with different partitions.
            let first = (partition as u64 + schedule.partitions - client % schedule.partitions)
                % schedule.partitions;
            schedule.push(*leader, first, partition);
        }
        schedule
    }

    fn push(&mut self, leader: i32, index: u64, partition: usize) {
        let queue = self.by_leader.entry(leader).or_default();
        queue.push(Reverse((index, partition)));
    }

    /// Returns the leaders that have partitions.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = i32> {
        self.by_leader.keys().copied().filter(|leader| *leader >= 0)
    }

    /// Distributes the batches to the new leaders of the partitions.
    pub(crate) fn set_leaders(&mut self, leaders: &[i32]) {
        let queues = std::mem::take(&mut self.by_leader);
        for Reverse((index, partition)) in queues.into_values().flatten() {
            self.push(leaders[partition], index, partition);
        }
    }

    /// Lets batches from this number on wait.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = Some(limit);
    }

    /// Returns whether batches from this number on wait.
    pub(crate) fn is_limited_to(&self, index: u64) -> bool {
        self.limit.is_some_and(|limit| index >= limit)
    }

    /// Returns the partition of a batch of this client.
    pub(crate) fn partition(&self, index: u64) -> usize {
        ((index + self.client) % self.partitions) as usize
    }

    /// Returns the number of the first batch that is not sent.
    pub(crate) fn first_unsent(&self) -> u64 {
        let first = self.by_leader.values().filter_map(|queue| queue.peek());
        first.map(|Reverse((index, _))| *index).min().unwrap_or(0)
    }

    /// Returns whether a broker leads partitions.
    pub(crate) fn has_partitions(&self, leader: i32) -> bool {
        let queue = self.by_leader.get(&leader);
        queue.is_some_and(|queue| !queue.is_empty())
    }

    /// Returns whether all batches were sent, or it is too late for the others.
    pub(crate) fn is_done(&self, now: u64) -> bool {
        let mut leaders = self.by_leader.keys();
        leaders.all(|leader| self.peek(*leader, now) == Next::Done)
    }

    /// Returns what is next for a leader: [`Next::Ready`] for a batch that is due.
    pub(crate) fn peek(&self, leader: i32, now: u64) -> Next {
        let first = self.by_leader.get(&leader).and_then(BinaryHeap::peek);
        let Some(Reverse((index, _))) = first else {
            return Next::Done;
        };
        if self.pace.send_until().is_some_and(|until| now >= until) {
            return Next::Done;
        }
        match self.pace.interval {
            Some(interval) => {
                let number = self.client + index * self.clients;
                if number >= self.pace.batches(interval) {
                    return Next::Done;
                }
                let due = Pace::due(interval, number);
                if due > now {
                    return Next::At(due);
                }
            }
            None => {
                if let PaceEnd::Batches { left, .. } = &self.pace.end
                    && now >= self.pace.warm_up
                    && left.load(Ordering::Acquire) == 0
                {
                    return Next::Done;
                }
            }
        }
        match self.is_limited_to(*index) {
            true => Next::Blocked,
            false => Next::Ready,
        }
    }

    /// Takes the next batch for a leader, if it is due.
    ///
    /// # Errors
    /// What is next instead.
    pub(crate) fn take(&mut self, leader: i32, now: u64) -> Result<DueBatch, Next> {
        match self.peek(leader, now) {
            Next::Ready => {}
            other => return Err(other),
        }
        let (due, measured, last) = self.claim(leader, now).ok_or(Next::Done)?;
        let queue = self.by_leader.entry(leader).or_default();
        let Reverse((index, partition)) = queue.pop().ok_or(Next::Done)?;
        queue.push(Reverse((index + self.partitions, partition)));
        Ok(DueBatch {
            index,
            partition,
            due,
            measured,
            last,
        })
    }

    /// Returns when the next batch for a leader is due, whether it is measured, and whether it is
    /// the last one; `None` when other clients have taken all batches.
    fn claim(&self, leader: i32, now: u64) -> Option<(u64, bool, bool)> {
        let Some(interval) = self.pace.interval else {
            let measured = now >= self.pace.warm_up;
            let mut last = false;
            if let (true, PaceEnd::Batches { left, .. }) = (measured, &self.pace.end) {
                let less = |left: u64| left.checked_sub(1);
                let taken = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
                last = taken.ok()? == 1;
            }
            return Some((now, measured, last));
        };
        let Reverse((index, _)) = self.by_leader.get(&leader)?.peek()?;
        let number = self.client + index * self.clients;
        let batches = self.pace.batches(interval);
        let due = Pace::due(interval, number);
        Some(match &self.pace.end {
            PaceEnd::At(_) => (due, due >= self.pace.warm_up, false),
            // A run with a number of batches measures exactly that many.
            PaceEnd::Batches { total, .. } => {
                (due, number + total >= batches, number + 1 == batches)
            }
        })
    }

    /// Returns the times at which the batches were due that are due now and were not sent. Only
    /// measured ones, and none in a closed loop.
    pub(crate) fn unsent(&self, now: u64) -> Vec<u64> {
        let Some(interval) = self.pace.interval else {
            return Vec::new();
        };
        let batches = self.pace.batches(interval);
        let mut unsent = Vec::new();
        for Reverse((first, _)) in self.by_leader.values().flatten() {
            let mut index = *first;
            loop {
                let number = self.client + index * self.clients;
                let due = Pace::due(interval, number);
                if number >= batches || due > now {
                    break;
                }
                if due >= self.pace.warm_up {
                    unsent.push(due);
                }
                index += self.partitions;
            }
        }
        unsent
    }
}

#[cfg(test)]
mod tests;
