//! Tests that records and images survive their conversion to messages and back.

use std::sync::Arc;

use dohle_model::acl::{
    AclEntry, AclOperation, Operation, PatternType, PermissionType, ResourceType,
};
use dohle_model::batch::{CommittedBatch, MetadataBatch};
use dohle_model::client_quota::{QuotaEntity, QuotaValue};
use dohle_model::delegation_token::DelegationToken;
use dohle_model::delta::MetadataDelta;
use dohle_model::ids::{BrokerEpoch, LeaderEpoch, PartitionEpoch, ProducerId};
use dohle_model::image::{MetadataImage, Replayed};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{
    BrokerRegistration, BrokerRegistrationChange, ConfigResource, Endpoint, MetadataRecord,
    PartitionChange, SecurityProtocol, SupportedFeature,
};
use dohle_model::scram::{ScramCredential, ScramMechanism};
use dohle_model::{
    DirectoryId, IncarnationId, MetadataOffset, NodeId, PartitionIndex, Timestamp, TopicId,
    TopicName, Uuid,
};
use dohle_rpc::convert::{
    SnapshotBuilder, batch_from_wire, batch_to_wire, record_from_wire, record_to_wire,
    snapshot_chunks,
};
use dohle_rpc::v1;

fn topic_id(n: u8) -> TopicId {
    TopicId(Uuid([n; 16]))
}

fn registration(leader: i32) -> PartitionRegistration {
    PartitionRegistration {
        last_known_elr: vec![NodeId(3)],
        leader: NodeId::from_wire(leader),
        leader_epoch: LeaderEpoch(4),
        partition_epoch: PartitionEpoch(9),
        ..PartitionRegistration::new(
            vec![NodeId(1), NodeId(2)],
            vec![DirectoryId::from_bytes([7; 16]), DirectoryId::UNASSIGNED],
            vec![NodeId(1), NodeId(2)],
        )
    }
}

fn token(id: &str) -> MetadataRecord {
    MetadataRecord::DelegationToken(DelegationToken {
        id: id.into(),
        owner: "User:alice".into(),
        requester: "User:bob".into(),
        renewers: ["User:carol".into(), "User:dave".into()].into(),
        issued: Timestamp(1),
        expires: Timestamp(2),
        expires_last: Timestamp(3),
    })
}

fn every_kind_of_record() -> Vec<MetadataRecord> {
    let broker = BrokerRegistration {
        id: NodeId(1),
        incarnation: IncarnationId::from_bytes([1; 16]),
        epoch: BrokerEpoch(3),
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "localhost".into(),
            port: 9092,
            security_protocol: SecurityProtocol::Plaintext,
        }],
        rack: Some("r1".into()),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![DirectoryId::from_bytes([7; 16])],
        cordoned_log_dirs: vec![DirectoryId::from_bytes([8; 16])],
        features: vec![SupportedFeature {
            name: "metadata.version".into(),
            level_min: 7,
            level_max: 29,
        }],
    };
    let other = BrokerRegistration {
        id: NodeId(2),
        epoch: BrokerEpoch(4),
        ..broker.clone()
    };
    let change = PartitionChange {
        isr: Some(vec![NodeId(1)]),
        leader: Some(None),
        elr: Some(vec![NodeId(2)]),
        ..PartitionChange::default()
    };
    vec![
        MetadataRecord::FeatureLevel {
            name: "metadata.version".into(),
            level: 29,
        },
        MetadataRecord::RegisterBroker(broker),
        MetadataRecord::RegisterBroker(other),
        MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
            id: NodeId(1),
            epoch: BrokerEpoch(3),
            fenced: Some(false),
            in_controlled_shutdown: None,
            log_dirs: Some(vec![]),
            cordoned_log_dirs: Some(vec![DirectoryId::from_bytes([9; 16])]),
        }),
        MetadataRecord::UnregisterBroker {
            id: NodeId(2),
            epoch: BrokerEpoch(4),
        },
        MetadataRecord::Topic {
            name: TopicName::new("a").unwrap(),
            id: topic_id(1),
        },
        MetadataRecord::Topic {
            name: TopicName::new("b").unwrap(),
            id: topic_id(2),
        },
        MetadataRecord::Partition {
            topic_id: topic_id(1),
            partition: PartitionIndex(0),
            registration: registration(1),
        },
        MetadataRecord::PartitionChange {
            topic_id: topic_id(1),
            partition: PartitionIndex(0),
            change,
        },
        MetadataRecord::Config {
            resource: ConfigResource::Topic(TopicName::new("a").unwrap()),
            key: "retention.ms".into(),
            value: Some("5".into()),
        },
        MetadataRecord::Config {
            resource: ConfigResource::BrokerDefault,
            key: "log.retention.ms".into(),
            value: None,
        },
        MetadataRecord::RemoveTopic { id: topic_id(2) },
        MetadataRecord::ProducerIds {
            broker: NodeId(1),
            broker_epoch: BrokerEpoch(3),
            next: ProducerId(1000),
        },
        MetadataRecord::ControllerActivated { id: Uuid([6; 16]) },
        MetadataRecord::AccessControlEntry {
            id: Uuid([7; 16]),
            entry: acl(AclOperation::All),
        },
        MetadataRecord::AccessControlEntry {
            id: Uuid([8; 16]),
            entry: acl(AclOperation::One(Operation::Read)),
        },
        MetadataRecord::RemoveAccessControlEntry { id: Uuid([7; 16]) },
        token("first"),
        token("second"),
        MetadataRecord::RemoveDelegationToken { id: "first".into() },
        scram_credential("alice"),
        scram_credential("bob"),
        MetadataRecord::RemoveUserScramCredential {
            user: "bob".into(),
            mechanism: ScramMechanism::Sha512,
        },
    ]
    .into_iter()
    .chain(quotas())
    .collect()
}

