//! Decodes the records of Kafka's metadata log.
//!
//! A record's value is a frame: the version of the frame, the type and the version of the record as
//! unsigned varints, then its fields.

use std::sync::Arc;

use dohle_model::acl::{AclEntry, AclOperation, PatternType, PermissionType, ResourceType};
use dohle_model::client_quota::{QuotaEntity, QuotaValue};
use dohle_model::delegation_token::DelegationToken;
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::{
    BrokerRegistration, BrokerRegistrationChange, ConfigResource, Endpoint, MetadataRecord,
    PartitionChange, SecurityProtocol, SupportedFeature,
};
use dohle_model::scram::{ScramCredential, ScramMechanism};
use dohle_model::{
    BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex,
    ProducerId, Timestamp, TopicId, TopicName, Uuid,
};

use crate::wire::{DecodeError, Reader};

/// A record of Kafka's metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KafkaRecord {
    /// It has a counterpart with the same meaning.
    Metadata(MetadataRecord),
    /// A feature is finalized at a level; Dohle may not have it.
    FeatureLevel {
        /// For example `metadata.version`.
        name: String,
        /// The level.
        level: i16,
    },
    /// The eligible leader replicas of a topic, or of all topics, are forgotten.
    ClearElr {
        /// The topic's name; `None` for all topics.
        topic: Option<String>,
    },
    /// The records up to [`KafkaRecord::EndTransaction`] take effect together (KIP-868).
    BeginTransaction,
    /// The records since [`KafkaRecord::BeginTransaction`] take effect.
    EndTransaction,
    /// The records since [`KafkaRecord::BeginTransaction`] have no effect.
    AbortTransaction,
    /// How far a migration from ZooKeeper is.
    ZkMigrationState(i8),
    /// It does not change what a cluster's metadata mean: a heartbeat of the log, or the
    /// registration of a controller.
    NoOp,
    /// An ACL with a resource type, operation or other value that Dohle does not know.
    UnknownAcl {
        /// The id of the ACL.
        id: Uuid,
        /// Describes it.
        text: String,
    },
    /// It has no counterpart; the text describes it.
    WithoutCounterpart(String),
}

impl KafkaRecord {
    /// Decodes the value of a record.
    ///
    /// # Errors
    /// When the bytes are malformed, or the record is of a type, or a version of a type, that Kafka
    /// 4.4 does not have.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let reader = &mut Reader::new(value);
        let frame = reader.uvarint()?;
        if frame != 1 {
            return Err(DecodeError::Frame(frame));
        }
        let (kind, version) = (reader.uvarint()?, reader.uvarint()?);
        let record = fields(reader, kind, version)?;
        match reader.is_empty() {
            true => Ok(record),
            false => Err(DecodeError::Malformed("the end of the record")),
        }
    }
}

