//! Converts metadata records and batches.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::acl::{AclEntry, AclOperation, PatternType, PermissionType, ResourceType};
use dohle_model::batch::{CommittedBatch, MetadataBatch};
use dohle_model::client_quota::{QuotaEntity, QuotaValue};
use dohle_model::delegation_token::DelegationToken;
use dohle_model::ids::{BrokerEpoch, LeaderEpoch, PartitionEpoch, ProducerId, Uuid};
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::{
    BrokerRegistration, BrokerRegistrationChange, ConfigResource, Endpoint, MetadataRecord,
    PartitionChange, SecurityProtocol, SupportedFeature,
};
use dohle_model::scram::{ScramCredential, ScramMechanism};
use dohle_model::{NodeId, Timestamp, TopicName};

use super::{
    ConvertError, directories_from_wire, directories_to_wire, invalid, nodes_from_wire,
    nodes_to_wire, offset_from_wire, partition_id_from_wire, topic_id_from_wire, uuid_from_wire,
    uuid_to_wire,
};
use crate::v1;
use crate::v1::metadata_record::Record;

const RESOURCE_TOPIC: u32 = 2;
const RESOURCE_BROKER: u32 = 4;
const RESOURCE_CLIENT_METRICS: u32 = 16;
const RESOURCE_GROUP: u32 = 32;

/// Converts a batch.
#[must_use]
pub fn batch_to_wire(batch: &MetadataBatch) -> v1::MetadataBatch {
    v1::MetadataBatch {
        base: batch.base.0,
        records: batch.records.iter().map(record_to_wire).collect(),
    }
}

/// Converts a batch.
///
/// # Errors
/// When a record cannot be decoded.
pub fn batch_from_wire(batch: &v1::MetadataBatch) -> Result<MetadataBatch, ConvertError> {
    let records: Result<Arc<[_]>, _> = batch.records.iter().map(record_from_wire).collect();
    Ok(MetadataBatch {
        base: offset_from_wire(batch.base),
        records: records?,
    })
}

/// Converts a committed batch.
///
/// # Errors
/// When a record cannot be decoded.
pub fn committed_from_wire(committed: &v1::CommittedBatch) -> Result<CommittedBatch, ConvertError> {
    let batch = committed
        .batch
        .as_ref()
        .ok_or(ConvertError::Missing("batch"))?;
    Ok(CommittedBatch {
        offset: offset_from_wire(committed.offset),
        batch: batch_from_wire(batch)?,
    })
}

