//! Medians of repeated measurements, and ratios of two systems with an interval.
//!
//! Pure: the random numbers come from a generator that is passed in.

use serde::Serialize;

use dohle_tests::random::Random;

/// How often the measurements are resampled for an interval.
const RESAMPLES: usize = 10_000;

/// The ratio of the medians of two systems that were measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The median of the first divided by that of the second.
    pub ratio: f64,
    /// The ends of its interval of 95 %; `None` for a single round, which has none.
    pub interval: Option<(f64, f64)>,
}

/// Returns the median; `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Returns the ratio of the medians of pairs, each measured in the same round, with the interval of
/// 95 % of the percentile bootstrap (Efron, 1979): whole rounds are drawn with replacement, so that
/// what disturbed a round disturbs both of its values. `None` without pairs, or if a median is 0.
pub fn ratio(pairs: &[(f64, f64)], random: &mut Random) -> Option<Ratio> {
    let ratio = ratio_of_medians(pairs)?;
    let interval = (pairs.len() > 1).then(|| interval(pairs, random)).flatten();
    Some(Ratio { ratio, interval })
}

fn interval(pairs: &[(f64, f64)], random: &mut Random) -> Option<(f64, f64)> {
    let mut draw = || -> Vec<(f64, f64)> {
        let drawn = pairs.iter().map(|_| pairs[random.below(pairs.len())]);
        drawn.collect()
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| ratio_of_medians(&draw()))
        .collect();
    ratios.sort_by(f64::total_cmp);
    Some((quantile(&ratios, 0.025)?, quantile(&ratios, 0.975)?))
}

/// Returns the value below which this share of the sorted values is; `None` without values.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

fn ratio_of_medians(pairs: &[(f64, f64)]) -> Option<f64> {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (first, second) = (median(&first)?, median(&second)?);
    (second > 0.0).then_some(first / second)
}

/// Returns whether a warm-up may end: the last three windows differ by at most `tolerance` of their
/// median, so the cost no longer falls.
pub fn is_flat(windows: &[f64], tolerance: f64) -> bool {
    let [.., a, b, c] = windows else { return false };
    let last = [*a, *b, *c];
    let Some(middle) = median(&last) else {
        return false;
    };
    last.iter()
        .all(|value| (value - middle).abs() <= tolerance * middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_quantile_is_the_value_below_which_that_share_is() {
        let values: Vec<f64> = (0..=1000).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.0), Some(0.0));
        assert_eq!(quantile(&values, 0.025), Some(25.0));
        assert_eq!(quantile(&values, 0.975), Some(975.0));
        assert_eq!(quantile(&values, 1.0), Some(1000.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn equal_systems_have_a_ratio_of_one_inside_their_interval() {
        let mut random = Random::of(1);
        let noisy = |random: &mut Random| 100.0 + random.below(1000) as f64 / 100.0;
        let pairs: Vec<_> = (0..9)
            .map(|_| (noisy(&mut random), noisy(&mut random)))
            .collect();
        let Ratio { ratio, interval } = ratio(&pairs, &mut random).unwrap();
        let (low, high) = interval.unwrap();
        assert!(low <= 1.0 && 1.0 <= high, "{low}..{high}");
        assert!(low <= ratio && ratio <= high && high - low < 0.2);
        assert!(low < high, "rounds that differ have an interval");
    }

    #[test]
    fn the_interval_covers_all_rounds_when_there_are_few() {
        // Each of three rounds is the median of a draw in 7 of 27 cases or more.
        let pairs = [(1.0, 1.0), (2.0, 1.0), (4.0, 1.0)];
        let found = ratio(&pairs, &mut Random::of(1)).unwrap();
        assert_eq!(found.ratio, 2.0);
        assert_eq!(found.interval, Some((1.0, 4.0)));
    }

    #[test]
    fn what_disturbs_a_whole_round_hardly_widens_the_interval() {
        let slow_rounds = [
            (10.0, 40.0),
            (30.0, 120.0),
            (11.0, 44.0),
            (90.0, 360.0),
            (10.5, 42.0),
        ];
        let Ratio { ratio, interval } = ratio(&slow_rounds, &mut Random::of(1)).unwrap();
        let (low, high) = interval.unwrap();
        for value in [ratio, low, high] {
            assert!((value - 0.25).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn there_is_no_ratio_to_nothing_and_no_interval_of_one_round() {
        let mut random = Random::of(1);
        assert_eq!(ratio(&[], &mut random), None);
        assert_eq!(ratio(&[(1.0, 0.0)], &mut random), None);
        let interval = None;
        let ratio_of_one = Ratio {
            ratio: 0.5,
            interval,
        };
        assert_eq!(ratio(&[(1.0, 2.0)], &mut random), Some(ratio_of_one));
    }

    #[test]
    fn a_warm_up_ends_when_three_windows_agree() {
        assert!(!is_flat(&[10.0, 10.0], 0.05));
        assert!(!is_flat(&[20.0, 12.0, 10.0], 0.05));
        assert!(!is_flat(&[10.0, 10.6, 10.0], 0.05));
        assert!(is_flat(&[10.0, 10.4, 10.0], 0.05));
        assert!(is_flat(&[20.0, 12.0, 10.0, 10.1, 9.9], 0.05));
    }
}
