//! Which quota applies to a client.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::{ClientRates, QuotaLimits, QuotaType, QuotaWindows};
use super::*;

struct Quotas {
    limits: QuotaLimits,
    rates: ClientRates,
    now: Instant,
}

impl Quotas {
    fn new() -> Self {
        Self {
            limits: QuotaLimits::default(),
            rates: ClientRates::new(QuotaType::Produce, QuotaWindows::default()),
            now: Instant::now(),
        }
    }

    fn set(&mut self, entity: QuotaEntity, limit: impl Into<Option<u32>>) {
        let limit = limit.into().map(f64::from);
        self.limits.set(&entity, limit);
        self.rates.set_limit(&entity, limit);
    }

    /// Checks the quota that applies, and whether a client that used `value` times the number of
    /// windows is throttled.
    #[track_caller]
    fn check(&mut self, client: (&str, &str), limit: u32, value: u32, is_throttled: bool) {
        let (user, client_id) = client;
        let applicable = self.limits.applicable(user, client_id);
        assert_eq!(applicable.map(|it| it.limit), Some(f64::from(limit)));
        let value = f64::from(value * 11);
        let throttle_time = self.rates.record(user, client_id, value, self.now);
        assert_eq!(!throttle_time.is_zero(), is_throttled, "{throttle_time:?}");
    }
}

/// `ClientQuotaManagerTest.testQuotaConfigPrecedence`, step by step.
#[test]
fn the_most_specific_quota_applies() {
    let mut quotas = Quotas::new();
    let default_of = |user: &str| QuotaEntity::UserAndClientId(Some(user.into()), None);
    quotas.set(QuotaEntity::User(None), 1_000);
    quotas.set(QuotaEntity::ClientId(None), 2_000);
    quotas.set(QuotaEntity::UserAndClientId(None, None), 3_000);
    quotas.set(user("userA"), 4_000);
    quotas.set(both("userA", "client1"), 5_000);
    quotas.set(user("userB"), 6_000);
    quotas.set(both("userB", "client1"), 7_000);
    quotas.set(default_of("userB"), 8_000);
    quotas.set(user("userC"), 10_000);
    quotas.set(client_id("client1"), 9_000);

    quotas.check(("userA", "client1"), 5_000, 4_500, false);
    quotas.check(("userA", "client2"), 4_000, 4_500, true);
    quotas.check(("userA", "client3"), 4_000, 0, true);
    quotas.check(("userA", "client1"), 5_000, 0, false);

    quotas.check(("userB", "client1"), 7_000, 8_000, true);
    quotas.check(("userB", "client2"), 8_000, 7_000, false);
    quotas.check(("userB", "client3"), 8_000, 7_000, false);

    quotas.check(("userD", "client1"), 3_000, 3_500, true);
    quotas.check(("userD", "client2"), 3_000, 2_500, false);
    quotas.check(("userE", "client1"), 3_000, 2_500, false);

    quotas.set(QuotaEntity::UserAndClientId(None, None), None);
    quotas.check(("userD", "client1"), 1_000, 0, false);
    quotas.check(("userE", "client4"), 1_000, 1_500, true);
    quotas.check(("userF", "client4"), 1_000, 800, false);
    quotas.check(("userF", "client5"), 1_000, 800, true);

    quotas.set(QuotaEntity::User(None), None);
    quotas.check(("userF", "client4"), 2_000, 0, false);
    quotas.check(("userF", "client5"), 2_000, 0, false);
    quotas.check(("userF", "client5"), 2_000, 2_500, true);
    quotas.check(("userG", "client5"), 2_000, 0, true);

    quotas.set(user("userA"), 8_000);
    quotas.set(both("userA", "client1"), 10_000);
    quotas.check(("userA", "client2"), 8_000, 0, false);
    quotas.check(("userA", "client2"), 8_000, 4_500, true);
    quotas.check(("userA", "client1"), 10_000, 0, false);
    quotas.check(("userA", "client1"), 10_000, 6_000, true);
    quotas.set(both("userA", "client1"), None);
    quotas.check(("userA", "client6"), 8_000, 0, true);
    quotas.set(both("userA", "client6"), 11_000);
    quotas.check(("userA", "client6"), 11_000, 8_500, false);
    quotas.set(default_of("userA"), 12_000);
    quotas.set(both("userA", "client6"), None);
    quotas.check(("userA", "client6"), 12_000, 4_000, true);
}