/// Converts a record.
#[must_use]
pub fn record_to_wire(record: &MetadataRecord) -> v1::MetadataRecord {
    let record = match record {
        MetadataRecord::RegisterBroker(registration) => {
            Record::RegisterBroker(registration_to_wire(registration))
        }
        MetadataRecord::UnregisterBroker { id, epoch } => {
            Record::UnregisterBroker(v1::UnregisterBroker {
                id: id.0,
                epoch: epoch.0,
            })
        }
        MetadataRecord::BrokerRegistrationChange(change) => {
            Record::BrokerRegistrationChange(v1::BrokerRegistrationChange {
                id: change.id.0,
                epoch: change.epoch.0,
                fenced: change.fenced,
                in_controlled_shutdown: change.in_controlled_shutdown,
                log_dirs: change.log_dirs.as_deref().map(directory_list),
                cordoned_log_dirs: change.cordoned_log_dirs.as_deref().map(directory_list),
            })
        }
        MetadataRecord::Topic { name, id } => Record::Topic(v1::Topic {
            name: name.to_string(),
            id: uuid_to_wire(id.0),
        }),
        MetadataRecord::RemoveTopic { id } => Record::RemoveTopic(v1::RemoveTopic {
            id: uuid_to_wire(id.0),
        }),
        MetadataRecord::Partition {
            topic_id,
            partition,
            registration,
        } => Record::Partition(v1::Partition {
            topic_id: uuid_to_wire(topic_id.0),
            partition: partition.0,
            registration: Some(partition_to_wire(registration)),
        }),
        MetadataRecord::PartitionChange {
            topic_id,
            partition,
            change,
        } => Record::PartitionChange(v1::PartitionChange {
            topic_id: uuid_to_wire(topic_id.0),
            partition: partition.0,
            isr: change.isr.as_deref().map(node_list),
            leader: change.leader.map(NodeId::to_wire),
            replicas: change.replicas.as_deref().map(node_list),
            directories: change.directories.as_deref().map(directory_list),
            removing_replicas: change.removing_replicas.as_deref().map(node_list),
            adding_replicas: change.adding_replicas.as_deref().map(node_list),
            elr: change.elr.as_deref().map(node_list),
            last_known_elr: change.last_known_elr.as_deref().map(node_list),
            leader_recovery_state: change.leader_recovery_state.map(recovery_to_wire),
        }),
        MetadataRecord::Config {
            resource,
            key,
            value,
        } => Record::Config(v1::ConfigEntry {
            resource: Some(resource_to_wire(resource)),
            key: key.clone(),
            value: value.clone(),
        }),
        MetadataRecord::FeatureLevel { name, level } => Record::FeatureLevel(v1::FeatureLevel {
            name: name.clone(),
            level: i32::from(*level),
        }),
        MetadataRecord::ProducerIds {
            broker,
            broker_epoch,
            next,
        } => Record::ProducerIds(v1::ProducerIds {
            broker: broker.0,
            broker_epoch: broker_epoch.0,
            next: next.0,
        }),
        MetadataRecord::ControllerActivated { id } => {
            Record::ControllerActivated(v1::ControllerActivated {
                id: uuid_to_wire(*id),
            })
        }
        MetadataRecord::AccessControlEntry { id, entry } => {
            Record::AccessControlEntry(acl_to_wire(*id, entry))
        }
        MetadataRecord::RemoveAccessControlEntry { id } => {
            Record::RemoveAccessControlEntry(v1::RemoveAccessControlEntry {
                id: uuid_to_wire(*id),
            })
        }
        MetadataRecord::UserScramCredential {
            user,
            mechanism,
            credential,
        } => Record::UserScramCredential(v1::UserScramCredential {
            user: user.to_string(),
            mechanism: *mechanism as u32,
            salt: Bytes::copy_from_slice(&credential.salt),
            stored_key: Bytes::copy_from_slice(&credential.stored_key),
            server_key: Bytes::copy_from_slice(&credential.server_key),
            iterations: credential.iterations,
        }),
        MetadataRecord::RemoveUserScramCredential { user, mechanism } => {
            Record::RemoveUserScramCredential(v1::RemoveUserScramCredential {
                user: user.to_string(),
                mechanism: *mechanism as u32,
            })
        }
        MetadataRecord::ClientQuota { entity, key, value } => {
            Record::ClientQuota(v1::ClientQuota {
                entity: Some(entity_to_wire(entity)),
                key: key.clone(),
                value: value.map(|value| value.0),
            })
        }
        MetadataRecord::DelegationToken(token) => Record::DelegationToken(token_to_wire(token)),
        MetadataRecord::RemoveDelegationToken { id } => {
            Record::RemoveDelegationToken(v1::RemoveDelegationToken { id: id.to_string() })
        }
    };
    v1::MetadataRecord {
        record: Some(record),
    }
}

