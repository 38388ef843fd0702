//! The order of the runs.
//!
//! Pure: the random numbers come from a generator that is passed in.

use serde::Serialize;

use dohle_tests::random::Random;

/// Which system a run measures. The control is the first system once more: what it differs from the
/// first by is noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Dohle.
    Dohle,
    /// Dohle, measured a second time.
    Control,
    /// The system that it is compared with.
    Other,
    /// The plainest program that appends and replicates: what the machine and the kernel cost.
    Floor,
}

impl Side {
    /// All sides.
    pub const ALL: [Self; 4] = [Self::Dohle, Self::Control, Self::Other, Self::Floor];
}

/// Returns the runs of each round: every side once, in an order of its own.
pub fn rounds(count: usize, sides: &[Side], random: &mut Random) -> Vec<Vec<Side>> {
    (0..count)
        .map(|_| {
            let mut order = sides.to_vec();
            random.shuffle(&mut order);
            order
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_each_side_once_and_no_side_is_always_first() {
        let rounds = rounds(40, &Side::ALL, &mut Random::of(7));
        assert_eq!(rounds.len(), 40);
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, Side::ALL);
        }
        for side in Side::ALL {
            let first = rounds.iter().filter(|round| round[0] == side).count();
            assert!((1..40).contains(&first), "{side:?} is first {first} times");
        }
    }
}
