//! Rates over sampled windows, and the memory that they need.

use proptest::prelude::*;

use super::super::sensors::NAME_BYTES_MAX;
use super::super::{ClientRates, QuotaType, QuotaWindows, Rate, SENSORS_MAX};
use super::*;

/// A percentage of a second.
fn percent(milliseconds: f64) -> f64 {
    milliseconds / 10.0
}

fn produce() -> ClientRates {
    ClientRates::new(QuotaType::Produce, QuotaWindows::default())
}

/// Ends a sample that has values at its beginning and at its end.
fn complete_sample(rate: &mut Rate, windows: &QuotaWindows, clock: &mut Clock) {
    rate.record(windows, 1.0, clock.0);
    clock.sleep(999);
    rate.record(windows, 1.0, clock.0);
    clock.sleep(1);
}

/// The sum of the samples that count.
fn sum(rate: &mut Rate, windows: &QuotaWindows, clock: &Clock) -> f64 {
    let (rate, measured) = rate.measure(windows, clock.0);
    (rate * measured.as_secs_f64()).round()
}

#[test]
fn a_sample_counts_while_it_overlaps_the_windows() {
    // `SampledStatTest`.
    let windows = QuotaWindows {
        samples: 2,
        length: Duration::from_secs(1),
    };
    let (mut rate, mut clock) = (Rate::default(), Clock::new());
    complete_sample(&mut rate, &windows, &mut clock);
    clock.sleep(1_500);
    assert_eq!(sum(&mut rate, &windows, &clock), 2.0);
    clock.sleep(1_000);
    assert_eq!(sum(&mut rate, &windows, &clock), 0.0);
    let mut rate = Rate::default();
    complete_sample(&mut rate, &windows, &mut clock);
    clock.sleep(100);
    complete_sample(&mut rate, &windows, &mut clock);
    clock.sleep(100);
    rate.record(&windows, 1.0, clock.0);
    assert_eq!(sum(&mut rate, &windows, &clock), 5.0);
}

#[test]
fn a_throttle_time_brings_the_rate_back_to_the_limit() {
    // `QuotaUtilsTest`: without values, the measured time is all windows but the current one.
    let time = |sum: f64, limit, samples| {
        let windows = QuotaWindows {
            samples,
            length: Duration::from_secs(1),
        };
        let (mut rate, now) = (Rate::default(), Instant::now());
        rate.record(&windows, sum, now);
        rate.throttle_time(&windows, limit, now)
    };
    assert_eq!(time(165.0, 16.5, 11), ms(0));
    assert_eq!(time(165.0, 20.4, 11), ms(0));
    assert_eq!(time(200.0, 50.0, 3), ms(2_000));
    assert_eq!(time(55.0, 50.0, 2), ms(100));
}

#[test]
fn a_client_above_its_byte_rate_is_throttled_until_its_burst_is_over() {
    // `ClientQuotaManagerTest.testQuotaViolation`.
    let (mut rates, mut clock) = (produce(), Clock::new());
    rates.set_limit(&QuotaEntity::ClientId(None), Some(500.0));
    for _ in 0..10 {
        assert_eq!(rates.record("ANONYMOUS", "unknown", 400.0, clock.0), ms(0));
        clock.sleep(1_000);
    }
    // 400 * 10 + 2300 = 6300 bytes in 10.5 seconds are 600 a second, so 20 % of 10.5 seconds.
    clock.sleep(500);
    assert_eq!(
        rates.record("ANONYMOUS", "unknown", 2_300.0, clock.0),
        ms(2_100)
    );
    clock.sleep(2_100);
    for _ in 0..10 {
        rates.record("ANONYMOUS", "unknown", 400.0, clock.0);
        clock.sleep(1_000);
    }
    assert_eq!(rates.record("ANONYMOUS", "unknown", 0.0, clock.0), ms(0));
}

#[test]
fn a_client_above_its_request_time_is_throttled_for_a_window_at_most() {
    // `ClientRequestQuotaManagerTest.testRequestPercentageQuotaViolation`.
    let mut rates = ClientRates::new(QuotaType::Request, QuotaWindows::default());
    let mut clock = Clock::new();
    rates.set_limit(&both("ANONYMOUS", "test-client"), Some(1.0));
    let mut record =
        |milliseconds, now| rates.record("ANONYMOUS", "test-client", percent(milliseconds), now);
    for _ in 0..10 {
        assert_eq!(record(4.0, clock.0), ms(0));
        clock.sleep(1_000);
    }
    clock.sleep(500);
    assert_eq!(record(67.1, clock.0), ms(210));
    clock.sleep(210);
    for _ in 0..11 {
        record(4.0, clock.0);
        clock.sleep(1_000);
    }
    assert_eq!(record(0.0, clock.0), ms(0));
    assert_eq!(record(500.0, clock.0), ms(1_000));
    for _ in 0..10 {
        clock.sleep(1_000);
        assert_eq!(record(0.0, clock.0), ms(1_000));
    }
    clock.sleep(1_000);
    assert_eq!(record(0.0, clock.0), ms(0));
}

#[test]
fn what_a_throttled_client_does_not_get_does_not_count() {
    let (mut rates, mut clock) = (produce(), Clock::new());
    rates.set_limit(&user("alice"), Some(100.0));
    let mut record = |value, now: Instant| rates.record_unless_throttled("alice", "c", value, now);
    assert_eq!(record(900.0, clock.0), ms(0));
    // 1100 bytes in ten seconds are a tenth too many: one second.
    assert_eq!(record(200.0, clock.0), ms(1_000));
    assert_eq!(record(200.0, clock.0), ms(1_000));
    assert_eq!(record(100.0, clock.0), ms(0));
    clock.sleep(11_000);
    assert_eq!(record(1_000.0, clock.0), ms(0));
}