/// Converts a record.
///
/// # Errors
/// When the record's kind is unknown, or a value in it is invalid.
pub fn record_from_wire(record: &v1::MetadataRecord) -> Result<MetadataRecord, ConvertError> {
    let record = record
        .record
        .as_ref()
        .ok_or(ConvertError::Missing("metadata record"))?;
    Ok(match record {
        Record::RegisterBroker(registration) => {
            MetadataRecord::RegisterBroker(registration_from_wire(registration)?)
        }
        Record::UnregisterBroker(record) => MetadataRecord::UnregisterBroker {
            id: NodeId(record.id),
            epoch: BrokerEpoch(record.epoch),
        },
        Record::BrokerRegistrationChange(change) => {
            let directories = |list: &Option<v1::DirectoryList>| {
                let ids = list.as_ref().map(|list| directories_from_wire(&list.ids));
                ids.transpose()
            };
            MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
                id: NodeId(change.id),
                epoch: BrokerEpoch(change.epoch),
                fenced: change.fenced,
                in_controlled_shutdown: change.in_controlled_shutdown,
                log_dirs: directories(&change.log_dirs)?,
                cordoned_log_dirs: directories(&change.cordoned_log_dirs)?,
            })
        }
        Record::Topic(topic) => MetadataRecord::Topic {
            name: topic_name(&topic.name)?,
            id: topic_id_from_wire(&topic.id)?,
        },
        Record::RemoveTopic(topic) => MetadataRecord::RemoveTopic {
            id: topic_id_from_wire(&topic.id)?,
        },
        Record::Partition(record) => {
            let id = partition_id_from_wire(&record.topic_id, record.partition)?;
            let registration = record
                .registration
                .as_ref()
                .ok_or(ConvertError::Missing("registration"))?;
            MetadataRecord::Partition {
                topic_id: id.topic_id,
                partition: id.partition,
                registration: partition_from_wire(registration)?,
            }
        }
        Record::PartitionChange(record) => {
            let id = partition_id_from_wire(&record.topic_id, record.partition)?;
            MetadataRecord::PartitionChange {
                topic_id: id.topic_id,
                partition: id.partition,
                change: change_from_wire(record)?,
            }
        }
        Record::Config(entry) => {
            let resource = entry
                .resource
                .as_ref()
                .ok_or(ConvertError::Missing("resource"))?;
            MetadataRecord::Config {
                resource: resource_from_wire(resource)?,
                key: entry.key.clone(),
                value: entry.value.clone(),
            }
        }
        Record::FeatureLevel(feature) => MetadataRecord::FeatureLevel {
            name: feature.name.clone(),
            level: level_from_wire(feature.level)?,
        },
        Record::ProducerIds(ids) => MetadataRecord::ProducerIds {
            broker: NodeId(ids.broker),
            broker_epoch: BrokerEpoch(ids.broker_epoch),
            next: ProducerId(ids.next),
        },
        Record::ControllerActivated(activated) => MetadataRecord::ControllerActivated {
            id: uuid_from_wire("activation", &activated.id)?,
        },
        Record::AccessControlEntry(acl) => MetadataRecord::AccessControlEntry {
            id: uuid_from_wire("acl", &acl.id)?,
            entry: acl_from_wire(acl)?,
        },
        Record::RemoveAccessControlEntry(acl) => MetadataRecord::RemoveAccessControlEntry {
            id: uuid_from_wire("acl", &acl.id)?,
        },
        Record::UserScramCredential(record) => MetadataRecord::UserScramCredential {
            user: record.user.as_str().into(),
            mechanism: code("mechanism", record.mechanism, ScramMechanism::from_code)?,
            credential: ScramCredential {
                salt: Arc::from(&record.salt[..]),
                stored_key: Arc::from(&record.stored_key[..]),
                server_key: Arc::from(&record.server_key[..]),
                iterations: record.iterations,
            },
        },
        Record::RemoveUserScramCredential(record) => MetadataRecord::RemoveUserScramCredential {
            user: record.user.as_str().into(),
            mechanism: code("mechanism", record.mechanism, ScramMechanism::from_code)?,
        },
        Record::ClientQuota(quota) => {
            let entity = quota.entity.as_ref();
            MetadataRecord::ClientQuota {
                entity: entity_from_wire(entity.ok_or(ConvertError::Missing("entity"))?)?,
                key: quota.key.clone(),
                value: quota.value.map(QuotaValue),
            }
        }
        Record::DelegationToken(token) => MetadataRecord::DelegationToken(token_from_wire(token)),
        Record::RemoveDelegationToken(record) => MetadataRecord::RemoveDelegationToken {
            id: record.id.as_str().into(),
        },
    })
}

/// Converts one of Kafka's codes.
fn code<T>(
    field: &'static str,
    code: u32,
    convert: impl FnOnce(i8) -> Option<T>,
) -> Result<T, ConvertError> {
    i8::try_from(code)
        .ok()
        .and_then(convert)
        .ok_or_else(|| invalid(field, code))
}

