//! The time for which an active controller may rely on a majority of the voters.

use std::time::Duration;

use tokio::time::Instant;

/// Returns when a majority of the voters has answered, from when each of them answered last:
/// since then at most a minority may have elected another leader.
pub(super) fn majority_answered(mut answers: Vec<Option<Instant>>) -> Option<Instant> {
    // The newest first, and voters without an answer last.
    answers.sort_unstable_by(|a, b| b.cmp(a));
    answers.get(answers.len() / 2).copied().flatten()
}

/// Returns when to check a lease that ends at `until`: when it ends, but at least twice in its
/// length, so that the actor finds out that its process was paused. A lease that has ended may
/// begin again.
pub(super) fn next_check(until: Instant, now: Instant, length: Duration) -> Instant {
    if until <= now {
        return now + length / 4;
    }
    until.min(now + length / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(1_200);

    #[test]
    fn a_majority_has_answered_when_its_slowest_member_has() {
        let began = Instant::now();
        let at = |ms| Some(began + Duration::from_millis(ms));
        assert_eq!(majority_answered(vec![at(9)]), at(9));
        assert_eq!(majority_answered(vec![at(9), at(4)]), at(4));
        assert_eq!(majority_answered(vec![at(2), at(9), at(4)]), at(4));
        assert_eq!(majority_answered(vec![None, at(9), at(4)]), at(4));
        assert_eq!(majority_answered(vec![None, at(9), None]), None);
        assert_eq!(majority_answered(vec![at(1), at(9), at(4), at(3)]), at(3));
        assert_eq!(majority_answered(vec![]), None);
    }

    #[test]
    fn a_lease_is_checked_at_its_end_and_seldom_while_it_is_renewed() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!(next_check(now + ms(50), now, LEASE), now + ms(50));
        assert_eq!(next_check(now + ms(1_000), now, LEASE), now + ms(600));
        assert_eq!(next_check(now, now, LEASE), now + ms(300));
    }
}
