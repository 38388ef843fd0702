//! One lane of the pool: a number of places, and the work that waits for one.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, Ticket};
use super::{BlockingError, WorkOwner};

/// Places for work of one kind.
#[derive(Debug)]
pub(super) struct Lane {
    state: Mutex<State>,
}

/// Invariant: nothing waits while a place is free.
#[derive(Debug)]
struct State {
    free: usize,
    places: usize,
    waiting: FairQueue<WorkOwner, oneshot::Sender<Place>>,
}

/// A place in a lane. Dropping it gives it to the work whose turn it is.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
}

/// The wait for a place. Dropping it takes it out of the queue.
struct Wait {
    lane: Arc<Lane>,
    ticket: Ticket,
    place: oneshot::Receiver<Place>,
}

impl Lane {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: places,
                places,
                waiting: FairQueue::new(),
            }),
        })
    }

    /// Waits for a place. Owners that wait take turns.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        owner: WorkOwner,
    ) -> Result<Place, BlockingError> {
        let mut wait = {
            let mut state = self.state.lock();
            if state.free > 0 {
                assert!(
                    state.waiting.len() == 0,
                    "{} wait for a place, and {} are free",
                    state.waiting.len(),
                    state.free
                );
                state.free -= 1;
                let lane = Arc::clone(self);
                return Ok(Place { lane });
            }
            let (grant, place) = oneshot::channel();
            let ticket = state.waiting.push(owner, grant);
            let lane = Arc::clone(self);
            Wait {
                lane,
                ticket,
                place,
            }
        };
        let place = (&mut wait.place).await;
        // The sender is dropped unused only when the wait itself ends.
        place.map_err(|_| BlockingError::Stopped)
    }

    /// Work that waits for a place.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.state.lock().free
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.lane.state.lock();
            let next = state.waiting.pop();
            if next.is_none() {
                state.free += 1;
                assert!(
                    state.free <= state.places,
                    "{} places of {} are free",
                    state.free,
                    state.places
                );
            }
            next
        };
        if let Some(next) = next {
            let lane = Arc::clone(&self.lane);
            // A wait that was dropped at this moment returns the place. The place is dropped here,
            // and goes to the next wait.
            drop(next.send(Place { lane }));
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let cancelled = self.lane.state.lock().waiting.cancel(self.ticket);
        drop(cancelled);
    }
}