fn token_to_wire(token: &DelegationToken) -> v1::DelegationToken {
    v1::DelegationToken {
        id: token.id.to_string(),
        owner: token.owner.to_string(),
        requester: token.requester.to_string(),
        renewers: token.renewers.iter().map(ToString::to_string).collect(),
        issued_ms: token.issued.0,
        expires_ms: token.expires.0,
        expires_last_ms: token.expires_last.0,
    }
}

fn token_from_wire(token: &v1::DelegationToken) -> DelegationToken {
    let renewers = token.renewers.iter();
    DelegationToken {
        id: token.id.as_str().into(),
        owner: token.owner.as_str().into(),
        requester: token.requester.as_str().into(),
        renewers: renewers.map(|renewer| renewer.as_str().into()).collect(),
        issued: Timestamp(token.issued_ms),
        expires: Timestamp(token.expires_ms),
        expires_last: Timestamp(token.expires_last_ms),
    }
}

fn acl_to_wire(id: Uuid, entry: &AclEntry) -> v1::AccessControlEntry {
    v1::AccessControlEntry {
        id: uuid_to_wire(id),
        resource_type: entry.resource_type as u32,
        pattern_type: entry.pattern_type as u32,
        resource_name: entry.resource_name.to_string(),
        principal: entry.principal.to_string(),
        host: entry.host.to_string(),
        operation: u32::from(entry.operation.code().unsigned_abs()),
        permission: entry.permission as u32,
    }
}

fn acl_from_wire(acl: &v1::AccessControlEntry) -> Result<AclEntry, ConvertError> {
    Ok(AclEntry {
        resource_type: code("resource_type", acl.resource_type, ResourceType::from_code)?,
        pattern_type: code("pattern_type", acl.pattern_type, PatternType::from_code)?,
        resource_name: acl.resource_name.as_str().into(),
        principal: acl.principal.as_str().into(),
        host: acl.host.as_str().into(),
        operation: code("operation", acl.operation, AclOperation::from_code)?,
        permission: code("permission", acl.permission, PermissionType::from_code)?,
    })
}

fn entity_to_wire(entity: &QuotaEntity) -> v1::QuotaEntity {
    let name = |name: &Option<Arc<str>>| {
        Some(v1::QuotaEntityName {
            name: name.as_deref().map(str::to_owned),
        })
    };
    let (user, client_id, ip) = match entity {
        QuotaEntity::User(user) => (name(user), None, None),
        QuotaEntity::ClientId(client_id) => (None, name(client_id), None),
        QuotaEntity::UserAndClientId(user, client_id) => (name(user), name(client_id), None),
        QuotaEntity::Ip(ip) => (None, None, name(ip)),
    };
    v1::QuotaEntity {
        user,
        client_id,
        ip,
    }
}

fn entity_from_wire(entity: &v1::QuotaEntity) -> Result<QuotaEntity, ConvertError> {
    let name = |entity: &v1::QuotaEntityName| entity.name.as_deref().map(Arc::from);
    match (&entity.user, &entity.client_id, &entity.ip) {
        (Some(user), None, None) => Ok(QuotaEntity::User(name(user))),
        (None, Some(client_id), None) => Ok(QuotaEntity::ClientId(name(client_id))),
        (Some(user), Some(client_id), None) => {
            Ok(QuotaEntity::UserAndClientId(name(user), name(client_id)))
        }
        (None, None, Some(ip)) => Ok(QuotaEntity::Ip(name(ip))),
        _ => Err(ConvertError::Missing("quota entity")),
    }
}

fn change_from_wire(record: &v1::PartitionChange) -> Result<PartitionChange, ConvertError> {
    let nodes = |list: &Option<v1::NodeList>| list.as_ref().map(|list| nodes_from_wire(&list.ids));
    let directories = record
        .directories
        .as_ref()
        .map(|list| directories_from_wire(&list.ids));
    let recovery = record.leader_recovery_state.map(recovery_from_wire);
    Ok(PartitionChange {
        isr: nodes(&record.isr),
        leader: record.leader.map(NodeId::from_wire),
        replicas: nodes(&record.replicas),
        directories: directories.transpose()?,
        removing_replicas: nodes(&record.removing_replicas),
        adding_replicas: nodes(&record.adding_replicas),
        elr: nodes(&record.elr),
        last_known_elr: nodes(&record.last_known_elr),
        leader_recovery_state: recovery.transpose()?,
    })
}

