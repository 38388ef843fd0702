//! Token buckets of controller mutations.

use super::super::{Applicable, Enforcement, EntityRef, Exceeded, MutationBuckets, QuotaWindows};
use super::*;

const USER: EntityRef<'_> = EntityRef::User(Some("ANONYMOUS"));

/// Tests with ten samples of a second, as `ControllerMutationQuotaManagerTest` does.
struct Buckets {
    buckets: MutationBuckets,
    limit: f64,
    clock: Clock,
}

impl Buckets {
    fn new(limit: f64) -> Self {
        let windows = QuotaWindows {
            samples: 10,
            length: Duration::from_secs(1),
        };
        Self {
            buckets: MutationBuckets::new(windows),
            limit,
            clock: Clock::new(),
        }
    }

    /// Charges one request with these numbers of partitions.
    fn request(
        &mut self,
        enforcement: Enforcement,
        partitions: &[usize],
    ) -> (Vec<Result<(), Exceeded>>, Duration) {
        let (applicable, now) = (
            Applicable {
                entity: USER,
                limit: self.limit,
            },
            self.clock.0,
        );
        let mut quota = self
            .buckets
            .quota(&applicable, "ANONYMOUS", "c", 0.0, enforcement, now);
        let results = partitions.iter().map(|n| quota.charge(*n)).collect();
        self.buckets
            .settle(&applicable, "ANONYMOUS", "c", &quota, 0.0, now);
        (results, quota.throttle_time())
    }

    fn one(&mut self, enforcement: Enforcement, partitions: usize) -> Duration {
        self.request(enforcement, &[partitions]).1
    }
}

#[test]
fn a_strict_quota_refuses_mutations_once_it_is_used() {
    // `StrictControllerMutationQuotaTest`.
    let mut buckets = Buckets::new(10.0);
    let (results, throttle_time) = buckets.request(Enforcement::Strict, &[90, 90, 90, 1]);
    let exceeded = Err(Exceeded(ms(8_000)));
    assert_eq!(results, [Ok(()), Ok(()), exceeded, exceeded]);
    assert_eq!(throttle_time, ms(8_000));
    buckets.clock.sleep(5_000);
    assert_eq!(buckets.one(Enforcement::Strict, 1), ms(3_000));
    buckets.clock.sleep(3_000);
    assert_eq!(buckets.one(Enforcement::Strict, 1), ms(0));
}

#[test]
fn a_permissive_quota_throttles_and_refuses_nothing() {
    // `PermissiveControllerMutationQuotaTest`.
    let mut buckets = Buckets::new(10.0);
    assert_eq!(buckets.one(Enforcement::Permissive, 90), ms(0));
    assert_eq!(buckets.one(Enforcement::Permissive, 90), ms(8_000));
    let (results, throttle_time) = buckets.request(Enforcement::Permissive, &[90]);
    assert_eq!((results, throttle_time), (vec![Ok(())], ms(17_000)));
}

#[test]
fn a_burst_above_the_bucket_is_accepted_once() {
    // `ControllerMutationQuotaManagerTest.testControllerMutationQuotaViolation`.
    let mut buckets = Buckets::new(10.0);
    for _ in 0..10 {
        assert_eq!(buckets.one(Enforcement::Strict, 10), ms(0));
        buckets.clock.sleep(1_000);
    }
    assert_eq!(buckets.one(Enforcement::Strict, 110), ms(0));
    assert_eq!(buckets.one(Enforcement::Strict, 110), ms(1_000));
    buckets.clock.sleep(1_000);
    assert_eq!(buckets.one(Enforcement::Strict, 110), ms(0));
}

#[test]
fn a_bucket_fills_at_the_rate_of_its_quota_and_never_overflows() {
    // `TokenBucketTest`: 5 tokens a second and at most 50 here; it uses windows of two seconds.
    let mut buckets = Buckets::new(5.0);
    buckets.one(Enforcement::Permissive, 60);
    assert_eq!(buckets.one(Enforcement::Permissive, 0), ms(2_000));
    buckets.clock.sleep(4_000);
    assert_eq!(buckets.one(Enforcement::Permissive, 15), ms(1_000));
    buckets.clock.sleep(3_600_000);
    assert_eq!(buckets.one(Enforcement::Permissive, 51), ms(200));
}

#[test]
fn a_request_that_is_planned_again_is_charged_once() {
    let mut buckets = Buckets::new(10.0);
    let (applicable, now) = (
        Applicable {
            entity: USER,
            limit: 10.0,
        },
        buckets.clock.0,
    );
    let mut taken = 0.0;
    for _ in 0..3 {
        let strict = Enforcement::Strict;
        let mut quota = buckets
            .buckets
            .quota(&applicable, "ANONYMOUS", "c", taken, strict, now);
        assert_eq!(quota.charge(100), Ok(()));
        taken = buckets
            .buckets
            .settle(&applicable, "ANONYMOUS", "c", &quota, taken, now);
    }
    // The bucket is empty and not in debt.
    assert_eq!(buckets.one(Enforcement::Strict, 1), ms(0));
    assert_eq!(buckets.one(Enforcement::Strict, 1), ms(100));
}
