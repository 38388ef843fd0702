//! A draft: an image that plans change, and the records that change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::delta::MetadataDelta;
use dohle_model::image::{MetadataImage, ReplayError};
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{ApiError, ErrorCode};
use dohle_model::{DirectoryId, NodeId, TopicIdPartition, TopicName};

use super::config_schema::ConfigSchema;
use super::election::{Election, PartitionTarget, Rules};
use super::indexes::Indexes;
use dohle_model::features::ELIGIBLE_LEADER_REPLICAS_VERSION;

/// What plans take from the controller's static configuration.
#[derive(Clone)]
pub struct Settings {
    /// This controller.
    pub controller: NodeId,
    /// The levels of features that a new cluster finalizes.
    pub new_cluster_features: BTreeMap<String, i16>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i32,
    /// `min.insync.replicas` of topics that set none.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable` of topics that set none.
    pub unclean_leader_election: bool,
    /// Which configuration names and values are allowed.
    pub configs: Arc<dyn ConfigSchema>,
}

/// What a plan decided that a person may want to read. Logged once it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A leader was elected from outside the ISR and the ELR.
    UncleanElection {
        /// The partition.
        id: TopicIdPartition,
        /// Its topic's name.
        topic: TopicName,
        /// The new leader.
        leader: NodeId,
        /// Whether it also led last, so that no other replica is known to have more records.
        last_known: bool,
    },
    /// No replica is left that may be elected: an operator must order an unclean election.
    NoEligibleReplica {
        /// The partition.
        id: TopicIdPartition,
        /// Its topic's name.
        topic: TopicName,
        /// The replicas that an unclean election can choose from.
        replicas: Vec<NodeId>,
    },
    /// A broker left ISRs or ELRs.
    LeftIsrs {
        /// The broker.
        broker: NodeId,
        /// Of how many partitions.
        partitions: usize,
        /// Why.
        reason: &'static str,
    },
}

/// How far a draft had come.
struct Mark {
    image: MetadataImage,
    indexes: Indexes,
    records: usize,
    splits: usize,
    notes: usize,
}

/// An image under change. See the module.
#[derive(Clone)]
pub struct Draft {
    /// The image with all pushed records replayed.
    pub image: MetadataImage,
    /// The partitions of `image` that may need an election.
    pub indexes: Indexes,
    /// The controller's settings.
    pub settings: Arc<Settings>,
    /// Brokers whose present session is connected and was heard from lately.
    pub connected: BTreeSet<NodeId>,
    /// Files and connections that brokers may have open, as far as they reported it.
    pub open_files_max: BTreeMap<NodeId, u64>,
    /// The records pushed so far.
    pub records: Vec<MetadataRecord>,
    /// The lengths of `records` at which they may be divided into several batches: when only the
    /// first of them are committed, the metadata are sound and the rest is planned again.
    pub splits: Vec<usize>,
    /// What was decided so far.
    pub notes: Vec<Note>,
    /// A pushed record did not fit: the plan is wrong, and nothing of this draft may be committed.
    pub broken: Option<ReplayError>,
    /// Why nothing may be created: the metadata log has little space left.
    pub shortage: Option<Arc<str>>,
}

impl Draft {
    /// A draft on `image`, whose indexes are `indexes`.
    #[must_use]
    pub fn new(image: &MetadataImage, indexes: &Indexes, settings: &Arc<Settings>) -> Self {
        Self {
            image: image.clone(),
            indexes: indexes.clone(),
            settings: Arc::clone(settings),
            connected: BTreeSet::new(),
            open_files_max: BTreeMap::new(),
            records: Vec::new(),
            splits: Vec::new(),
            notes: Vec::new(),
            broken: None,
            shortage: None,
        }
    }

    /// Refuses what makes the metadata grow while there is little space for them.
    ///
    /// # Errors
    /// The reason.
    pub fn check_space(&self) -> Result<(), ApiError> {
        match &self.shortage {
            None => Ok(()),
            Some(reason) => Err(ErrorCode::KafkaStorageError.because(reason.to_string())),
        }
    }

