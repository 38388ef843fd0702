//! Tests of instances and their subscriptions.

use dohle_config::Properties;

use super::*;

const BYTES_MAX: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);

fn id(number: u64) -> KafkaUuid {
    KafkaUuid::from_parts(7, number)
}

fn client(client_id: &str) -> ClientIdentity {
    ClientIdentity {
        client_id: Some(client_id.to_owned()),
        software_name: "apache-kafka-java".to_owned(),
        software_version: "4.3.1".to_owned(),
        address: "[::ffff:10.0.0.7]:5000".parse().unwrap(),
    }
}

fn subscription(values: &[(&str, &str)]) -> ClientMetricsConfig {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let own: Properties = values.iter().map(owned).collect();
    ClientMetricsConfig::resolve(&own).unwrap()
}

/// Instances, and a clock that the test turns.
struct Harness {
    instances: Instances,
    now: Instant,
}

impl Harness {
    fn new(max: usize) -> Self {
        Self {
            instances: Instances::with_at_most(max),
            now: Instant::now(),
        }
    }

    /// Returns a harness with a subscription of all clients to all metrics, each second.
    fn subscribed() -> Self {
        let mut harness = Self::new(INSTANCES_MAX);
        let all = subscription(&[("interval.ms", "1000"), ("metrics", "*")]);
        harness.instances.subscribe(vec![all]);
        harness
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn get(&mut self, number: u64) -> Result<Subscription, ErrorCode> {
        let (client, now) = (client("app"), self.now);
        self.instances.on_get(id(number), &client, number, now)
    }

    /// Pushes for the current subscription of the instance, which is changed by `change`.
    fn push(&mut self, number: u64, change: impl FnOnce(&mut Push)) -> Result<(), ErrorCode> {
        let mut push = Push {
            instance: id(number),
            subscription_id: self.instances.subscription(id(number), &client("app")).id,
            is_terminating: false,
            codec: 0,
            bytes: 10,
        };
        change(&mut push);
        let (client, now) = (client("app"), self.now);
        let instances = &mut self.instances;
        let accepted = instances.on_push(&push, &client, number, BYTES_MAX, now)?;
        assert_eq!(Some(accepted.id()), u8::try_from(push.codec).ok());
        instances.on_exported(push.instance, Ok(()));
        Ok(())
    }

    fn check_push(
        &mut self,
        number: u64,
        change: impl FnOnce(&mut Push),
        expected: Result<(), ErrorCode>,
    ) {
        assert_eq!(self.push(number, change), expected);
    }
}

const THROTTLED: ErrorCode = ErrorCode::ThrottlingQuotaExceeded;

#[test]
fn a_client_without_a_matching_subscription_pushes_nothing_and_asks_every_five_minutes() {
    let mut harness = Harness::new(INSTANCES_MAX);
    let others = subscription(&[("metrics", "*"), ("match", "client_id=other")]);
    harness.instances.subscribe(vec![others]);
    let subscription = harness.get(1).unwrap();
    assert_eq!(subscription.metrics, Vec::<String>::new());
    assert_eq!(subscription.interval, Duration::from_secs(300));
    assert_eq!(harness.after(299 * SECOND).get(1), Err(THROTTLED));
    assert_eq!(harness.instances.counts.throttled, 1);
    assert_eq!(harness.after(SECOND).get(1), Ok(subscription));
}

#[test]
fn matching_subscriptions_are_combined() {
    let mut harness = Harness::new(INSTANCES_MAX);
    let mut subscriptions = vec![
        subscription(&[("metrics", "b.,a."), ("interval.ms", "60000")]),
        subscription(&[
            ("metrics", "a.,c."),
            ("interval.ms", "30000"),
            (
                "match",
                "client_id=ap+,client_software_name=apache-kafka-java,\
                 client_software_version=4.*,client_source_address=10.0.0.7,\
                 client_source_port=5000,client_instance_id=.*Q",
            ),
        ]),
        subscription(&[("metrics", "d."), ("match", "client_source_port=1")]),
    ];
    harness.instances.subscribe(subscriptions.clone());
    let combined = harness.get(1).unwrap();
    assert_eq!(combined.metrics, ["a.", "b.", "c."]);
    assert_eq!(combined.interval, 30 * SECOND);
    // The id of instance 2 ends with another letter.
    assert_eq!(harness.get(2).unwrap().metrics, ["a.", "b."]);

    subscriptions.push(subscription(&[("metrics", "e.,*")]));
    harness.instances.subscribe(subscriptions);
    let all = harness.get(1).unwrap();
    assert_eq!(all.metrics, ["*"]);
    assert_eq!(all.interval, 30 * SECOND);
}

/// The numbers are those of Apache Kafka 4.3.1 for these instances and subscriptions.
#[test]
fn ids_of_subscriptions_are_those_of_kafka() {
    let of = |metrics: &[&str], interval: u64, instance: u128| {
        let metrics: Vec<String> = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        let instance = KafkaUuid::from_parts((instance >> 64) as u64, instance as u64);
        subscription_id(&metrics, Duration::from_millis(interval), instance)
    };
    let first = 0xabab_1111_1111_1111_0000_0000_0000_0000;
    assert_eq!(of(&[], 300_000, first), 1_853_709_278);
    let second = 0xabab_2222_2222_2222_0000_0000_0000_0000;
    assert_eq!(of(&["org.apache.kafka."], 60_000, second), -751_725_662);
}

#[test]
fn after_a_change_of_the_subscriptions_a_client_may_ask_at_once() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    assert_eq!(harness.get(1), Err(THROTTLED));
    let fewer = subscription(&[("metrics", "a."), ("interval.ms", "5000")]);
    harness.instances.subscribe(vec![fewer]);
    assert_eq!(harness.get(1).unwrap().metrics, ["a."]);
    assert_eq!(harness.instances.len(), 1);
}

