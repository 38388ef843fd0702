//! Metadata records: what the quorum commits and every node replays.
//!
//! The set of records only grows: fields are added, but never removed or reused, and a node that
//! reads an unknown record stops with an error. The counterparts in Kafka are
//! `metadata/src/main/resources/…/*.json`.

use std::sync::Arc;

use crate::acl::AclEntry;
use crate::client_quota::{QuotaEntity, QuotaValue};
use crate::delegation_token::DelegationToken;
use crate::ids::{
    BrokerEpoch, DirectoryId, IncarnationId, NodeId, PartitionIndex, ProducerId, TopicId, Uuid,
};
use crate::names::{TopicIdPartition, TopicName};
use crate::partition::{LeaderRecoveryState, PartitionRegistration};
use crate::scram::{ScramCredential, ScramMechanism};

/// The security protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityProtocol {
    /// No protection.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over plain TCP.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// Returns whether connections are encrypted with TLS.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Returns whether peers authenticate with SASL.
    #[must_use]
    pub const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// One address that a broker advertises.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The listener's name, upper case.
    pub listener: String,
    /// The host that clients are to connect to.
    pub host: String,
    /// The port that clients are to connect to.
    pub port: u16,
    /// The security protocol that the listener's name maps to.
    pub security_protocol: SecurityProtocol,
}

/// The resource that a configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicName),
    /// One broker.
    Broker(NodeId),
    /// All brokers: the cluster-wide dynamic default.
    BrokerDefault,
    /// A consumer group (KIP-848).
    Group(Arc<str>),
    /// A subscription to client metrics (KIP-714).
    ClientMetrics(Arc<str>),
}

/// A broker's registration, which each start of its process renews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub id: NodeId,
    /// Identifies this run of its process.
    pub incarnation: IncarnationId,
    /// The epoch of this registration; higher than every earlier one in the cluster.
    pub epoch: BrokerEpoch,
    /// The addresses that it advertises to clients and brokers, without the controller listener.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Whether the broker is fenced. A fenced broker leads no partition and is not listed in
    /// Metadata responses. Registrations begin fenced.
    pub fenced: bool,
    /// Whether the broker is in a controlled shutdown.
    pub in_controlled_shutdown: bool,
    /// Its log directories.
    pub log_dirs: Vec<DirectoryId>,
    /// Those of them that get no new replicas (KIP-1066). Registrations begin without any.
    pub cordoned_log_dirs: Vec<DirectoryId>,
    /// The features it supports: name, lowest and highest level.
    pub features: Vec<SupportedFeature>,
}

impl BrokerRegistration {
    /// Whether the broker has a log directory for new replicas. One without known directories has.
    #[must_use]
    pub fn has_uncordoned_dir(&self) -> bool {
        let is_cordoned = |dir: &DirectoryId| self.cordoned_log_dirs.contains(dir);
        self.log_dirs.is_empty() || !self.log_dirs.iter().all(is_cordoned)
    }
}

/// A feature's range of levels that a node supports (KIP-584).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedFeature {
    /// For example `metadata.version`.
    pub name: String,
    /// Lowest level.
    pub level_min: i16,
    /// Highest level.
    pub level_max: i16,
}

/// A change of a broker's registration; `None` leaves a field unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// The broker.
    pub id: NodeId,
    /// The epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Whether to fence or unfence it.
    pub fenced: Option<bool>,
    /// Whether it enters or leaves controlled shutdown.
    pub in_controlled_shutdown: Option<bool>,
    /// Its online log directories.
    pub log_dirs: Option<Vec<DirectoryId>>,
    /// Its log directories that get no new replicas.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

/// A change of a partition's registration; `None` leaves a field unchanged. Replay always raises
/// the partition epoch, and raises the leader epoch when `leader` is given (even if it is the same
/// leader).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionChange {
    /// New ISR.
    pub isr: Option<Vec<NodeId>>,
    /// New leader; `Some(None)` takes the partition offline.
    pub leader: Option<Option<NodeId>>,
    /// New replicas.
    pub replicas: Option<Vec<NodeId>>,
    /// New directories, parallel to the (new) replicas.
    pub directories: Option<Vec<DirectoryId>>,
    /// New removing replicas.
    pub removing_replicas: Option<Vec<NodeId>>,
    /// New adding replicas.
    pub adding_replicas: Option<Vec<NodeId>>,
    /// New eligible leader replicas.
    pub elr: Option<Vec<NodeId>>,
    /// New last known eligible leader replicas.
    pub last_known_elr: Option<Vec<NodeId>>,
    /// New recovery state.
    pub leader_recovery_state: Option<LeaderRecoveryState>,
}