    /// Adds a record and replays it into the draft's image.
    pub fn push(&mut self, record: MetadataRecord) {
        let mut delta = MetadataDelta::default();
        match self.image.replay(&record, &mut delta) {
            Ok(()) => self.indexes.replayed(&self.image, &delta),
            Err(error) => self.broken = self.broken.take().or(Some(error)),
        }
        self.records.push(record);
    }

    /// Runs `plan`, and takes back all it did when it fails.
    ///
    /// # Errors
    /// Those of `plan`.
    pub fn attempt<T, E>(&mut self, plan: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let mark = self.mark();
        let result = plan(self);
        if result.is_err() {
            self.broken = None;
            self.return_to(mark);
        }
        result
    }

    /// Runs `plan`, and takes back all it did when one of its records does not fit the image.
    ///
    /// # Errors
    /// Why the first such record does not fit.
    pub fn step<T>(&mut self, plan: impl FnOnce(&mut Self) -> T) -> Result<T, ReplayError> {
        let mark = self.mark();
        let value = plan(self);
        match self.broken.take() {
            None => Ok(value),
            Some(error) => {
                self.return_to(mark);
                Err(error)
            }
        }
    }

    /// The records so far may be committed without those that follow.
    pub fn may_split(&mut self) {
        let here = self.records.len();
        if here > 0 && self.splits.last() != Some(&here) {
            self.splits.push(here);
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            image: self.image.clone(),
            indexes: self.indexes.clone(),
            records: self.records.len(),
            splits: self.splits.len(),
            notes: self.notes.len(),
        }
    }

    fn return_to(&mut self, mark: Mark) {
        self.image = mark.image;
        self.indexes = mark.indexes;
        self.records.truncate(mark.records);
        self.splits.truncate(mark.splits);
        self.notes.truncate(mark.notes);
    }

    /// Adds the change of a partition, if it is one.
    pub fn push_change(&mut self, id: TopicIdPartition, change: Option<PartitionChange>) -> bool {
        let Some(change) = change else { return false };
        self.note_unclean_election(id, &change);
        self.note_no_eligible_replica(id, &change);
        let TopicIdPartition {
            topic_id,
            partition,
        } = id;
        self.push(MetadataRecord::PartitionChange {
            topic_id,
            partition,
            change,
        });
        true
    }

    fn note_unclean_election(&mut self, id: TopicIdPartition, change: &PartitionChange) {
        let (Some(Some(leader)), Some(before)) = (change.leader, self.partition(id)) else {
            return;
        };
        let was_complete = before.isr.contains(&leader) || before.elr.contains(&leader);
        let recovery = change
            .leader_recovery_state
            .unwrap_or(before.leader_recovery_state);
        if was_complete || recovery == LeaderRecoveryState::Recovered {
            return;
        }
        let Some(topic) = self.topic_name(id) else {
            return;
        };
        self.notes.push(Note::UncleanElection {
            id,
            topic,
            leader,
            last_known: before.last_known_elr == [leader],
        });
    }

    fn note_no_eligible_replica(&mut self, id: TopicIdPartition, change: &PartitionChange) {
        let Some(before) = self.partition(id) else {
            return;
        };
        let is_empty = |changed: &Option<Vec<NodeId>>, before: &[NodeId]| {
            changed.as_deref().unwrap_or(before).is_empty()
        };
        let waits_for_operator = change.leader.unwrap_or(before.leader).is_none()
            && is_empty(&change.isr, &before.isr)
            && is_empty(&change.elr, &before.elr)
            && is_empty(&change.last_known_elr, &before.last_known_elr);
        let waited = before.leader.is_none()
            && before.isr.is_empty()
            && before.elr.is_empty()
            && before.last_known_elr.is_empty();
        if !waits_for_operator || waited {
            return;
        }
        let Some(topic) = self.topic_name(id) else {
            return;
        };
        let replicas = change.replicas.clone();
        self.notes.push(Note::NoEligibleReplica {
            id,
            topic,
            replicas: replicas.unwrap_or_else(|| before.replicas.clone()),
        });
    }

    /// The registration of a partition.
    #[must_use]
    pub fn partition(&self, id: TopicIdPartition) -> Option<Arc<PartitionRegistration>> {
        self.image.partition(&id).cloned()
    }

