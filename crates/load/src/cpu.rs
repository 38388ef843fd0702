//! The CPU time of the calling thread, and the time for which it was ready and had no CPU.

use crate::report::CpuShare;

/// Times of a thread since it began, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    pub busy: u64,
    pub waiting: u64,
}

impl CpuTimes {
    /// Reads the times of the calling thread; `None` where the system does not report them.
    pub(crate) fn of_this_thread() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let (busy, waiting) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { busy, waiting })
    }

    /// Returns the share of the CPU since `before`, which is `elapsed` nanoseconds ago.
    pub(crate) fn since(self, before: Self, elapsed: u64) -> CpuShare {
        let share = |now: u64, then: u64| now.saturating_sub(then) as f64 / elapsed.max(1) as f64;
        CpuShare {
            busy: share(self.busy, before.busy),
            waiting: share(self.waiting, before.waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_has_both_times() {
        let before = CpuTimes::parse("1000 50 7\n").unwrap();
        let after = CpuTimes::parse("1900 150 9\n").unwrap();
        let share = after.since(before, 1000);
        assert_eq!((share.busy, share.waiting), (0.9, 0.1));
        assert_eq!(CpuTimes::parse(""), None);
    }
}
