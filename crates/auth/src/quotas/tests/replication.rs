//! The limit of replication. The figures of the first test are those of Kafka's
//! `ReplicationQuotaManagerTest`.

use std::time::{Duration, Instant};

use crate::quotas::{QuotaWindows, ReplicationRate};

fn rate(limit: u64) -> ReplicationRate {
    let mut rate = ReplicationRate::new(QuotaWindows {
        samples: 10,
        length: Duration::from_secs(1),
    });
    rate.set_limit(Some(limit));
    rate
}

#[test]
fn what_exceeds_the_limit_waits_until_the_rate_has_fallen() {
    let start = Instant::now();
    let mut rate = rate(100);
    assert_eq!(rate.delay(start), Duration::ZERO);
    rate.record(1, start);
    assert_eq!(rate.delay(start), Duration::ZERO);
    // 100 bytes in a window of a second are the limit, one more exceeds it.
    rate.record(99, start);
    assert_eq!(rate.delay(start), Duration::ZERO);
    rate.record(1, start);
    assert!(rate.delay(start) > Duration::ZERO);
    // 101 bytes in two seconds.
    let later = start + Duration::from_secs(2);
    assert_eq!(rate.delay(later), Duration::ZERO);
    rate.record(99, later);
    assert_eq!(rate.delay(later), Duration::ZERO);
    rate.record(1, later);
    assert!(rate.delay(later) > Duration::ZERO);
}

#[test]
fn after_the_delay_the_rate_is_within_the_limit() {
    let start = Instant::now();
    let mut rate = rate(1_000);
    rate.record(5_500, start);
    let delay = rate.delay(start);
    assert_eq!(delay, Duration::from_millis(5_500));
    let almost = start + delay - Duration::from_millis(2);
    assert!(rate.delay(almost) > Duration::ZERO);
    assert_eq!(rate.delay(start + delay), Duration::ZERO);
}

#[test]
fn each_window_carries_about_the_limit() {
    let start = Instant::now();
    let mut rate = rate(1_000_000);
    let (mut now, mut sent) = (start, 0_usize);
    // A sender of messages of 100,000 bytes waits for each returned delay.
    while now < start + Duration::from_secs(60) {
        let delay = rate.delay(now);
        if delay.is_zero() {
            rate.record(100_000, now);
            sent += 100_000;
            now += Duration::from_millis(1);
        } else {
            now += delay.min(Duration::from_secs(1));
        }
    }
    assert!((57_000_000..=63_000_000).contains(&sent), "{sent} bytes");
}

#[test]
fn time_without_transfers_is_not_saved_up() {
    let start = Instant::now();
    let mut rate = rate(100);
    let later = start + Duration::from_secs(100);
    rate.record(101, later);
    assert!(rate.delay(later) > Duration::ZERO);
}

#[test]
fn a_limit_of_zero_or_none_is_no_error() {
    let now = Instant::now();
    let mut rate = rate(0);
    assert_eq!(rate.delay(now), Duration::ZERO);
    rate.record(1, now);
    assert_eq!(rate.delay(now), Duration::from_secs(10));
    rate.set_limit(None);
    assert_eq!(rate.delay(now), Duration::ZERO);
    assert_eq!(rate.limit(), None);
}