/// Converts a broker's registration.
#[must_use]
pub fn registration_to_wire(registration: &BrokerRegistration) -> v1::BrokerRegistration {
    v1::BrokerRegistration {
        id: registration.id.0,
        incarnation: uuid_to_wire(registration.incarnation.0),
        epoch: registration.epoch.0,
        endpoints: registration
            .endpoints
            .iter()
            .map(endpoint_to_wire)
            .collect(),
        rack: registration.rack.clone(),
        fenced: registration.fenced,
        in_controlled_shutdown: registration.in_controlled_shutdown,
        log_dirs: directories_to_wire(&registration.log_dirs),
        cordoned_log_dirs: directories_to_wire(&registration.cordoned_log_dirs),
        features: registration
            .features
            .iter()
            .map(|feature| v1::SupportedFeature {
                name: feature.name.clone(),
                level_min: i32::from(feature.level_min),
                level_max: i32::from(feature.level_max),
            })
            .collect(),
    }
}

/// Converts a broker's registration.
///
/// # Errors
/// When a value is out of its range.
pub fn registration_from_wire(
    registration: &v1::BrokerRegistration,
) -> Result<BrokerRegistration, ConvertError> {
    let endpoints: Result<_, _> = registration
        .endpoints
        .iter()
        .map(endpoint_from_wire)
        .collect();
    let feature = |feature: &v1::SupportedFeature| {
        Ok(SupportedFeature {
            name: feature.name.clone(),
            level_min: level_from_wire(feature.level_min)?,
            level_max: level_from_wire(feature.level_max)?,
        })
    };
    let features: Result<_, ConvertError> = registration.features.iter().map(feature).collect();
    Ok(BrokerRegistration {
        id: NodeId::from_wire(registration.id).ok_or_else(|| invalid("id", registration.id))?,
        incarnation: dohle_model::IncarnationId(uuid_from_wire(
            "incarnation",
            &registration.incarnation,
        )?),
        epoch: BrokerEpoch(registration.epoch),
        endpoints: endpoints?,
        rack: registration.rack.clone(),
        fenced: registration.fenced,
        in_controlled_shutdown: registration.in_controlled_shutdown,
        log_dirs: directories_from_wire(&registration.log_dirs)?,
        cordoned_log_dirs: directories_from_wire(&registration.cordoned_log_dirs)?,
        features: features?,
    })
}

/// Converts a partition's registration.
#[must_use]
pub fn partition_to_wire(registration: &PartitionRegistration) -> v1::PartitionRegistration {
    v1::PartitionRegistration {
        replicas: nodes_to_wire(&registration.replicas),
        directories: directories_to_wire(&registration.directories),
        isr: nodes_to_wire(&registration.isr),
        elr: nodes_to_wire(&registration.elr),
        last_known_elr: nodes_to_wire(&registration.last_known_elr),
        removing_replicas: nodes_to_wire(&registration.removing_replicas),
        adding_replicas: nodes_to_wire(&registration.adding_replicas),
        leader: NodeId::to_wire(registration.leader),
        leader_recovery_state: recovery_to_wire(registration.leader_recovery_state),
        leader_epoch: registration.leader_epoch.0,
        partition_epoch: registration.partition_epoch.0,
    }
}

/// Converts a partition's registration.
///
/// # Errors
/// When a value is out of its range.
pub fn partition_from_wire(
    registration: &v1::PartitionRegistration,
) -> Result<PartitionRegistration, ConvertError> {
    let directories = directories_from_wire(&registration.directories)?;
    if directories.len() != registration.replicas.len() {
        return Err(invalid("directories", format!("{} ids", directories.len())));
    }
    Ok(PartitionRegistration {
        replicas: nodes_from_wire(&registration.replicas),
        directories,
        isr: nodes_from_wire(&registration.isr),
        elr: nodes_from_wire(&registration.elr),
        last_known_elr: nodes_from_wire(&registration.last_known_elr),
        removing_replicas: nodes_from_wire(&registration.removing_replicas),
        adding_replicas: nodes_from_wire(&registration.adding_replicas),
        leader: NodeId::from_wire(registration.leader),
        leader_recovery_state: recovery_from_wire(registration.leader_recovery_state)?,
        leader_epoch: LeaderEpoch(registration.leader_epoch),
        partition_epoch: PartitionEpoch(registration.partition_epoch),
    })
}

