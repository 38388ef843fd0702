//! File descriptors: the number that the process may have open, and the number that it has open.
//!
//! Nothing is counted here. The system gives each new descriptor the lowest free number, so a
//! descriptor with the number `n` proves that at least `n` others are open.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the number of descriptors that the process may have open: the soft limit.
#[must_use]
pub fn limit() -> usize {
    soft(&getrlimit(Resource::Nofile))
}

fn soft(limit: &Rlimit) -> usize {
    let soft = limit.current.unwrap_or(u64::MAX);
    // The upper bound is larger than memory and ports allow.
    usize::try_from(soft).unwrap_or(usize::MAX).min(1 << 30)
}

/// Raises the soft limit to the hard one. Returns the old soft limit and the new one.
///
/// # Errors
/// When the system refuses. The limit does not change in this case.
pub fn raise_limit() -> std::io::Result<(usize, usize)> {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if before.current != before.maximum {
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok((soft(&before), limit()))
}

/// Returns the number of a descriptor.
fn number(file: &impl AsFd) -> usize {
    usize::try_from(file.as_fd().as_raw_fd()).unwrap_or(0)
}

/// Returns a lower bound for the number of descriptors in use; the limit if no more can be opened.
#[must_use]
pub fn in_use() -> usize {
    match File::open("/dev/null") {
        Ok(file) => number(&file),
        Err(_) => limit(),
    }
}

/// Checks whether a node may open more partitions, since each may permanently need a descriptor.
/// `open` partitions exist, `new` ones are to be opened.
///
/// # Errors
/// The reason, and what to do.
pub fn check_room(open: usize, new: usize) -> Result<(), String> {
    check(open, new, in_use(), limit())
}

fn check(open: usize, new: usize, in_use: usize, limit: usize) -> Result<(), String> {
    let (most, last) = (limit / 2, limit - limit / 8);
    if open + new <= most && in_use + new <= last {
        return Ok(());
    }
    Err(format!(
        "{new} more partitions need open files, {in_use} of {limit} are in use, and {open} of at \
         most {most} partitions are open; raise the limit (ulimit -n), or spread the partitions \
         over more brokers"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_descriptor_tells_how_many_are_open() {
        let before = in_use();
        let held: Vec<_> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(held.iter().map(number).max().unwrap() >= 19);
        assert!(before <= limit() && in_use() >= 20);
    }

    #[test]
    fn partitions_leave_descriptors_for_everything_else() {
        assert!(check(10, 5, 60, 256).is_ok());
        assert!(check(126, 2, 200, 256).is_ok());
        assert!(
            check(126, 3, 200, 256).is_err(),
            "half of them are partitions"
        );
        let refused = check(10, 5, 222, 256).unwrap_err();
        assert!(
            refused.contains("222 of 256") && refused.contains("ulimit -n"),
            "{refused}"
        );
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (before, now) = raise_limit().unwrap();
        assert!(now >= before);
        assert_eq!(raise_limit().unwrap(), (now, now));
    }
}
