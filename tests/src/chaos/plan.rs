//! The faults of a run, in an order that a seed decides.
//!
//! Pure.

use std::time::Duration;

use crate::random::Random;

/// A fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of these nodes, which are started again.
    Kill(Vec<i32>),
    /// SIGSTOP of these nodes, and SIGCONT: they are silent, and keep their sockets.
    Pause(Vec<i32>),
    /// SIGTERM of each node in turn, which is started again.
    RollingRestart,
    /// A node is stopped, its data are removed, and it is started again.
    ReplaceDisk(i32),
    /// A partition with two replicas gets its replicas on these nodes.
    Reassign(Vec<i32>),
    /// A topic is created and deleted.
    DeleteTopic,
}

impl Fault {
    /// Returns the name of the kind of fault.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(nodes) if nodes.len() == 1 => "SIGKILL of one node",
            Self::Kill(nodes) if nodes.len() == 2 => "SIGKILL of two nodes",
            Self::Kill(_) => "SIGKILL of all nodes",
            Self::Pause(nodes) if nodes.len() == 1 => "SIGSTOP of one node",
            Self::Pause(nodes) if nodes.len() == 2 => "SIGSTOP of two nodes",
            Self::Pause(_) => "SIGSTOP of all nodes",
            Self::RollingRestart => "rolling restart",
            Self::ReplaceDisk(_) => "disk replaced",
            Self::Reassign(_) => "reassignment",
            Self::DeleteTopic => "topic deleted",
        }
    }
}

/// A fault, and how long it lasts where it has a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The fault.
    pub fault: Fault,
    /// Its duration.
    pub length: Duration,
}

/// Returns the next fault of a run.
pub fn next(random: &mut Random, nodes: &[i32]) -> Step {
    let mut order = nodes.to_vec();
    random.shuffle(&mut order);
    let some = order[..=random.below(nodes.len())].to_vec();
    let fault = match random.below(12) {
        0..4 => Fault::Kill(some),
        4..8 => Fault::Pause(some),
        8 => Fault::RollingRestart,
        9 => Fault::ReplaceDisk(order[0]),
        10 => Fault::Reassign(order[..2].to_vec()),
        _ => Fault::DeleteTopic,
    };
    // Shorter and longer than a broker's session and the timeouts of elections.
    let length = [50, 300, 1_000, 3_000, 12_000][random.below(5)];
    Step {
        fault,
        length: Duration::from_millis(length),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_repeats_its_faults_and_every_kind_occurs() {
        let plan = |seed| {
            let mut random = Random::of(seed);
            let steps = std::iter::repeat_with(|| next(&mut random, &[1, 2, 3]));
            steps.take(300).collect::<Vec<_>>()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let steps = plan(1);
        let kinds: BTreeSet<&str> = steps.iter().map(|step| step.fault.kind()).collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
    }
}
