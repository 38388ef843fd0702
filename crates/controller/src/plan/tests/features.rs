//! Tests of UpdateFeatures: the refusals, with Kafka's messages, and the effects of a change.

use dohle_protocol::messages::update_features_request::{
    FeatureUpdateKey, UpdateFeaturesRequestData,
};
use expect_test::expect;

use super::{Harness, check, kafka_string, shown};
use crate::plan::Draft;

/// Updates features. `NAME=LEVEL` upgrades, `NAME=LEVEL:TYPE` has the upgrade type with this
/// number, and `validate` changes nothing.
pub(super) fn update(draft: &mut Draft, updates: &[&str]) -> String {
    let keys = updates.iter().filter_map(|update| {
        let (name, level) = update.split_once('=')?;
        let (level, kind) = level.split_once(':').unwrap_or((level, "1"));
        Some(FeatureUpdateKey {
            feature: kafka_string(name),
            max_version_level: level.parse().unwrap(),
            upgrade_type: kind.parse().unwrap(),
            ..FeatureUpdateKey::default()
        })
    });
    let request = UpdateFeaturesRequestData {
        feature_updates: keys.collect(),
        validate_only: updates.contains(&"validate"),
        ..UpdateFeaturesRequestData::default()
    };
    let response = crate::plan::features::update(draft, &request);
    let whole = "The update failed for all features since the following feature had an error: ";
    shown(response.error_code, response.error_message.as_ref()).replace(whole, "")
}