#[test]
fn the_first_push_after_a_question_is_in_time_and_the_next_one_after_the_interval() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    harness.after(SECOND / 10);
    harness.check_push(1, |_| {}, Ok(()));
    harness.after(SECOND / 2);
    harness.check_push(1, |_| {}, Err(THROTTLED));
    harness.after(SECOND / 2);
    harness.check_push(1, |_| {}, Ok(()));
    let counts = harness.instances.counts;
    assert_eq!((counts.exported, counts.throttled), (2, 1));
}

#[test]
fn an_instance_may_push_to_a_broker_that_does_not_know_it() {
    let mut harness = Harness::subscribed();
    harness.check_push(1, |_| {}, Ok(()));
    harness.check_push(1, |_| {}, Err(THROTTLED));
}

#[test]
fn the_last_push_is_accepted_early_and_none_after_it() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    harness.check_push(1, |_| {}, Ok(()));
    harness.check_push(1, |push| push.is_terminating = true, Ok(()));
    harness.after(10 * SECOND);
    let refused = Err(ErrorCode::InvalidRequest);
    harness.check_push(1, |push| push.is_terminating = true, refused);
    harness.check_push(1, |_| {}, refused);
    // As in Kafka, the refused push has taken the end back.
    harness.check_push(1, |_| {}, Ok(()));
}

#[test]
fn reserved_ids_are_refused_and_leave_no_instance() {
    let mut harness = Harness::subscribed();
    for reserved in [KafkaUuid::ZERO, KafkaUuid::ONE] {
        let refused = Err(ErrorCode::InvalidRequest);
        harness.check_push(1, |push| push.instance = reserved, refused);
    }
    assert_eq!(harness.instances.len(), 0);
}

#[test]
fn pushes_are_checked_in_the_order_of_kafka() {
    let bad = |fixed: usize| {
        move |push: &mut Push| {
            if fixed < 1 {
                push.subscription_id += 1;
            }
            if fixed < 2 {
                push.codec = 5;
            }
            if fixed < 3 {
                push.bytes = BYTES_MAX + 1;
            }
        }
    };
    let mut harness = Harness::subscribed();
    harness.check_push(1, |_| {}, Ok(()));
    harness.check_push(1, bad(0), Err(THROTTLED));
    for (fixed, code) in [
        (0, ErrorCode::UnknownSubscriptionId),
        (1, ErrorCode::UnsupportedCompressionType),
        (2, ErrorCode::TelemetryTooLarge),
    ] {
        harness.after(SECOND);
        harness.check_push(1, bad(fixed), Err(code));
    }
    harness.after(SECOND);
    harness.check_push(1, |push| push.bytes = BYTES_MAX, Ok(()));
    harness.after(SECOND);
    harness.check_push(
        1,
        |push| push.codec = -1,
        Err(ErrorCode::UnsupportedCompressionType),
    );
    assert_eq!(harness.instances.counts.unknown_subscription, 1);
    for codec in 0..=4 {
        harness.after(SECOND);
        harness.check_push(1, |push| push.codec = codec, Ok(()));
    }
}