fn acl(operation: AclOperation) -> AclEntry {
    AclEntry {
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Prefixed,
        resource_name: "orders-".into(),
        principal: "User:alice".into(),
        host: "*".into(),
        operation,
        permission: PermissionType::Deny,
    }
}

fn scram_credential(user: &str) -> MetadataRecord {
    MetadataRecord::UserScramCredential {
        user: user.into(),
        mechanism: ScramMechanism::Sha512,
        credential: ScramCredential {
            salt: Arc::from(*b"pepper"),
            stored_key: Arc::from(*b"stored-secret"),
            server_key: Arc::from(*b"server-secret"),
            iterations: 4096,
        },
    }
}

fn quotas() -> impl Iterator<Item = MetadataRecord> {
    let name = || Some(Arc::from("a"));
    let entities = [
        QuotaEntity::User(name()),
        QuotaEntity::User(None),
        QuotaEntity::ClientId(name()),
        QuotaEntity::UserAndClientId(name(), None),
        QuotaEntity::UserAndClientId(None, name()),
        QuotaEntity::Ip(None),
    ];
    let set = entities.map(|entity| MetadataRecord::ClientQuota {
        entity,
        key: "producer_byte_rate".into(),
        value: Some(QuotaValue(0.5)),
    });
    let removed = MetadataRecord::ClientQuota {
        entity: QuotaEntity::User(None),
        key: "producer_byte_rate".into(),
        value: None,
    };
    set.into_iter().chain([removed])
}

#[test]
fn credentials_are_not_printed() {
    let record = scram_credential("alice");
    let printed = format!("{:?} {:?}", record, record_to_wire(&record));
    assert!(printed.contains("alice"), "{printed}");
    let bytes = |text: &str| format!("{:?}", text.as_bytes());
    for secret in ["pepper", "stored-secret", "server-secret"] {
        assert!(!printed.contains(secret), "{printed}");
        assert!(
            !printed.contains(bytes(secret).trim_matches(['[', ']'])),
            "{printed}"
        );
    }
}

#[test]
fn every_kind_of_record_survives_the_wire() {
    let batch = MetadataBatch {
        base: MetadataOffset(5),
        records: every_kind_of_record().into(),
    };
    assert_eq!(batch_from_wire(&batch_to_wire(&batch)), Ok(batch));
}

#[test]
fn an_image_survives_as_a_snapshot() {
    let mut image = MetadataImage::default();
    let batch = MetadataBatch {
        base: MetadataOffset(0),
        records: Arc::from(every_kind_of_record()),
    };
    let committed = CommittedBatch {
        offset: MetadataOffset(3),
        batch,
    };
    let replayed = image.replay_batch(&committed, &mut MetadataDelta::default());
    assert_eq!(replayed, Ok(Replayed::Applied));

    let mut builder = SnapshotBuilder::default();
    for chunk in snapshot_chunks(&image) {
        builder.add(&chunk).unwrap();
    }
    assert_eq!(builder.finish(), Ok(image));
}

#[test]
fn a_record_of_a_newer_version_is_refused_in_words() {
    let error = record_from_wire(&v1::MetadataRecord { record: None }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metadata record is missing, or of a kind that is unknown to this version"
    );
}