#[test]
fn levels_change_together_or_not_at_all() {
    check(
        "brokers 1
         features transaction.version=1:2
         features transaction.version=2 group.version=0:2
         features validate transaction.version=0:2
         features transaction.version=1:2 nope=1
         features transaction.version=9 transaction.version=1:3
         features transaction.version=1:2
         features kraft.version=0:2 share.version=0:2
         features",
        expect![[r#"
            > brokers 1
              broker 1 epoch 0
              broker 1 unfenced
            > features transaction.version=1:2
              FeatureLevel { name: "transaction.version", level: 1 }
            > features transaction.version=2 group.version=0:2
              FeatureLevel { name: "group.version", level: 0 }
              FeatureLevel { name: "transaction.version", level: 2 }
            > features validate transaction.version=0:2
            > features transaction.version=1:2 nope=1
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature nope. Local controller 1 does not support this feature.
            > features transaction.version=9 transaction.version=1:3
              FeatureLevel { name: "transaction.version", level: 1 }
            > features transaction.version=1:2
            > features kraft.version=0:2 share.version=0:2
            > features
        "#]],
    );
}

#[test]
fn what_kafka_refuses_is_refused_in_its_words() {
    check(
        "brokers 1
         features transaction.version=3
         features transaction.version=1
         features transaction.version=1:0
         features transaction.version=1:4
         features transaction.version=-1:3
         features nope=1
         features nope=0
         features kraft.version=1
         features transaction.version=1:2
         features transaction.version=2:2
         features metadata.version=6:2
         features metadata.version=34
         features metadata.version=32:2
         features metadata.version=24:3
         features metadata.version=0:3",
        expect![[r#"
            > brokers 1
              broker 1 epoch 0
              broker 1 unfenced
            > features transaction.version=3
              INVALID_UPDATE_VERSION: Invalid update version 3 for feature transaction.version. Local controller 1 only supports versions 0-2
            > features transaction.version=1
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature transaction.version. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.
            > features transaction.version=1:0
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature transaction.version. The controller does not support the given upgrade type.
            > features transaction.version=1:4
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature transaction.version. The controller does not support the given upgrade type.
            > features transaction.version=-1:3
              INVALID_UPDATE_VERSION: Invalid update version -1 for feature transaction.version. A feature version cannot be less than 0.
            > features nope=1
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature nope. Local controller 1 does not support this feature.
            > features nope=0
              INVALID_UPDATE_VERSION: Invalid update version 0 for feature nope. Feature nope not found.
            > features kraft.version=1
              INVALID_UPDATE_VERSION: Invalid update version 1 for feature kraft.version. Local controller 1 does not support this feature.
            > features transaction.version=1:2
              FeatureLevel { name: "transaction.version", level: 1 }
            > features transaction.version=2:2
              INVALID_UPDATE_VERSION: Invalid update version 2 for feature transaction.version. Can't downgrade to a newer version.
            > features metadata.version=6:2
              INVALID_UPDATE_VERSION: Invalid update version 6 for feature metadata.version. Local controller 1 only supports versions 7-33
            > features metadata.version=34
              INVALID_UPDATE_VERSION: Invalid update version 34 for feature metadata.version. Local controller 1 only supports versions 7-33
            > features metadata.version=32:2
              INVALID_UPDATE_VERSION: Unsupported metadata.version downgrade from 33 to 32. Refusing to perform the requested downgrade because it might delete metadata information.
            > features metadata.version=24:3
              INVALID_UPDATE_VERSION: Unsupported metadata.version downgrade from 33 to 24. Unsafe metadata downgrade is not supported in this version.
            > features metadata.version=0:3
              INVALID_UPDATE_VERSION: Invalid update version 0 for feature metadata.version. Local controller 1 only supports versions 7-33
        "#]],
    );
}

#[test]
fn a_broker_that_does_not_support_a_level_is_named() {
    let mut harness = Harness::new(true);
    harness.run("brokers 1 2");
    let mut broker = (*harness.draft.image.brokers[&dohle_model::NodeId(2)]).clone();
    broker.features.retain(|one| one.name != "group.version");
    for one in &mut broker.features {
        if one.name == "transaction.version" {
            one.level_max = 1;
        }
    }
    harness.run("features transaction.version=0:2 group.version=0:2");
    crate::plan::brokers::register(&mut harness.draft, broker, None).unwrap();
    let mut outputs = String::new();
    for line in [
        "transaction.version=2",
        "transaction.version=1",
        "group.version=1",
    ] {
        outputs += &format!("> {line}\n{}", harness.run(&format!("features {line}")));
    }
    expect![[r#"
        > transaction.version=2
          INVALID_UPDATE_VERSION: Invalid update version 2 for feature transaction.version. Broker 2 only supports versions 0-1
        > transaction.version=1
          FeatureLevel { name: "transaction.version", level: 1 }
        > group.version=1
          INVALID_UPDATE_VERSION: Invalid update version 1 for feature group.version. Broker 2 does not support this feature.
    "#]].assert_eq(&outputs);
}

#[test]
fn a_feature_needs_the_level_that_it_depends_on() {
    let mut harness = Harness::new(false);
    harness
        .draft
        .push(dohle_model::record::MetadataRecord::FeatureLevel {
            name: "metadata.version".to_owned(),
            level: 22,
        });
    let mut outputs = String::new();
    for line in [
        "eligible.leader.replicas.version=1",
        "eligible.leader.replicas.version=1 metadata.version=22",
        "eligible.leader.replicas.version=1 metadata.version=23",
        "metadata.version=22:2",
        "metadata.version=25",
        "metadata.version=24:2",
    ] {
        outputs += &format!("> {line}\n{}", harness.run(&format!("features {line}")));
    }
    expect![[r#"
        > eligible.leader.replicas.version=1
          INVALID_UPDATE_VERSION: Invalid update version 1 for feature eligible.leader.replicas.version. eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23
        > eligible.leader.replicas.version=1 metadata.version=22
          INVALID_UPDATE_VERSION: Invalid update version 1 for feature eligible.leader.replicas.version. eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23
        > eligible.leader.replicas.version=1 metadata.version=23
          FeatureLevel { name: "eligible.leader.replicas.version", level: 1 }
          FeatureLevel { name: "metadata.version", level: 23 }
        > metadata.version=22:2
          INVALID_UPDATE_VERSION: Unsupported metadata.version downgrade from 23 to 22. Refusing to perform the requested downgrade because it might delete metadata information.
        > metadata.version=25
          FeatureLevel { name: "metadata.version", level: 25 }
        > metadata.version=24:2
          FeatureLevel { name: "metadata.version", level: 24 }
    "#]].assert_eq(&outputs);
}

/// If the ELR were kept, a member of it could be elected much later, after the feature was enabled
/// again, although it lacks what was committed in between.
#[test]
fn without_the_feature_no_replica_stays_eligible() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3 min.insync.replicas=2
         topic bar 1,2 min.insync.replicas=2
         fence 3
         fence 2
         shutdown 1
         fence 1
         features eligible.leader.replicas.version=0:2
         unfence 2
         features eligible.leader.replicas.version=1",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2,3 min.insync.replicas=2
              topic foo
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("2") }
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > topic bar 1,2 min.insync.replicas=2
              topic bar
              Config { resource: Topic("bar"), key: "min.insync.replicas", value: Some("2") }
              bar-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > fence 3
              foo-0 replicas 1,2,3 isr [1,2] leader 1 epochs 0/1
              broker 3 fenced
            > fence 2
              foo-0 replicas 1,2,3 isr [1] leader 1 epochs 0/2 elr [2]
              bar-0 replicas 1,2 isr [1] leader 1 epochs 0/1 elr [2]
              broker 2 fenced
            > shutdown 1
              foo-0 replicas 1,2,3 isr [] leader none epochs 1/3 elr [1,2] last known [1]
              bar-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1,2] last known [1]
              broker 1 shutting down
            > fence 1
              broker 1 fenced
            > features eligible.leader.replicas.version=0:2
              FeatureLevel { name: "eligible.leader.replicas.version", level: 0 }
              foo-0 replicas 1,2,3 isr [1,2] leader none epochs 1/4
              bar-0 replicas 1,2 isr [1,2] leader none epochs 1/3
            > unfence 2
              broker 2 unfenced
              foo-0 replicas 1,2,3 isr [1,2] leader 2 epochs 2/5
              bar-0 replicas 1,2 isr [1,2] leader 2 epochs 2/4
            > features eligible.leader.replicas.version=1
              FeatureLevel { name: "eligible.leader.replicas.version", level: 1 }
        "#]],
    );
}

#[test]
fn the_feature_unifies_min_isr_when_it_is_enabled() {
    let mut harness = Harness::new(true);
    let mut outputs = String::new();
    for line in [
        "brokers 1 2",
        "features eligible.leader.replicas.version=0:2",
        "config 2 min.insync.replicas=2",
        "config all-brokers min.insync.replicas=",
        "features validate eligible.leader.replicas.version=1",
        "features eligible.leader.replicas.version=1",
        "config 2 min.insync.replicas=2",
    ] {
        outputs += &format!("> {line}\n{}", harness.run(line));
    }
    expect![[r#"
        > brokers 1 2
          broker 1 epoch 0
          broker 1 unfenced
          broker 2 epoch 1
          broker 2 unfenced
        > features eligible.leader.replicas.version=0:2
          FeatureLevel { name: "eligible.leader.replicas.version", level: 0 }
        > config 2 min.insync.replicas=2
          Config { resource: Broker(NodeId(2)), key: "min.insync.replicas", value: Some("2") }
        > config all-brokers min.insync.replicas=
          Config { resource: BrokerDefault, key: "min.insync.replicas", value: None }
        > features validate eligible.leader.replicas.version=1
        > features eligible.leader.replicas.version=1
          FeatureLevel { name: "eligible.leader.replicas.version", level: 1 }
          Config { resource: BrokerDefault, key: "min.insync.replicas", value: Some("1") }
          Config { resource: Broker(NodeId(2)), key: "min.insync.replicas", value: None }
        > config 2 min.insync.replicas=2
          INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled. Set it for the topic, or for all brokers
    "#]].assert_eq(&outputs);
}
