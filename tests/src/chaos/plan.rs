//! The faults of a run, in an order that a seed decides.
//!
//! Pure.

use std::time::Duration;

use crate::random::Random;

/// What the program can do to nodes beside signals and requests. It depends on the machine, and
/// the faults of a seed depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The nodes have a network of their own.
    pub cuts_links: bool,
    /// The nodes have disks of their own.
    pub fills_disks: bool,
    /// There is a program that changes system calls of other processes.
    pub changes_calls: bool,
}

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
    /// What the first node of each pair sends to the second is lost.
    Cut {
        /// Which links these are.
        shape: Shape,
        /// The pairs.
        links: Vec<(i32, i32)>,
        /// How long the links are cut, and then not, if they are not cut all the time.
        flaps: Option<Duration>,
    },
    /// The disks of these nodes have no free byte.
    FillDisks(Vec<i32>),
    /// System calls of a node fail or are slow. It is killed and started again when they failed.
    ChangeCalls(i32, Calls),
    /// These nodes can open no file and accept no connection.
    TakeDescriptors(Vec<i32>),
}

/// The links that are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One link, one way.
    OneWay,
    /// One link.
    BothWays,
    /// All links of a node.
    Isolated,
    /// All links from a node.
    Mute,
    /// All links to a node.
    Deaf,
    /// All links.
    All,
}

const SHAPES: [Shape; 6] = [
    Shape::OneWay,
    Shape::BothWays,
    Shape::Isolated,
    Shape::Mute,
    Shape::Deaf,
    Shape::All,
];

/// The system calls that are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// Flushes fail with EIO.
    FlushesFail,
    /// Writes to files fail with EIO.
    WritesFail,
    /// Each flush takes some tenths of a second.
    FlushesAreSlow,
}

impl Fault {
    /// Returns the name of the kind of fault.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(nodes) => [
                "SIGKILL of one node",
                "SIGKILL of two nodes",
                "SIGKILL of all nodes",
            ][nodes.len() - 1],
            Self::Pause(nodes) => [
                "SIGSTOP of one node",
                "SIGSTOP of two nodes",
                "SIGSTOP of all nodes",
            ][nodes.len() - 1],
            Self::RollingRestart => "rolling restart",
            Self::ReplaceDisk(_) => "disk replaced",
            Self::Reassign(_) => "reassignment",
            Self::DeleteTopic => "topic deleted",
            Self::Cut { flaps: Some(_), .. } => "links flapping",
            Self::Cut { shape, .. } => match shape {
                Shape::OneWay => "one link cut one way",
                Shape::BothWays => "one link cut both ways",
                Shape::Isolated => "node cut off both ways",
                Shape::Mute => "node sends nothing to the others",
                Shape::Deaf => "node gets nothing from the others",
                Shape::All => "all links cut",
            },
            Self::FillDisks(nodes) => [
                "full disk of one node",
                "full disks of two nodes",
                "full disks of all nodes",
            ][nodes.len() - 1],
            Self::ChangeCalls(_, Calls::FlushesFail) => "flushes fail",
            Self::ChangeCalls(_, Calls::WritesFail) => "writes fail",
            Self::ChangeCalls(_, Calls::FlushesAreSlow) => "flushes are slow",
            Self::TakeDescriptors(_) => "no descriptors left",
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

/// Returns the next fault of a run, which the machine is able to make happen.
pub fn next(random: &mut Random, nodes: &[i32], abilities: Abilities) -> Step {
    let mut order = nodes.to_vec();
    random.shuffle(&mut order);
    let some = order[..=random.below(nodes.len())].to_vec();
    let able = |weight, is_able| if is_able { weight } else { 0 };
    let (links, disks) = (
        able(6, abilities.cuts_links),
        able(2, abilities.fills_disks),
    );
    let weights = [
        4,
        4,
        1,
        1,
        1,
        1,
        1,
        links,
        disks,
        able(2, abilities.changes_calls),
    ];
    let fault = match weighted(random, &weights) {
        0 => Fault::Kill(some),
        1 => Fault::Pause(some),
        2 => Fault::RollingRestart,
        3 => Fault::ReplaceDisk(order[0]),
        4 => Fault::Reassign(order[..2].to_vec()),
        5 => Fault::DeleteTopic,
        6 => Fault::TakeDescriptors(some),
        7 => cut(random, &order),
        8 => Fault::FillDisks(some),
        _ => {
            let calls = [Calls::FlushesFail, Calls::WritesFail, Calls::FlushesAreSlow];
            Fault::ChangeCalls(order[0], calls[random.below(calls.len())])
        }
    };
    // Shorter and longer than a broker's session and the timeouts of elections.
    let length = [50, 300, 1_000, 3_000, 12_000][random.below(5)];
    Step {
        fault,
        length: Duration::from_millis(length),
    }
}