/// Converts the resource that a configuration belongs to.
#[must_use]
pub fn resource_to_wire(resource: &ConfigResource) -> v1::ConfigResource {
    let (r#type, name) = match resource {
        ConfigResource::Topic(name) => (RESOURCE_TOPIC, name.to_string()),
        ConfigResource::Broker(id) => (RESOURCE_BROKER, id.to_string()),
        ConfigResource::BrokerDefault => (RESOURCE_BROKER, String::new()),
        ConfigResource::Group(name) => (RESOURCE_GROUP, name.to_string()),
        ConfigResource::ClientMetrics(name) => (RESOURCE_CLIENT_METRICS, name.to_string()),
    };
    v1::ConfigResource { r#type, name }
}

/// Converts the resource that a configuration belongs to.
///
/// # Errors
/// When the type is unknown or the name is not valid for it.
pub fn resource_from_wire(resource: &v1::ConfigResource) -> Result<ConfigResource, ConvertError> {
    let name = resource.name.as_str();
    Ok(match resource.r#type {
        RESOURCE_TOPIC => ConfigResource::Topic(topic_name(name)?),
        RESOURCE_BROKER if name.is_empty() => ConfigResource::BrokerDefault,
        RESOURCE_BROKER => {
            let id = name.parse().ok().and_then(NodeId::from_wire);
            ConfigResource::Broker(id.ok_or_else(|| invalid("broker id", name))?)
        }
        RESOURCE_GROUP => ConfigResource::Group(name.into()),
        RESOURCE_CLIENT_METRICS => ConfigResource::ClientMetrics(name.into()),
        other => return Err(invalid("resource type", other)),
    })
}

fn endpoint_to_wire(endpoint: &Endpoint) -> v1::Endpoint {
    v1::Endpoint {
        listener: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: u32::from(endpoint.port),
        security_protocol: match endpoint.security_protocol {
            SecurityProtocol::Plaintext => 0,
            SecurityProtocol::Ssl => 1,
            SecurityProtocol::SaslPlaintext => 2,
            SecurityProtocol::SaslSsl => 3,
        },
    }
}

fn endpoint_from_wire(endpoint: &v1::Endpoint) -> Result<Endpoint, ConvertError> {
    Ok(Endpoint {
        listener: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: u16::try_from(endpoint.port).map_err(|_| invalid("port", endpoint.port))?,
        security_protocol: match endpoint.security_protocol {
            0 => SecurityProtocol::Plaintext,
            1 => SecurityProtocol::Ssl,
            2 => SecurityProtocol::SaslPlaintext,
            3 => SecurityProtocol::SaslSsl,
            other => return Err(invalid("security_protocol", other)),
        },
    })
}

fn node_list(nodes: &[NodeId]) -> v1::NodeList {
    v1::NodeList {
        ids: nodes_to_wire(nodes),
    }
}

fn directory_list(ids: &[dohle_model::DirectoryId]) -> v1::DirectoryList {
    v1::DirectoryList {
        ids: directories_to_wire(ids),
    }
}

fn recovery_to_wire(state: LeaderRecoveryState) -> u32 {
    match state {
        LeaderRecoveryState::Recovered => 0,
        LeaderRecoveryState::Recovering => 1,
    }
}

fn recovery_from_wire(state: u32) -> Result<LeaderRecoveryState, ConvertError> {
    match state {
        0 => Ok(LeaderRecoveryState::Recovered),
        1 => Ok(LeaderRecoveryState::Recovering),
        other => Err(invalid("leader_recovery_state", other)),
    }
}

fn level_from_wire(level: i32) -> Result<i16, ConvertError> {
    i16::try_from(level).map_err(|_| invalid("feature level", level))
}

fn topic_name(name: &str) -> Result<TopicName, ConvertError> {
    TopicName::new(name).map_err(|error| invalid("topic name", error))
}
