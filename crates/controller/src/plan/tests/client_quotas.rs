//! Tests of AlterClientQuotas, with Kafka's messages, and of the quota of controller mutations.

use std::time::{Duration, Instant};

use dohle_auth::quotas::{
    Applicable, Enforcement, EntityRef, MutationBuckets, MutationQuota, QuotaWindows,
};
use dohle_model::ErrorCode;
use dohle_protocol::messages::alter_client_quotas_request::{
    AlterClientQuotasRequestData, EntityData, EntryData, OpData,
};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Harness, kafka_string, shown};
use crate::plan::{Draft, client_quotas, create_partitions, create_topics, delete_topics};

/// Parses `user=a client-id= : producer_byte_rate=5 request_percentage=-`: an entity, of which a
/// part without a name is the default, and its quotas, of which `-` removes one.
fn entry(text: &str) -> EntryData {
    let (entity, ops) = text.split_once(':').unwrap_or((text, ""));
    let pairs = |text: &str| -> Vec<(String, String)> {
        let pairs = text.split_whitespace().filter_map(|it| it.split_once('='));
        pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let entity = pairs(entity).into_iter().map(|(kind, name)| EntityData {
        entity_type: kafka_string(&kind),
        entity_name: match name.as_str() {
            "" => None,
            "''" => Some(kafka_string("")),
            name => Some(kafka_string(name)),
        },
        ..EntityData::default()
    });
    let ops = pairs(ops).into_iter().map(|(key, value)| OpData {
        key: kafka_string(&key),
        value: value.parse().unwrap_or(0.0),
        remove: value == "-",
        ..OpData::default()
    });
    EntryData {
        entity: entity.collect(),
        ops: ops.collect(),
        ..EntryData::default()
    }
}

/// Alters the quotas of these entries and shows the records and the errors.
fn alter(draft: &mut Draft, entries: &[&str], validate_only: bool) -> String {
    let request = AlterClientQuotasRequestData {
        entries: entries.iter().map(|text| entry(text)).collect(),
        validate_only,
        ..AlterClientQuotasRequestData::default()
    };
    let first = draft.records.len();
    let response = client_quotas::alter(draft, &request);
    let records = draft.records[first..].iter().map(|it| format!("{it:?}\n"));
    let errors = response.entries.iter().filter(|it| it.error_code != 0);
    let errors = errors.map(|it| shown(it.error_code, it.error_message.as_ref()) + "\n");
    records.chain(errors).collect()
}

#[track_caller]
fn check(entries: &[&str], expected: Expect) {
    let mut harness = Harness::new(true);
    expected.assert_eq(&alter(&mut harness.draft, entries, false));
}

#[test]
fn only_what_differs_is_written() {
    let mut harness = Harness::new(true);
    let draft = &mut harness.draft;
    let set = ["user=alice : producer_byte_rate=5 consumer_byte_rate=7"];
    assert_eq!(alter(draft, &set, true), "", "only validated");
    assert_eq!(alter(draft, &set, false).lines().count(), 2);
    assert_eq!(alter(draft, &set, false), "");
    let changed = ["user=alice : producer_byte_rate=5 consumer_byte_rate=8 request_percentage=-"];
    assert_eq!(alter(draft, &changed, false).lines().count(), 1);
    let removed = ["user=alice : producer_byte_rate=- consumer_byte_rate=-"];
    assert_eq!(alter(draft, &removed, false).lines().count(), 2);
    assert!(draft.image.client_quotas.is_empty());
}

#[test]
fn each_entity_has_a_record_of_its_own() {
    check(
        &[
            "user=alice : producer_byte_rate=5",
            "user= : request_percentage=0.5",
            "client-id= : controller_mutation_rate=1",
            "user=alice client-id=app : consumer_byte_rate=7",
            "user= client-id=app : consumer_byte_rate=7",
            "ip=10.0.0.1 : connection_creation_rate=3",
            "ip= : connection_creation_rate=4",
        ],
        expect![[r#"
            ClientQuota { entity: User(Some("alice")), key: "producer_byte_rate", value: Some(QuotaValue(5.0)) }
            ClientQuota { entity: User(None), key: "request_percentage", value: Some(QuotaValue(0.5)) }
            ClientQuota { entity: ClientId(None), key: "controller_mutation_rate", value: Some(QuotaValue(1.0)) }
            ClientQuota { entity: UserAndClientId(Some("alice"), Some("app")), key: "consumer_byte_rate", value: Some(QuotaValue(7.0)) }
            ClientQuota { entity: UserAndClientId(None, Some("app")), key: "consumer_byte_rate", value: Some(QuotaValue(7.0)) }
            ClientQuota { entity: Ip(Some("10.0.0.1")), key: "connection_creation_rate", value: Some(QuotaValue(3.0)) }
            ClientQuota { entity: Ip(None), key: "connection_creation_rate", value: Some(QuotaValue(4.0)) }
        "#]],
    );
}

#[test]
fn what_is_invalid_is_refused_and_nothing_of_its_entity_is_written() {
    check(
        &[
            "user=a : producer_byte_rate=5 nope=1",
            "user=b : producer_byte_rate=0",
            "user=c : producer_byte_rate=NaN",
            "user=d : producer_byte_rate=1.5",
            "user=e : producer_byte_rate=1e19",
            "user=f : connection_creation_rate=1",
            "ip=10.0.0.1 : connection_creation_rate=2147483648",
            "ip=10.0.0.2 : producer_byte_rate=1",
            "ip=localhost : connection_creation_rate=1",
            "ip=10.0.0.3 user=g : connection_creation_rate=1",
            "",
            "group=g : producer_byte_rate=1",
            "user='' : producer_byte_rate=1",
            "client-id=h user=i : request_percentage=1 request_percentage=2",
            "user=j : producer_byte_rate=1",
            "user=j : producer_byte_rate=2",
        ],
        expect![[r#"
            ClientQuota { entity: User(Some("j")), key: "producer_byte_rate", value: Some(QuotaValue(1.0)) }
            INVALID_REQUEST: Invalid configuration key nope
            INVALID_REQUEST: Quota producer_byte_rate must be greater than 0
            INVALID_REQUEST: Quota producer_byte_rate must be greater than 0
            INVALID_REQUEST: producer_byte_rate cannot be a fractional value.
            INVALID_REQUEST: Proposed value for producer_byte_rate is too large for a LONG.
            INVALID_REQUEST: Invalid configuration key connection_creation_rate
            INVALID_REQUEST: Proposed value for connection_creation_rate is too large for an INT.
            INVALID_REQUEST: Invalid configuration key producer_byte_rate
            INVALID_REQUEST: localhost is not a valid IP or resolvable host: use an address, not a name.
            INVALID_REQUEST: Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId
            INVALID_REQUEST: Invalid empty client quota entity
            INVALID_REQUEST: Unhandled client quota entity type: group
            INVALID_REQUEST: Empty user not supported
            INVALID_REQUEST: Ignoring duplicate entity ClientQuotaEntity(entries={client-id=h, user=i})
            INVALID_REQUEST: Ignoring duplicate entity ClientQuotaEntity(entries={user=j})
        "#]],
    );
}

/// Creates, extends and deletes topics, and returns the codes of the outcomes.
fn mutate(draft: &mut Draft, name: &str) -> Vec<i16> {
    let name = kafka_string(name);
    let create = CreateTopicsRequestData {
        topics: vec![CreatableTopic {
            name: name.clone(),
            num_partitions: 4,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequestData::default()
    };
    let validate = CreateTopicsRequestData {
        validate_only: true,
        ..create.clone()
    };
    let extend = CreatePartitionsRequestData {
        topics: vec![CreatePartitionsTopic {
            name: name.clone(),
            count: 6,
            assignments: None,
            ..CreatePartitionsTopic::default()
        }],
        ..CreatePartitionsRequestData::default()
    };
    let delete = DeleteTopicsRequestData {
        topics: vec![DeleteTopicState {
            name: Some(name),
            ..DeleteTopicState::default()
        }],
        ..DeleteTopicsRequestData::default()
    };
    let id = |last| dohle_model::Uuid(super::id16(9, last));
    vec![
        create_topics::create(draft, &validate, id(0)).topics[0].error_code,
        create_topics::create(draft, &create, id(1)).topics[0].error_code,
        create_partitions::create(draft, &extend).results[0].error_code,
        delete_topics::delete(draft, &delete).responses[0].error_code,
    ]
}

/// Returns a quota with this many tokens, of one token a second.
fn tokens(samples: u32, enforcement: Enforcement) -> MutationQuota {
    let windows = QuotaWindows {
        samples,
        length: Duration::from_secs(1),
    };
    let applicable = Applicable {
        entity: EntityRef::User(Some("u")),
        limit: 1.0,
    };
    MutationBuckets::new(windows).quota(&applicable, "u", "", 0.0, enforcement, Instant::now())
}

#[test]
fn partitions_that_are_created_or_deleted_count_towards_the_quota() {
    let exceeded = ErrorCode::ThrottlingQuotaExceeded.code();
    // Validated 4, created 4, added 2, deleted 6. What begins without a debt is carried out.
    let outcomes = [
        (
            1,
            [
                0,
                exceeded,
                ErrorCode::UnknownTopicOrPartition.code(),
                ErrorCode::UnknownTopicOrPartition.code(),
            ],
        ),
        (4, [0, 0, exceeded, exceeded]),
        (8, [0, 0, 0, exceeded]),
        (10, [0, 0, 0, 0]),
    ];
    for (samples, codes) in outcomes {
        let mut harness = Harness::new(true);
        harness.run("brokers 1");
        harness.draft.mutation_quota = tokens(samples, Enforcement::Strict);
        assert_eq!(mutate(&mut harness.draft, "t"), codes, "{samples} tokens");
    }
}

#[test]
fn an_older_client_is_throttled_and_refused_nothing() {
    let mut harness = Harness::new(true);
    harness.run("brokers 1");
    harness.draft.mutation_quota = tokens(1, Enforcement::Permissive);
    assert_eq!(mutate(&mut harness.draft, "t"), [0, 0, 0, 0]);
    // 16 partitions and one token.
    let throttle_time = harness.draft.mutation_quota.throttle_time();
    assert_eq!(throttle_time, Duration::from_secs(15));
}

/// Returns a text that requests of quotas have, or any.
fn hostile_text(known: &'static [&'static str]) -> impl Strategy<Value = String> {
    let known = prop::sample::select(known).prop_map(str::to_owned);
    prop_oneof![3 => known, 1 => "\\PC{0,40}"]
}

fn hostile_entry() -> impl Strategy<Value = EntryData> {
    let name = prop_oneof![
        Just(None),
        hostile_text(&["a", "10.0.0.1", "::1", "", "<default>"]).prop_map(Some),
    ];
    let part = (hostile_text(&["user", "client-id", "ip", ""]), name);
    let key = hostile_text(&[
        "producer_byte_rate",
        "request_percentage",
        "connection_creation_rate",
    ]);
    let op = (key, any::<f64>(), any::<bool>());
    let (parts, ops) = (
        prop::collection::vec(part, 0..4),
        prop::collection::vec(op, 0..4),
    );
    (parts, ops).prop_map(|(parts, ops)| EntryData {
        entity: parts
            .into_iter()
            .map(|(kind, name)| EntityData {
                entity_type: kafka_string(&kind),
                entity_name: name.as_deref().map(kafka_string),
                ..EntityData::default()
            })
            .collect(),
        ops: ops
            .into_iter()
            .map(|(key, value, remove)| OpData {
                key: kafka_string(&key),
                value,
                remove,
                ..OpData::default()
            })
            .collect(),
        ..EntryData::default()
    })
}

proptest! {
    /// Each entity has one answer, and what is written can be replayed.
    #[test]
    fn hostile_entities_are_refused_or_written_as_they_are(
        entries in prop::collection::vec(hostile_entry(), 0..5),
    ) {
        let mut harness = Harness::new(true);
        let request = AlterClientQuotasRequestData {
            entries: entries.clone(),
            ..AlterClientQuotasRequestData::default()
        };
        let response = client_quotas::alter(&mut harness.draft, &request);
        prop_assert!(response.entries.len() <= entries.len());
        prop_assert_eq!(&harness.draft.broken, &None);
        for quotas in harness.draft.image.client_quotas.values() {
            prop_assert!(quotas.values().all(|value| value.0 > 0.0));
        }
    }
}
