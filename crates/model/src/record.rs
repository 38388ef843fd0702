//! Metadata records: what the quorum commits and every node replays.
//!
//! Records only grow: a field is added, never removed or reused, and an unknown record stops the
//! node that meets it, in words. The counterparts in Kafka are
//! `metadata/src/main/resources/…/*.json`.

use std::sync::Arc;

use crate::ids::{
    BrokerEpoch, DirectoryId, IncarnationId, NodeId, PartitionIndex, ProducerId, TopicId, Uuid,
};
use crate::names::TopicName;
use crate::partition::{LeaderRecoveryState, PartitionRegistration};

/// How a listener protects its connections.
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

/// One address that a broker advertises.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The listener's name, upper case.
    pub listener: String,
    /// The host as clients are told it.
    pub host: String,
    /// The port as clients are told it.
    pub port: u16,
    /// The protocol that the listener's name maps to.
    pub security_protocol: SecurityProtocol,
}

/// What a configuration belongs to.
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

/// A broker as it registered: anew with each start of its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub id: NodeId,
    /// This run of its process.
    pub incarnation: IncarnationId,
    /// This registration; higher than every one before it in the cluster.
    pub epoch: BrokerEpoch,
    /// What it advertises to clients and brokers; the controller listener is not among them.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Fenced brokers lead nothing and are not told to clients. Registrations begin fenced.
    pub fenced: bool,
    /// Whether the broker is being drained.
    pub in_controlled_shutdown: bool,
    /// Its log directories.
    pub log_dirs: Vec<DirectoryId>,
    /// The features it supports: name, lowest and highest level.
    pub features: Vec<SupportedFeature>,
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

/// A broker's registration changes; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// The broker.
    pub id: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Fence or unfence.
    pub fenced: Option<bool>,
    /// Enter or leave controlled shutdown.
    pub in_controlled_shutdown: Option<bool>,
    /// Its online log directories.
    pub log_dirs: Option<Vec<DirectoryId>>,
}

/// A partition's registration changes. `None` leaves a field as it is. Replay raises the partition
/// epoch always, and the leader epoch when `leader` is given (even to the same leader).
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
    /// Whether the change would change nothing.
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
    /// A broker is forgotten.
    UnregisterBroker {
        /// The broker.
        id: NodeId,
        /// The registration that ends.
        epoch: BrokerEpoch,
    },
    /// See [`BrokerRegistrationChange`].
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// A topic begins.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its identity.
        id: TopicId,
    },
    /// A topic ends, with its partitions and configuration.
    RemoveTopic {
        /// Its identity.
        id: TopicId,
    },
    /// A partition begins.
    Partition {
        /// Its topic.
        topic_id: TopicId,
        /// Its number.
        partition: PartitionIndex,
        /// Its first state.
        registration: PartitionRegistration,
    },
    /// A partition changes.
    PartitionChange {
        /// Its topic.
        topic_id: TopicId,
        /// Its number.
        partition: PartitionIndex,
        /// What changes.
        change: PartitionChange,
    },
    /// A configuration entry is set, or removed with `value: None`.
    Config {
        /// What it belongs to.
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
    /// A block of producer ids was handed to a broker (KIP-730).
    ProducerIds {
        /// The broker.
        broker: NodeId,
        /// Its registration.
        broker_epoch: BrokerEpoch,
        /// The first id of the next block.
        next: ProducerId,
    },
    /// A controller became active: this batch and those after it, up to the next such record, were
    /// written by it. The id is random, so two histories of the metadata that part share no
    /// activation after the point where they part.
    ControllerActivated {
        /// The activation.
        id: Uuid,
    },
}