    /// The name of a partition's topic.
    #[must_use]
    pub fn topic_name(&self, id: TopicIdPartition) -> Option<TopicName> {
        self.image
            .topics
            .get(&id.topic_id)
            .map(|topic| topic.name.clone())
    }

    /// Whether the broker may be in an ISR or lead: registered, not fenced, not shutting down.
    #[must_use]
    pub fn is_eligible(&self, broker: NodeId) -> bool {
        self.image
            .brokers
            .get(&broker)
            .is_some_and(|broker| !broker.fenced && !broker.in_controlled_shutdown)
    }

    /// Whether the broker's log directory for this replica is online, or not chosen yet.
    #[must_use]
    pub fn has_online_directory(&self, broker: NodeId, partition: &PartitionRegistration) -> bool {
        let directory = partition
            .directory(broker)
            .unwrap_or(DirectoryId::UNASSIGNED);
        directory == DirectoryId::UNASSIGNED
            || self
                .image
                .brokers
                .get(&broker)
                .is_some_and(|b| b.log_dirs.contains(&directory))
    }

    /// Where a broker puts a new replica: its only log directory, or its own choice among several.
    #[must_use]
    pub fn default_directory(&self, broker: NodeId) -> DirectoryId {
        match self
            .image
            .brokers
            .get(&broker)
            .map(|broker| broker.log_dirs.as_slice())
        {
            Some([only]) => *only,
            _ => DirectoryId::UNASSIGNED,
        }
    }

    /// A topic's configuration: its own, the cluster's dynamic default, or `None` for the static
    /// one.
    #[must_use]
    pub fn topic_config(&self, topic: &TopicName, key: &str) -> Option<&str> {
        self.image
            .config(&ConfigResource::Topic(topic.clone()), key)
            .or_else(|| self.image.config(&ConfigResource::BrokerDefault, key))
    }

    /// Whether the topic may elect a leader that can miss committed records.
    #[must_use]
    pub fn unclean_election_allowed(&self, topic: &TopicName) -> bool {
        match self.topic_config(topic, "unclean.leader.election.enable") {
            Some(value) => value.trim().eq_ignore_ascii_case("true"),
            None => self.settings.unclean_leader_election,
        }
    }

    /// Whether eligible leader replicas are tracked (KIP-966).
    #[must_use]
    pub fn elr_enabled(&self) -> bool {
        self.image.feature_level(ELIGIBLE_LEADER_REPLICAS_VERSION) >= 1
    }

    /// The rules for changing a partition: `min.insync.replicas` is never more than the replicas.
    #[must_use]
    pub fn rules(&self, topic: &TopicName, partition: &PartitionRegistration) -> Rules {
        let min_isr = self
            .topic_config(topic, "min.insync.replicas")
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(self.settings.min_insync_replicas);
        Rules {
            min_isr: min_isr.min(partition.replicas.len()),
            elr: self.elr_enabled(),
        }
    }

    /// A target for the partition as it is, with the election its topic allows.
    #[must_use]
    pub fn target<'a>(
        &self,
        topic: &TopicName,
        partition: &'a PartitionRegistration,
    ) -> PartitionTarget<'a> {
        let mut target = PartitionTarget::new(partition, self.rules(topic, partition));
        if self.unclean_election_allowed(topic) {
            target.election = Election::Unclean;
        }
        target
    }

    /// The record that reaches `target`, choosing leaders among eligible brokers with the replica's
    /// log directory online.
    #[must_use]
    pub fn change(&self, target: PartitionTarget<'_>) -> Option<PartitionChange> {
        self.change_without(target, None)
    }

    /// As [`Draft::change`], but `removed` leads nothing.
    #[must_use]
    pub fn change_without(
        &self,
        target: PartitionTarget<'_>,
        removed: Option<NodeId>,
    ) -> Option<PartitionChange> {
        let before = target.before;
        target.change(
            |node| {
                Some(node) != removed
                    && self.is_eligible(node)
                    && self.has_online_directory(node, before)
            },
            |node| self.default_directory(node),
        )
    }
}