#[test]
fn a_client_gets_a_batch_that_its_quota_does_not_allow_once_it_has_waited() {
    let (mut rates, mut clock) = (produce(), Clock::new());
    rates.set_limit(&user("alice"), Some(100.0));
    let mut record = |value, now: Instant| rates.record_unless_throttled("alice", "c", value, now);
    assert_eq!(record(5_000.0, clock.0), ms(0));
    assert!(record(1.0, clock.0) > ms(30_000));
    clock.sleep(11_000);
    assert_eq!(record(5_000.0, clock.0), ms(0));
}

#[test]
fn the_most_that_is_never_throttled_is_what_the_whole_windows_allow() {
    // `testGetMaxValueInQuotaWindowWithNonDefaultQuotaWindow`.
    let windows = QuotaWindows {
        samples: 4,
        length: Duration::from_secs(1),
    };
    let mut rates = ClientRates::new(QuotaType::Fetch, windows);
    assert_eq!(rates.burst("userA", "client1"), None);
    rates.set_limit(&QuotaEntity::User(None), Some(10.0));
    assert_eq!(rates.burst("userA", "client1"), Some(30.0));
    assert_eq!(
        rates.record("userA", "client1", 30.0, Instant::now()),
        ms(0)
    );
}

#[test]
fn clients_without_a_quota_are_not_counted() {
    let (mut rates, clock) = (produce(), Clock::new());
    rates.set_limit(&user("alice"), Some(100.0));
    for client in 0..1_000 {
        rates.record("bob", &client.to_string(), 1e9, clock.0);
    }
    assert_eq!(rates.sensors(), (0, 0));
    rates.record("alice", "a", 1.0, clock.0);
    rates.record("alice", "b", 1.0, clock.0);
    assert_eq!(rates.sensors(), (1, 0), "one for all clients of the user");
    rates.set_limit(&user("alice"), None);
    assert!(!rates.has_limits());
}

#[test]
fn a_client_that_invents_names_uses_bounded_memory_and_gains_nothing() {
    let (mut rates, mut clock) = (produce(), Clock::new());
    rates.set_limit(&QuotaEntity::ClientId(None), Some(10.0));
    let mut throttled = 0;
    for name in 0..SENSORS_MAX + 1_000 {
        let throttle_time = rates.record("mallory", &format!("client-{name}"), 90.0, clock.0);
        throttled += usize::from(!throttle_time.is_zero());
    }
    assert_eq!(rates.sensors(), (SENSORS_MAX, 1));
    // Of the thousand that share a quota, only the first does not exceed it.
    assert_eq!(throttled, 999);
    // A known client is still counted alone.
    assert_eq!(rates.record("mallory", "client-0", 10.0, clock.0), ms(0));
    // Sensors are removed once they count nothing.
    clock.sleep(11_000);
    rates.record("mallory", "another", 1.0, clock.0);
    assert_eq!(rates.sensors(), (1, 0));
}

#[test]
fn long_names_are_limited_by_their_bytes() {
    let (mut rates, clock) = (produce(), Clock::new());
    rates.set_limit(&QuotaEntity::ClientId(None), Some(10.0));
    let long = "x".repeat(32_000);
    for name in 0..1_000 {
        rates.record("mallory", &format!("{long}{name:03}"), 1.0, clock.0);
    }
    assert_eq!(rates.sensors(), (NAME_BYTES_MAX / 32_003, 1));
}

#[test]
fn sensors_expire_after_an_hour_without_use() {
    let (mut rates, mut clock) = (produce(), Clock::new());
    rates.set_limit(&QuotaEntity::ClientId(None), Some(10.0));
    rates.record("u", "idle", 1.0, clock.0);
    clock.sleep(30 * 60 * 1_000);
    rates.record("u", "busy", 1.0, clock.0);
    assert_eq!(rates.sensors(), (2, 0));
    clock.sleep(30 * 60 * 1_000);
    rates.record("u", "busy", 1.0, clock.0);
    assert_eq!(rates.sensors(), (1, 0));
}

proptest! {
    /// A client that waits for its throttle times uses at most twice its quota. Each check finds
    /// limit * (windows + throttle time) in the windows. They have 12 seconds at most, and begin 11
    /// seconds apart when they follow one another; the throttle times are a part of the time.
    #[test]
    fn a_client_that_waits_stays_within_its_quota(
        requests in prop::collection::vec((1.0f64..5_000.0, 0u64..400), 1..400),
        limit in 50.0f64..5_000.0,
    ) {
        let (mut rates, mut clock) = (produce(), Clock::new());
        rates.set_limit(&user("alice"), Some(limit));
        let began = clock.0;
        let (mut sum, mut largest) = (0.0, 0.0f64);
        for (bytes, pause) in requests {
            let throttle_time = rates.record("alice", "", bytes, clock.0);
            (sum, largest) = (sum + bytes, largest.max(bytes));
            clock.0 += throttle_time + ms(pause);
        }
        let allowed = limit * (clock.0 - began).as_secs_f64();
        let most = (1.0 + 12.0 / 11.0) * allowed + 12.0 * limit + largest;
        prop_assert!(sum <= most, "{sum} bytes, {allowed} allowed");
    }
}
