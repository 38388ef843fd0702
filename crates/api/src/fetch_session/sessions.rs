//! The cache of incremental fetch sessions (KIP-227).
//!
//! A session lets a consumer send only what changed since its last fetch. The cache has a fixed
//! number of slots; a new session takes the slot of one that was idle for two minutes, or of a
//! smaller one that had its slot for that long.
//!
//! Pure: time and the first id arrive as arguments.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dohle_model::ErrorCode;

/// How long a session keeps its slot before another one may take it.
const EVICTION_AGE: Duration = Duration::from_mins(2);
/// Epoch of a request that begins a session.
pub(crate) const EPOCH_INITIAL: i32 = 0;
/// Epoch of a request that ends a session, or that uses none.
pub(crate) const EPOCH_FINAL: i32 = -1;

/// Sessions by id.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    max: usize,
    last_id: i32,
    sessions: HashMap<i32, CachedSession<T>>,
}

#[derive(Debug)]
struct CachedSession<T> {
    session: Arc<T>,
    /// The epoch that the next request must have.
    epoch: i32,
    partitions: usize,
    by_topic_id: bool,
    created: Instant,
    used: Instant,
}

impl<T> Slots<T> {
    pub fn new(max: usize, first_id: i32) -> Self {
        Self {
            max,
            last_id: first_id,
            sessions: HashMap::new(),
        }
    }

    /// Takes a slot for a session of `partitions` partitions. Returns `None` when no slot can be
    /// taken.
    pub fn insert(
        &mut self,
        session: Arc<T>,
        partitions: usize,
        by_topic_id: bool,
        now: Instant,
    ) -> Option<i32> {
        if self.sessions.len() >= self.max {
            let victim = self.victim(partitions, now)?;
            self.sessions.remove(&victim);
        }
        let id = self.free_id();
        let epoch = next_epoch(EPOCH_INITIAL);
        let slot = CachedSession {
            session,
            epoch,
            partitions,
            by_topic_id,
            created: now,
            used: now,
        };
        let before = self.sessions.insert(id, slot);
        assert!(
            before.is_none() && self.sessions.len() <= self.max,
            "session {id} is one of {} in {} slots",
            self.sessions.len(),
            self.max
        );
        Some(id)
    }

    /// Returns the session that a request continues.
    pub fn resume(
        &mut self,
        id: i32,
        epoch: i32,
        by_topic_id: bool,
        now: Instant,
    ) -> Result<Arc<T>, ErrorCode> {
        let slot = self
            .sessions
            .get_mut(&id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if slot.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if slot.by_topic_id != by_topic_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        slot.epoch = next_epoch(epoch);
        assert!(
            slot.epoch > EPOCH_INITIAL,
            "session {id} goes on from epoch {epoch} to {}",
            slot.epoch
        );
        slot.used = now;
        Ok(Arc::clone(&slot.session))
    }

    /// Updates the number of partitions of a session.
    pub fn resize(&mut self, id: i32, partitions: usize) {
        if let Some(slot) = self.sessions.get_mut(&id) {
            slot.partitions = partitions;
        }
    }

    pub fn remove(&mut self, id: i32) {
        self.sessions.remove(&id);
    }

    fn victim(&self, partitions: usize, now: Instant) -> Option<i32> {
        let idle = self.sessions.iter().min_by_key(|(_, slot)| slot.used);
        let (id, slot) = idle?;
        if now.duration_since(slot.used) > EVICTION_AGE {
            return Some(*id);
        }
        let old = |slot: &CachedSession<T>| now.duration_since(slot.created) > EVICTION_AGE;
        let evictable = self.sessions.iter().filter(|(_, slot)| old(slot));
        let (id, slot) = evictable.min_by_key(|(_, slot)| slot.partitions)?;
        (slot.partitions < partitions).then_some(*id)
    }

    fn free_id(&mut self) -> i32 {
        loop {
            self.last_id = self.last_id.wrapping_add(0x1f35_7a2b) & i32::MAX;
            if self.last_id != 0 && !self.sessions.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

/// Epochs count from 1 and wrap to 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max: usize) -> Slots<&'static str> {
        Slots::new(max, 7)
    }

    #[test]
    fn a_session_goes_on_epoch_by_epoch() {
        let now = Instant::now();
        let mut slots = slots(2);
        let id = slots.insert(Arc::new("a"), 3, true, now).unwrap();
        assert!(id > 0);
        assert_eq!(*slots.resume(id, 1, true, now).unwrap(), "a");
        assert_eq!(*slots.resume(id, 2, true, now).unwrap(), "a");
        assert_eq!(
            slots.resume(id, 2, true, now).unwrap_err(),
            ErrorCode::InvalidFetchSessionEpoch
        );
        assert_eq!(
            slots.resume(id, 3, false, now).unwrap_err(),
            ErrorCode::FetchSessionTopicIdError
        );
        slots.remove(id);
        assert_eq!(
            slots.resume(id, 3, true, now).unwrap_err(),
            ErrorCode::FetchSessionIdNotFound
        );
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(EPOCH_INITIAL), 1);
        assert_eq!(next_epoch(i32::MAX), 1);
    }

    #[test]
    fn a_full_cache_refuses_until_someone_is_idle() {
        let now = Instant::now();
        let mut slots = slots(2);
        let first = slots.insert(Arc::new("a"), 3, true, now).unwrap();
        let second = slots.insert(Arc::new("b"), 3, true, now).unwrap();
        let later = now + Duration::from_mins(1);
        assert_eq!(slots.insert(Arc::new("c"), 100, true, later), None);
        slots.resume(second, 1, true, later).unwrap();
        let late = now + Duration::from_secs(121);
        let third = slots.insert(Arc::new("c"), 1, true, late).unwrap();
        assert!(
            slots.resume(first, 1, true, late).is_err(),
            "the idle one gave up its slot"
        );
        assert!(slots.resume(second, 2, true, late).is_ok());
        assert!(slots.resume(third, 1, true, late).is_ok());
    }

    #[test]
    fn an_old_small_session_gives_way_to_a_larger_one() {
        let now = Instant::now();
        let mut slots = slots(2);
        let small = slots.insert(Arc::new("small"), 1, true, now).unwrap();
        let large = slots.insert(Arc::new("large"), 50, true, now).unwrap();
        let late = now + Duration::from_secs(121);
        slots.resume(small, 1, true, late).unwrap();
        slots.resume(large, 1, true, late).unwrap();
        assert_eq!(slots.insert(Arc::new("equal"), 1, true, late), None);
        assert!(slots.insert(Arc::new("larger"), 2, true, late).is_some());
        assert!(slots.resume(small, 2, true, late).is_err());
        assert!(slots.resume(large, 2, true, late).is_ok());
    }

    #[test]
    fn no_slots_mean_no_sessions() {
        assert_eq!(
            slots(0).insert(Arc::new("a"), 1, true, Instant::now()),
            None
        );
    }

    #[test]
    #[should_panic(expected = "is one of 2 in 1 slots")]
    fn sessions_beyond_the_slots_are_noticed() {
        let now = Instant::now();
        let mut slots = slots(2);
        slots.insert(Arc::new("a"), 3, true, now).unwrap();
        slots.insert(Arc::new("b"), 3, true, now).unwrap();
        slots.max = 1;
        // One of three gives up its slot.
        slots.insert(Arc::new("c"), 9, true, now + 2 * EVICTION_AGE);
    }
}