#[test]
fn a_changed_quota_applies_to_what_was_used_before() {
    // `ClientQuotaManagerTest.testQuotaParsing`.
    let mut quotas = Quotas::new();
    quotas.set(user("u"), 2_000);
    quotas.check(("u", "p1"), 2_000, 2_500, true);
    quotas.set(user("u"), 3_000);
    quotas.check(("u", "p1"), 3_000, 0, false);
    quotas.set(user("u"), 500);
    quotas.check(("u", "p1"), 500, 0, true);
    quotas.set(user("u"), None);
    quotas.set(QuotaEntity::User(None), 4_000);
    quotas.check(("u", "p1"), 4_000, 1_000, false);
}

/// A name, the default, or no such part of an entity.
type Part = Option<Option<String>>;

/// Kafka's `DefaultQuotaCallback`, literally: `quotaMetricTags` with several levels of quotas, then
/// `quotaLimit`. Returns the limit, and the tags that name the sensor.
fn reference(
    quotas: &HashMap<(Part, Part), f64>,
    user: &str,
    client: &str,
) -> Option<(f64, String, String)> {
    let named = |name: &str| -> Part { Some(Some(name.to_owned())) };
    let default: Part = Some(None);
    let has = |user: Part, client: Part| quotas.contains_key(&(user, client));
    let (tag_user, tag_client) =
        if has(named(user), named(client)) || has(named(user), default.clone()) {
            (user, client)
        } else if has(named(user), None) {
            (user, "")
        } else if has(default.clone(), named(client)) || has(default.clone(), default.clone()) {
            (user, client)
        } else if has(default.clone(), None) {
            (user, "")
        } else {
            ("", client)
        };
    let get = |user: Part, client: Part| quotas.get(&(user, client)).copied();
    let limit = if !tag_user.is_empty() && !tag_client.is_empty() {
        get(named(tag_user), named(tag_client))
            .or_else(|| get(named(tag_user), default.clone()))
            .or_else(|| get(default.clone(), named(tag_client)))
            .or_else(|| get(default.clone(), default.clone()))
    } else if !tag_user.is_empty() {
        get(named(tag_user), None).or_else(|| get(default.clone(), None))
    } else if !tag_client.is_empty() {
        get(None, named(tag_client)).or_else(|| get(None, default.clone()))
    } else {
        None
    };
    limit.map(|limit| (limit, tag_user.to_owned(), tag_client.to_owned()))
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(None),
        Just(Some(None)),
        "[ab]".prop_map(|name| Some(Some(name))),
    ]
}

proptest! {
    #[test]
    fn precedence_is_that_of_kafkas_callback(
        quotas in prop::collection::hash_map((part(), part()), 1.0f64..100.0, 0..10),
        user in "[ab]|c",
        client in "[ab]|c|",
    ) {
        let mut limits = QuotaLimits::default();
        let arc = |name: &Option<String>| name.as_deref().map(std::sync::Arc::from);
        for ((user, client), limit) in &quotas {
            let entity = match (user, client) {
                (Some(user), Some(client)) => QuotaEntity::UserAndClientId(arc(user), arc(client)),
                (Some(user), None) => QuotaEntity::User(arc(user)),
                (None, Some(client)) => QuotaEntity::ClientId(arc(client)),
                (None, None) => continue,
            };
            limits.set(&entity, Some(*limit));
        }
        let ours = limits.applicable(&user, &client).map(|applicable| {
            use super::super::Scope;
            let (tag_user, tag_client) = match applicable.entity.scope() {
                Scope::User => (user.as_str(), ""),
                Scope::ClientId => ("", client.as_str()),
                Scope::UserAndClientId => (user.as_str(), client.as_str()),
            };
            (applicable.limit, tag_user.to_owned(), tag_client.to_owned())
        });
        prop_assert_eq!(ours, reference(&quotas, &user, &client));
    }
}