/// Returns the place of a weight, each with a probability in proportion to itself.
fn weighted(random: &mut Random, weights: &[usize]) -> usize {
    let mut left = random.below(weights.iter().sum());
    let found = weights
        .iter()
        .position(|weight| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
    found.expect("the number is below the sum")
}

fn cut(random: &mut Random, order: &[i32]) -> Fault {
    let (first, others) = order.split_first().expect("there are nodes");
    let to = |from: i32, all: &[i32]| all.iter().map(move |to| (from, *to)).collect::<Vec<_>>();
    let back = |links: &[(i32, i32)]| links.iter().map(|(from, to)| (*to, *from)).collect();
    let from_first = to(*first, others);
    let to_first: Vec<(i32, i32)> = back(&from_first);
    let shape = SHAPES[random.below(SHAPES.len())];
    let links = match shape {
        Shape::OneWay => from_first[..1].to_vec(),
        Shape::BothWays => vec![from_first[0], to_first[0]],
        Shape::Isolated => [from_first, to_first].concat(),
        Shape::Mute => from_first,
        Shape::Deaf => to_first,
        Shape::All => {
            let pairs = order.iter().flat_map(|from| to(*from, order));
            pairs.filter(|(from, to)| from != to).collect()
        }
    };
    let period = [100, 500, 2_000][random.below(3)];
    let flaps = random.below(4) == 0;
    Fault::Cut {
        shape,
        links,
        flaps: flaps.then(|| Duration::from_millis(period)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: Abilities = Abilities {
        cuts_links: true,
        fills_disks: true,
        changes_calls: true,
    };

    fn plan(seed: u64, abilities: Abilities) -> Vec<Step> {
        let mut random = Random::of(seed);
        let steps = std::iter::repeat_with(|| next(&mut random, &[1, 2, 3], abilities));
        steps.take(1_000).collect()
    }

    #[test]
    fn a_seed_repeats_its_faults_and_every_kind_occurs() {
        assert_eq!(plan(1, ALL), plan(1, ALL));
        assert_ne!(plan(1, ALL), plan(2, ALL));
        let kinds = |steps: &[Step]| -> BTreeSet<&str> {
            steps.iter().map(|step| step.fault.kind()).collect()
        };
        let all = kinds(&plan(1, ALL));
        assert_eq!(all.len(), 24, "{all:?}");
        let without = kinds(&plan(1, Abilities::default()));
        assert_eq!(without.len(), 11, "{without:?}");
    }

    #[test]
    fn a_cut_has_the_links_of_its_shape() {
        for step in plan(1, ALL) {
            let Fault::Cut { shape, links, .. } = step.fault else {
                continue;
            };
            let pairs: BTreeSet<(i32, i32)> = links.iter().copied().collect();
            assert!(links.iter().all(|(from, to)| from != to), "{links:?}");
            let senders: BTreeSet<i32> = links.iter().map(|(from, _)| *from).collect();
            let receivers: BTreeSet<i32> = links.iter().map(|(_, to)| *to).collect();
            let wanted = match shape {
                Shape::OneWay => (1, 1, 1),
                Shape::BothWays => (2, 2, 2),
                Shape::Isolated => (4, 3, 3),
                Shape::Mute => (2, 1, 2),
                Shape::Deaf => (2, 2, 1),
                Shape::All => (6, 3, 3),
            };
            let counts = (pairs.len(), senders.len(), receivers.len());
            assert_eq!(counts, wanted, "{shape:?} {links:?}");
        }
    }
}