/// Reads the fields of a record, tagged ones included.
fn fields(reader: &mut Reader<'_>, kind: u32, version: u32) -> Result<KafkaRecord, DecodeError> {
    let record = match (kind, version) {
        // Records with tagged fields.
        (0, 0..=4) => return broker(reader, version),
        (3, 0..=2) => return partition(reader, version),
        (5, 0..=2) => return partition_change(reader),
        (17, 0..=3) => return registration_change(reader),
        (1, 0) => {
            let (id, epoch) = (reader.node()?, broker_epoch(reader)?);
            KafkaRecord::Metadata(MetadataRecord::UnregisterBroker { id, epoch })
        }
        (2, 0) => topic(reader)?,
        (4, 0) => config(reader)?,
        (7, 0) => fence(reader, true)?,
        (8, 0) => fence(reader, false)?,
        (9, 0) => {
            let id = TopicId(reader.uuid()?);
            KafkaRecord::Metadata(MetadataRecord::RemoveTopic { id })
        }
        (10, 0) => delegation_token(reader)?,
        (11, 0) => scram_credential(reader)?,
        (12, 0) => KafkaRecord::FeatureLevel {
            name: reader.string()?.to_owned(),
            level: reader.i16()?,
        },
        (14, 0) => client_quota(reader)?,
        (15, 0) => producer_ids(reader)?,
        (18, 0) => acl(reader)?,
        (19, 0) => {
            let id = reader.uuid()?;
            KafkaRecord::Metadata(MetadataRecord::RemoveAccessControlEntry { id })
        }
        (21, 0) => KafkaRecord::ZkMigrationState(reader.i8()?),
        (22, 0) => remove_scram_credential(reader)?,
        (23, 0) => KafkaRecord::BeginTransaction,
        (24, 0) => KafkaRecord::EndTransaction,
        (25, 0) => KafkaRecord::AbortTransaction,
        (26, 0) => {
            let id = reader.string()?.into();
            KafkaRecord::Metadata(MetadataRecord::RemoveDelegationToken { id })
        }
        (28, 0) => {
            let topic = reader.string()?;
            let topic = (!topic.is_empty()).then(|| topic.to_owned());
            KafkaRecord::ClearElr { topic }
        }
        // Heartbeats of the log, and registrations of controllers, which Dohle does not need.
        (20 | 27 | 29, 0) => {
            *reader = Reader::new(&[]);
            return Ok(KafkaRecord::NoOp);
        }
        _ => return Err(DecodeError::Unknown { kind, version }),
    };
    reader.skip_tags()?;
    Ok(record)
}

fn broker_epoch(reader: &mut Reader<'_>) -> Result<BrokerEpoch, DecodeError> {
    reader.i64().map(BrokerEpoch)
}

fn partition_index(reader: &mut Reader<'_>) -> Result<PartitionIndex, DecodeError> {
    let index = PartitionIndex::from_wire(reader.i32()?);
    index.ok_or(DecodeError::Malformed("a negative partition"))
}

fn topic_name(name: &str) -> Result<TopicName, DecodeError> {
    TopicName::new(name).map_err(|_| DecodeError::Malformed("the name of a topic"))
}

/// Reads the id of a directory. Kafka's reserved ids (`DirectoryId.java`), for a directory that is
/// not assigned, lost, or from before KIP-858, become [`DirectoryId::UNASSIGNED`]: the broker
/// chooses the directory that has the replica.
fn directory(reader: &mut Reader<'_>) -> Result<DirectoryId, DecodeError> {
    let id = reader.uuid()?;
    let is_reserved = id.0[..15].iter().all(|byte| *byte == 0) && id.0[15] < 100;
    Ok(match is_reserved {
        true => DirectoryId::UNASSIGNED,
        false => DirectoryId(id),
    })
}

fn directories(reader: &mut Reader<'_>) -> Result<Vec<DirectoryId>, DecodeError> {
    reader.elements(directory)
}

fn leader(reader: &mut Reader<'_>) -> Result<Option<NodeId>, DecodeError> {
    reader.i32().map(NodeId::from_wire)
}

fn recovery_state(code: i8) -> Result<LeaderRecoveryState, DecodeError> {
    match code {
        0 => Ok(LeaderRecoveryState::Recovered),
        1 => Ok(LeaderRecoveryState::Recovering),
        _ => Err(DecodeError::Malformed("a leader's recovery state")),
    }
}

fn endpoint(reader: &mut Reader<'_>) -> Result<Endpoint, DecodeError> {
    let listener = reader.string()?.to_owned();
    let host = reader.string()?.to_owned();
    let port = reader.u16()?;
    let security_protocol = match reader.i16()? {
        0 => SecurityProtocol::Plaintext,
        1 => SecurityProtocol::Ssl,
        2 => SecurityProtocol::SaslPlaintext,
        3 => SecurityProtocol::SaslSsl,
        _ => return Err(DecodeError::Malformed("a listener's security protocol")),
    };
    reader.skip_tags()?;
    Ok(Endpoint {
        listener,
        host,
        port,
        security_protocol,
    })
}