impl PartitionChange {
    /// Whether no field changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A metadata record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// See [`BrokerRegistration`].
    RegisterBroker(BrokerRegistration),
    /// A broker's registration is removed.
    UnregisterBroker {
        /// The broker.
        id: NodeId,
        /// The epoch of the removed registration.
        epoch: BrokerEpoch,
    },
    /// See [`BrokerRegistrationChange`].
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// A topic is created.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id.
        id: TopicId,
    },
    /// A topic is deleted, with its partitions and configuration.
    RemoveTopic {
        /// Its id.
        id: TopicId,
    },
    /// A partition is created.
    Partition {
        /// Its topic.
        topic_id: TopicId,
        /// Its number.
        partition: PartitionIndex,
        /// Its initial state.
        registration: PartitionRegistration,
    },
    /// A partition changes.
    PartitionChange {
        /// Its topic.
        topic_id: TopicId,
        /// Its number.
        partition: PartitionIndex,
        /// The changed fields.
        change: PartitionChange,
    },
    /// A configuration entry is set, or removed with `value: None`.
    Config {
        /// The resource that the entry belongs to.
        resource: ConfigResource,
        /// The property's name.
        key: String,
        /// Its value as text.
        value: Option<String>,
    },
    /// A feature is finalized at a level; 0 removes it (KIP-584).
    FeatureLevel {
        /// For example `metadata.version`.
        name: String,
        /// The level.
        level: i16,
    },
    /// A block of producer ids was allocated to a broker (KIP-730).
    ProducerIds {
        /// The broker.
        broker: NodeId,
        /// The epoch of its registration.
        broker_epoch: BrokerEpoch,
        /// The first id of the next block.
        next: ProducerId,
    },
    /// A controller became active: it wrote this batch and those after it, up to the next such
    /// record. The id is random, so two histories of the metadata that diverge have no common
    /// activation after the point where they diverge.
    ControllerActivated {
        /// The id of the activation.
        id: Uuid,
    },
    /// An ACL is added.
    AccessControlEntry {
        /// Its id, which no other ACL ever had.
        id: Uuid,
        /// The ACL.
        entry: AclEntry,
    },
    /// An ACL is removed.
    RemoveAccessControlEntry {
        /// Its id.
        id: Uuid,
    },
    /// A user's credential for a SCRAM mechanism is set.
    UserScramCredential {
        /// The user's name.
        user: Arc<str>,
        /// The mechanism.
        mechanism: ScramMechanism,
        /// The credential.
        credential: ScramCredential,
    },
    /// A user's credential for a SCRAM mechanism is removed.
    RemoveUserScramCredential {
        /// The user's name.
        user: Arc<str>,
        /// The mechanism.
        mechanism: ScramMechanism,
    },
    /// A quota is set, or removed with `value: None`.
    ClientQuota {
        /// The entity that has it.
        entity: QuotaEntity,
        /// The quota's name, for example `producer_byte_rate`.
        key: String,
        /// Its value.
        value: Option<QuotaValue>,
    },
    /// A delegation token is created, or its time of expiry changes.
    DelegationToken(DelegationToken),
    /// A delegation token is removed.
    RemoveDelegationToken {
        /// Its id.
        id: Arc<str>,
    },
}

impl MetadataRecord {
    /// Returns the partition that the record creates or changes; `None` for other records.
    #[must_use]
    pub fn partition(&self) -> Option<TopicIdPartition> {
        match self {
            Self::Partition {
                topic_id,
                partition,
                ..
            }
            | Self::PartitionChange {
                topic_id,
                partition,
                ..
            } => Some(TopicIdPartition {
                topic_id: *topic_id,
                partition: *partition,
            }),
            _ => None,
        }
    }
}
