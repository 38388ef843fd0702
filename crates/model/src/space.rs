//! Derives what may be written to a log directory, or to the metadata log, from the free space of
//! its file system. Pure: the inputs are samples and refused writes, the output is a state.
//!
//! ```text
//!           free < reserve              free < reserve / 4, or a write found no space
//!   Open ───────────────────▶ Low ─────────────────────────────────────────────────▶ Full
//!    ▲                       │   ▲                                                     │
//!    └───────────────────────┘   └─────────────────────────────────────────────────────┘
//!      free ≥ reserve · 5/4         free ≥ reserve / 2, and a small file can be written
//! ```
//!
//! `docs/decisions/0041-a-full-disk.md` lists what each state refuses.

use std::time::Duration;

/// The reserve is at most the size of the file system divided by this number.
const RESERVE_PART: u64 = 20;
/// The assumed highest rate at which a disk fills, in bytes per millisecond.
const FILL_RATE: u64 = 512 * 1024;
const SAMPLE_MIN: Duration = Duration::from_millis(100);
const SAMPLE_MAX: Duration = Duration::from_secs(5);
/// The interval of samples while space is short.
const SAMPLE_SHORT: Duration = Duration::from_millis(250);

/// A sample of a file system's free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// The bytes that this process may still use.
    pub free: u64,
    /// The size of the file system in bytes.
    pub total: u64,
    /// Whether files can still be created: there are free inodes.
    pub has_files: bool,
}

/// What may be written to a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SpaceState {
    /// Everything.
    #[default]
    Open,
    /// Only writes that the cluster itself needs: the reserve is in use.
    Low,
    /// Only writes that free space.
    Full,
}

/// The state of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceMonitor {
    state: SpaceState,
    space: Space,
    reserve: u64,
    /// Whether a write found no space and none has succeeded since.
    refused: bool,
}

impl SpaceMonitor {
    /// Starts with a first sample. `reserve` is the configured number of bytes.
    #[must_use]
    pub fn new(reserve: u64, space: Space) -> Self {
        let mut monitor = Self {
            state: SpaceState::Open,
            space,
            reserve: 0,
            refused: false,
        };
        monitor.on_sample(reserve, space);
        monitor
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> SpaceState {
        self.state
    }

    /// Returns the last sample.
    #[must_use]
    pub fn space(&self) -> Space {
        self.space
    }

    /// Returns the effective reserve in bytes: the configured one, limited to a twentieth of the
    /// file system.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Records that a write was refused for lack of space.
    pub fn on_refused_write(&mut self) {
        self.refused = true;
        self.state = SpaceState::Full;
    }

    /// Records that a small file could be written after a write was refused. Quotas, and blocks
    /// that are reserved for root, do not show in a sample. The next sample decides the state.
    pub fn on_write(&mut self) {
        self.refused = false;
    }

    /// Whether a small file should be written before the next sample.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.refused
    }

    /// Updates the state with a sample.
    pub fn on_sample(&mut self, reserve: u64, space: Space) {
        let reserve = reserve.min(space.total / RESERVE_PART);
        (self.space, self.reserve) = (space, reserve);
        let free = space.free;
        let full_below = match self.state {
            SpaceState::Full => reserve / 2,
            SpaceState::Open | SpaceState::Low => reserve / 4,
        };
        let low_below = match self.state {
            SpaceState::Open => reserve,
            SpaceState::Low | SpaceState::Full => reserve + reserve / 4,
        };
        self.state = if self.refused || !space.has_files || free < full_below {
            SpaceState::Full
        } else if free < low_below {
            SpaceState::Low
        } else {
            SpaceState::Open
        };
    }

    /// Returns when the next sample is due: sooner when the free space is nearer to the reserve.
    #[must_use]
    pub fn next_sample_in(&self) -> Duration {
        if self.state != SpaceState::Open {
            return SAMPLE_SHORT;
        }
        let distance = self.space.free.saturating_sub(self.reserve);
        Duration::from_millis(distance / FILL_RATE).clamp(SAMPLE_MIN, SAMPLE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::SpaceState::{Full, Low, Open};
    use super::*;

    const TOTAL: u64 = 1_000_000;
    const RESERVE: u64 = 1000;

    fn space(free: u64) -> Space {
        Space {
            free,
            total: TOTAL,
            has_files: true,
        }
    }

    /// The states that samples lead to, one after the other.
    fn states(samples: &[u64]) -> Vec<SpaceState> {
        let mut monitor = SpaceMonitor::new(RESERVE, space(TOTAL));
        let step = |free: &u64| {
            monitor.on_sample(RESERVE, space(*free));
            monitor.state()
        };
        samples.iter().map(step).collect()
    }

    #[test]
    fn states_follow_the_free_bytes_and_change_back_later_than_they_changed() {
        assert_eq!(
            states(&[1000, 999, 1000, 1249, 1250, 1000]),
            [Open, Low, Low, Low, Open, Open]
        );
        assert_eq!(
            states(&[250, 249, 250, 499, 500, 250, 0, 5000]),
            [Low, Full, Full, Full, Low, Low, Full, Open]
        );
    }

    #[test]
    fn a_refused_write_means_full_until_a_write_succeeds() {
        let mut monitor = SpaceMonitor::new(RESERVE, space(TOTAL));
        assert!(!monitor.wants_write());
        monitor.on_refused_write();
        assert_eq!(monitor.state(), Full);
        monitor.on_sample(RESERVE, space(TOTAL));
        assert_eq!(monitor.state(), Full, "a quota does not show in a sample");
        assert!(monitor.wants_write());
        monitor.on_write();
        monitor.on_sample(RESERVE, space(TOTAL));
        assert_eq!(monitor.state(), Open);
        assert!(!monitor.wants_write());
    }

    #[test]
    fn without_inodes_nothing_can_be_made() {
        let mut monitor = SpaceMonitor::new(RESERVE, space(TOTAL));
        let none = Space {
            has_files: false,
            ..space(TOTAL)
        };
        monitor.on_sample(RESERVE, none);
        assert_eq!(monitor.state(), Full);
        monitor.on_sample(RESERVE, space(TOTAL));
        assert_eq!(monitor.state(), Open);
    }

    #[test]
    fn the_reserve_is_at_most_a_twentieth_and_may_be_nothing() {
        let small = SpaceMonitor::new(u64::MAX, space(TOTAL));
        assert_eq!(small.reserve(), TOTAL / 20);
        assert_eq!(small.state(), Open);
        let mut none = SpaceMonitor::new(0, space(0));
        assert_eq!(none.state(), Open);
        none.on_refused_write();
        none.on_write();
        none.on_sample(0, space(0));
        assert_eq!(none.state(), Open);
    }

    #[test]
    fn samples_are_taken_more_often_near_the_reserve() {
        let due = |free| {
            let space = Space {
                free,
                total: u64::MAX,
                has_files: true,
            };
            SpaceMonitor::new(RESERVE, space).next_sample_in()
        };
        assert_eq!(due(RESERVE + (1 << 40)), SAMPLE_MAX);
        assert_eq!(due(RESERVE + (1 << 30)), Duration::from_millis(2048));
        assert_eq!(due(RESERVE), SAMPLE_MIN);
        assert_eq!(due(RESERVE - 1), SAMPLE_SHORT);
    }
}
