//! Limits the rate of background work on the logs, and stops the work when the task that waits for
//! it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest wait for the rate before the work checks whether to stop.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Stops running work when the task that started it ends.
#[derive(Debug, Default)]
pub(super) struct StopOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Limits work to a number of bytes per second.
pub(super) struct Rate {
    bytes_per_second: f64,
    started: Instant,
    spent: f64,
}

impl Rate {
    pub(super) fn new(bytes_per_second: f64) -> Self {
        Self {
            bytes_per_second,
            started: Instant::now(),
            spent: 0.0,
        }
    }

    /// Waits until `bytes` more bytes are within the rate. Returns whether to continue.
    pub(super) fn spend(&mut self, bytes: u64, stop: &AtomicBool) -> bool {
        if self.bytes_per_second > 1e15 {
            // Without a limit the clock is not read for each batch.
            return !stop.load(Ordering::Relaxed);
        }
        self.spent += bytes as f64;
        let due = self.spent / self.bytes_per_second;
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let ahead = due - self.started.elapsed().as_secs_f64();
            if ahead.is_nan() || ahead <= 0.0 {
                return true;
            }
            std::thread::sleep(
                WAIT_MAX.min(Duration::try_from_secs_f64(ahead).unwrap_or(WAIT_MAX)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_until_its_bytes_are_within_the_rate() {
        let began = Instant::now();
        let mut rate = Rate::new(1_000.0);
        for _ in 0..4 {
            assert!(rate.spend(15, &AtomicBool::new(false)));
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(60), "{took:?}");
    }

    #[test]
    fn work_that_waits_for_the_rate_ends_when_its_task_ends() {
        let stop = StopOnDrop::default();
        let stopped = Arc::clone(&stop.0);
        let work = std::thread::spawn(move || Rate::new(1.0).spend(1_000_000_000, &stopped));
        drop(stop);
        assert!(!work.join().unwrap(), "the work goes on");
    }
}