fn supported_feature(reader: &mut Reader<'_>) -> Result<SupportedFeature, DecodeError> {
    let name = reader.string()?.to_owned();
    let (level_min, level_max) = (reader.i16()?, reader.i16()?);
    reader.skip_tags()?;
    Ok(SupportedFeature {
        name,
        level_min,
        level_max,
    })
}

fn broker(reader: &mut Reader<'_>, version: u32) -> Result<KafkaRecord, DecodeError> {
    let id = reader.node()?;
    if version >= 2 {
        let _is_migrating_from_zookeeper = reader.bool()?;
    }
    let mut registration = BrokerRegistration {
        id,
        incarnation: IncarnationId(reader.uuid()?),
        epoch: broker_epoch(reader)?,
        endpoints: reader.elements(endpoint)?,
        features: reader.elements(supported_feature)?,
        rack: reader.nullable_string()?.map(str::to_owned),
        fenced: reader.bool()?,
        in_controlled_shutdown: version >= 1 && reader.bool()?,
        log_dirs: Vec::new(),
        cordoned_log_dirs: Vec::new(),
    };
    reader.tags(|tag, reader| {
        match tag {
            0 => registration.log_dirs = directories(reader)?,
            1 => {
                let cordoned = reader.nullable_array(directory)?;
                registration.cordoned_log_dirs = cordoned.unwrap_or_default();
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(KafkaRecord::Metadata(MetadataRecord::RegisterBroker(
        registration,
    )))
}

fn fence(reader: &mut Reader<'_>, fenced: bool) -> Result<KafkaRecord, DecodeError> {
    let change = BrokerRegistrationChange {
        id: reader.node()?,
        epoch: broker_epoch(reader)?,
        fenced: Some(fenced),
        in_controlled_shutdown: None,
        log_dirs: None,
        cordoned_log_dirs: None,
    };
    Ok(KafkaRecord::Metadata(
        MetadataRecord::BrokerRegistrationChange(change),
    ))
}

fn registration_change(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let mut change = BrokerRegistrationChange {
        id: reader.node()?,
        epoch: broker_epoch(reader)?,
        fenced: None,
        in_controlled_shutdown: None,
        log_dirs: None,
        cordoned_log_dirs: None,
    };
    reader.tags(|tag, reader| {
        match tag {
            0 => {
                change.fenced = match reader.i8()? {
                    -1 => Some(false),
                    1 => Some(true),
                    _ => None,
                }
            }
            1 => change.in_controlled_shutdown = (reader.i8()? == 1).then_some(true),
            2 => {
                let log_dirs = directories(reader)?;
                change.log_dirs = (!log_dirs.is_empty()).then_some(log_dirs);
            }
            3 => change.cordoned_log_dirs = reader.nullable_array(directory)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(KafkaRecord::Metadata(
        MetadataRecord::BrokerRegistrationChange(change),
    ))
}

fn topic(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let name = topic_name(reader.string()?)?;
    let id = TopicId(reader.uuid()?);
    Ok(KafkaRecord::Metadata(MetadataRecord::Topic { name, id }))
}

fn partition(reader: &mut Reader<'_>, version: u32) -> Result<KafkaRecord, DecodeError> {
    let partition = partition_index(reader)?;
    let topic_id = TopicId(reader.uuid()?);
    let (replicas, isr) = (reader.nodes()?, reader.nodes()?);
    let (removing_replicas, adding_replicas) = (reader.nodes()?, reader.nodes()?);
    let leader = leader(reader)?;
    let leader_epoch = LeaderEpoch::from_wire(reader.i32()?);
    let partition_epoch = PartitionEpoch::from_wire(reader.i32()?);
    let negative = DecodeError::Malformed("a negative epoch");
    let directories = match version {
        0 => vec![DirectoryId::UNASSIGNED; replicas.len()],
        _ => directories(reader)?,
    };
    if directories.len() != replicas.len() {
        return Err(DecodeError::Malformed("the number of directories"));
    }
    let mut registration = PartitionRegistration {
        replicas,
        directories,
        isr,
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        removing_replicas,
        adding_replicas,
        leader,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch: leader_epoch.ok_or(negative.clone())?,
        partition_epoch: partition_epoch.ok_or(negative)?,
    };
    reader.tags(|tag, reader| {
        match tag {
            0 => registration.leader_recovery_state = recovery_state(reader.i8()?)?,
            1 => registration.elr = optional_nodes(reader)?.unwrap_or_default(),
            2 => registration.last_known_elr = optional_nodes(reader)?.unwrap_or_default(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(KafkaRecord::Metadata(MetadataRecord::Partition {
        topic_id,
        partition,
        registration,
    }))
}

fn optional_nodes(reader: &mut Reader<'_>) -> Result<Option<Vec<NodeId>>, DecodeError> {
    reader.nullable_array(Reader::node)
}

fn partition_change(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let partition = partition_index(reader)?;
    let topic_id = TopicId(reader.uuid()?);
    let mut change = PartitionChange::default();
    reader.tags(|tag, reader| {
        match tag {
            0 => change.isr = optional_nodes(reader)?,
            1 => {
                let leader = reader.i32()?;
                change.leader = (leader != -2).then_some(NodeId::from_wire(leader));
            }
            2 => change.replicas = optional_nodes(reader)?,
            3 => change.removing_replicas = optional_nodes(reader)?,
            4 => change.adding_replicas = optional_nodes(reader)?,
            5 => {
                change.leader_recovery_state = match reader.i8()? {
                    -1 => None,
                    code => Some(recovery_state(code)?),
                }
            }
            6 => change.elr = optional_nodes(reader)?,
            7 => change.last_known_elr = optional_nodes(reader)?,
            8 => change.directories = reader.nullable_array(directory)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(KafkaRecord::Metadata(MetadataRecord::PartitionChange {
        topic_id,
        partition,
        change,
    }))
}

fn config(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let (kind, name) = (reader.i8()?, reader.string()?);
    let resource = match kind {
        2 => Some(ConfigResource::Topic(topic_name(name)?)),
        4 if name.is_empty() => Some(ConfigResource::BrokerDefault),
        4 => {
            let id = name.parse().ok().and_then(NodeId::from_wire);
            let id = id.ok_or(DecodeError::Malformed("the id of a configured broker"))?;
            Some(ConfigResource::Broker(id))
        }
        16 => Some(ConfigResource::ClientMetrics(name.into())),
        32 => Some(ConfigResource::Group(name.into())),
        _ => None,
    };
    let key = reader.string()?.to_owned();
    let value = reader.nullable_string()?.map(str::to_owned);
    Ok(match resource {
        Some(resource) => KafkaRecord::Metadata(MetadataRecord::Config {
            resource,
            key,
            value,
        }),
        None => KafkaRecord::WithoutCounterpart(format!(
            "the configuration {key} of the resource {name:?} of type {kind}"
        )),
    })
}

fn delegation_token(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let owner = reader.string()?.into();
    let requester = reader.string()?.into();
    let renewers: Vec<Arc<str>> = reader.elements(|reader| Ok(reader.string()?.into()))?;
    let issued = Timestamp(reader.i64()?);
    let expires_last = Timestamp(reader.i64()?);
    let expires = Timestamp(reader.i64()?);
    Ok(KafkaRecord::Metadata(MetadataRecord::DelegationToken(
        DelegationToken {
            id: reader.string()?.into(),
            owner,
            requester,
            renewers: renewers.into(),
            issued,
            expires,
            expires_last,
        },
    )))
}

fn unknown_mechanism(user: &str, code: i8) -> KafkaRecord {
    KafkaRecord::WithoutCounterpart(format!(
        "a credential of user {user:?} for the unknown SCRAM mechanism {code}"
    ))
}

fn scram_credential(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let (user, code) = (reader.string()?, reader.i8()?);
    let credential = ScramCredential {
        salt: reader.bytes()?.into(),
        stored_key: reader.bytes()?.into(),
        server_key: reader.bytes()?.into(),
        iterations: u32::try_from(reader.i32()?)
            .map_err(|_| DecodeError::Malformed("a negative number of iterations"))?,
    };
    let Some(mechanism) = ScramMechanism::from_code(code) else {
        return Ok(unknown_mechanism(user, code));
    };
    Ok(KafkaRecord::Metadata(MetadataRecord::UserScramCredential {
        user: user.into(),
        mechanism,
        credential,
    }))
}

fn remove_scram_credential(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let (user, code) = (reader.string()?, reader.i8()?);
    let Some(mechanism) = ScramMechanism::from_code(code) else {
        return Ok(KafkaRecord::NoOp);
    };
    Ok(KafkaRecord::Metadata(
        MetadataRecord::RemoveUserScramCredential {
            user: user.into(),
            mechanism,
        },
    ))
}

fn client_quota(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let entity = reader.elements(|reader| {
        let (kind, name) = (reader.string()?, reader.nullable_string()?);
        reader.skip_tags()?;
        Ok((kind, name.map(Arc::from)))
    })?;
    let (key, value, remove) = (reader.string()?.to_owned(), reader.f64()?, reader.bool()?);
    let entity = match &entity[..] {
        [("user", user)] => QuotaEntity::User(user.clone()),
        [("client-id", client)] => QuotaEntity::ClientId(client.clone()),
        [("ip", ip)] => QuotaEntity::Ip(ip.clone()),
        [("user", user), ("client-id", client)] | [("client-id", client), ("user", user)] => {
            QuotaEntity::UserAndClientId(user.clone(), client.clone())
        }
        other => {
            let text = format!("the quota {key} of {other:?}");
            return Ok(KafkaRecord::WithoutCounterpart(text));
        }
    };
    let value = (!remove).then_some(QuotaValue(value));
    Ok(KafkaRecord::Metadata(MetadataRecord::ClientQuota {
        entity,
        key,
        value,
    }))
}

fn producer_ids(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    // The broker may be none (-1): for ids that a migration from ZooKeeper took over.
    let broker = NodeId(reader.i32()?.max(0));
    let broker_epoch = broker_epoch(reader)?;
    let next = ProducerId::from_wire(reader.i64()?);
    let next = next.ok_or(DecodeError::Malformed("a negative producer id"))?;
    Ok(KafkaRecord::Metadata(MetadataRecord::ProducerIds {
        broker,
        broker_epoch,
        next,
    }))
}

fn acl(reader: &mut Reader<'_>) -> Result<KafkaRecord, DecodeError> {
    let id = reader.uuid()?;
    let kind = reader.i8()?;
    let resource_name: Arc<str> = reader.string()?.into();
    let pattern = reader.i8()?;
    let (principal, host) = (reader.string()?, reader.string()?);
    let (operation, permission) = (reader.i8()?, reader.i8()?);
    let entry = || {
        Some(AclEntry {
            resource_type: ResourceType::from_code(kind)?,
            pattern_type: PatternType::from_code(pattern)?,
            resource_name: Arc::clone(&resource_name),
            principal: principal.into(),
            host: host.into(),
            operation: AclOperation::from_code(operation)?,
            permission: PermissionType::from_code(permission)?,
        })
    };
    Ok(match entry() {
        Some(entry) => KafkaRecord::Metadata(MetadataRecord::AccessControlEntry { id, entry }),
        None => {
            let text = format!(
                "the ACL {id} of {principal} for {resource_name:?} (types {kind} and {pattern}, \
                 operation {operation}, permission {permission})"
            );
            KafkaRecord::UnknownAcl { id, text }
        }
    })
}