#[test]
fn after_an_error_that_asks_for_it_a_client_may_ask_at_once() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    harness.check_push(
        1,
        |push| push.subscription_id += 1,
        Err(ErrorCode::UnknownSubscriptionId),
    );
    harness.get(1).unwrap();
    assert_eq!(harness.get(1), Err(THROTTLED));
    harness.after(SECOND);
    harness.check_push(
        1,
        |push| push.codec = 9,
        Err(ErrorCode::UnsupportedCompressionType),
    );
    harness.get(1).unwrap();
    harness.after(SECOND);
    harness.check_push(
        1,
        |push| push.bytes = BYTES_MAX + 1,
        Err(ErrorCode::TelemetryTooLarge),
    );
    assert_eq!(harness.get(1), Err(THROTTLED));
    harness.after(SECOND).get(1).unwrap();
    let damaged = Err(ErrorCode::InvalidRecord);
    harness.instances.on_exported(id(1), damaged);
    assert_eq!(harness.get(1), Err(THROTTLED));
    assert_eq!(harness.instances.counts.export_errors, 1);
}

#[test]
fn an_instance_expires_after_a_minute_or_three_intervals() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    harness.instances.exposed(id(1)).unwrap();
    harness.after(30 * SECOND).get(2).unwrap();
    let now = harness.after(30 * SECOND - SECOND / 10).now;
    harness.instances.expire(now);
    assert_eq!(harness.instances.len(), 2);
    let now = harness.after(SECOND / 10).now;
    harness.instances.expire(now);
    assert_eq!(harness.instances.len(), 1);
    assert_eq!(harness.instances.take_removed(), [id(1)]);
    // The other one has no series that would have to be removed.
    let now = harness.after(30 * SECOND).now;
    harness.instances.expire(now);
    assert_eq!(harness.instances.len(), 0);
    assert_eq!(harness.instances.take_removed(), []);

    let slow = subscription(&[("interval.ms", "100000")]);
    harness.instances.subscribe(vec![slow]);
    harness.get(1).unwrap();
    let now = harness.after(299 * SECOND).now;
    harness.instances.expire(now);
    assert_eq!(harness.instances.len(), 1);
    let now = harness.after(SECOND).now;
    harness.instances.expire(now);
    assert_eq!(harness.instances.len(), 0);
}

#[test]
fn a_request_defers_the_end_of_an_instance() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    for _ in 0..5 {
        harness.after(59 * SECOND).get(1).unwrap();
    }
    assert_eq!(harness.instances.len(), 1);
    assert_eq!(harness.instances.by_use.len(), 1);
    assert_eq!(harness.instances.by_expiry.len(), 1);
}

#[test]
fn a_new_instance_replaces_the_one_that_was_used_least_recently() {
    let mut harness = Harness::new(3);
    for number in 1..=3 {
        harness.get(number).unwrap();
        harness.instances.exposed(id(number)).unwrap();
    }
    // A request that is refused counts too.
    harness.get(1).unwrap_err();
    harness.get(4).unwrap();
    assert_eq!(harness.instances.take_removed(), [id(2)]);
    harness.get(5).unwrap();
    assert_eq!(harness.instances.take_removed(), [id(3)]);
    assert_eq!(harness.instances.len(), 3);
    harness.get(1).unwrap_err();
}

#[test]
fn an_instance_is_removed_with_its_last_connection() {
    let mut harness = Harness::subscribed();
    let (client, now) = (client("app"), harness.now);
    let instances = &mut harness.instances;
    instances.on_get(id(1), &client, 10, now).unwrap();
    instances.exposed(id(1)).unwrap();
    instances.on_get(id(1), &client, 11, now).unwrap_err();
    instances.on_disconnect(id(1), 10);
    assert_eq!(instances.len(), 1);
    instances.on_disconnect(id(1), 11);
    assert_eq!((instances.len(), instances.by_use.len()), (0, 0));
    assert_eq!(instances.by_expiry.len(), 0);
    assert_eq!(instances.take_removed(), [id(1)]);
    instances.on_disconnect(id(1), 11);
    assert_eq!(instances.take_removed(), []);
}

#[test]
fn series_of_an_instance_survive_a_change_of_its_subscription() {
    let mut harness = Harness::subscribed();
    harness.get(1).unwrap();
    harness.instances.exposed(id(1)).unwrap();
    harness.instances.subscribe(Vec::new());
    harness.get(1).unwrap();
    assert_eq!(harness.instances.take_removed(), []);
    harness.instances.on_disconnect(id(1), 1);
    assert_eq!(harness.instances.take_removed(), [id(1)]);
    assert_eq!(harness.instances.exposed(id(1)), None);
}
