//! A draft: an image that plans change, and the records of these changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_auth::TokenKey;
use dohle_auth::quotas::{Exceeded, MutationQuota};
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

/// The settings that plans use, from the controller's static configuration.
#[derive(Clone)]
pub struct PlanSettings {
    /// This controller.
    pub controller: NodeId,
    /// The controllers: the voters of the quorum.
    pub controllers: BTreeSet<NodeId>,
    /// The levels of features that a new cluster finalizes.
    pub new_cluster_features: BTreeMap<String, i16>,
    /// The users that a new cluster begins with.
    pub new_cluster_users: Vec<MetadataRecord>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i32,
    /// `min.insync.replicas` of topics that set none.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable` of topics that set none.
    pub unclean_leader_election: bool,
    /// The key and the lifetimes of delegation tokens; `None` where they are disabled.
    pub delegation_tokens: Option<TokenSettings>,
    /// Defines the allowed configuration names and values.
    pub configs: Arc<dyn ConfigSchema>,
}

/// The key and the lifetimes of delegation tokens.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// `delegation.token.secret.key`.
    pub key: TokenKey,
    /// `delegation.token.max.lifetime.ms`: tokens expire after this time however often they are
    /// renewed.
    pub lifetime_max: Duration,
    /// `delegation.token.expiry.time.ms`: tokens expire after this time unless they are renewed.
    pub renewal_max: Duration,
    /// `delegation.token.expiry.check.interval.ms`.
    pub check_interval: Duration,
}

/// A decision of a plan that operators may need to see. Logged once the plan is committed.
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
        /// Whether the leader was also the last leader, so that no other replica is known to have
        /// more records.
        last_known: bool,
    },
    /// No replica may be elected any more: an operator must request an unclean election.
    NoEligibleReplica {
        /// The partition.
        id: TopicIdPartition,
        /// Its topic's name.
        topic: TopicName,
        /// The replicas that an unclean election can choose from.
        replicas: Vec<NodeId>,
    },
    /// A delegation token has expired and was removed.
    TokenExpired {
        /// The token's id.
        id: Arc<str>,
        /// The principal that it acted for.
        owner: Arc<str>,
    },
    /// A broker was removed from ISRs or ELRs.
    LeftIsrs {
        /// The broker.
        broker: NodeId,
        /// The number of partitions.
        partitions: usize,
        /// The reason.
        reason: &'static str,
    },
}

/// A position in a draft, to which it can be reset.
struct Mark {
    image: MetadataImage,
    indexes: Indexes,
    records: usize,
    splits: usize,
    notes: usize,
}

/// An image that plans change; see the module.
#[derive(Clone)]
pub struct Draft {
    /// The image with all pushed records replayed.
    pub image: MetadataImage,
    /// The partitions of `image` that may need an election.
    pub indexes: Indexes,
    /// The controller's settings.
    pub settings: Arc<PlanSettings>,
    /// Brokers whose current session is connected and was heard from recently.
    pub connected: BTreeSet<NodeId>,
    /// The reported limits of brokers' open files and connections.
    pub open_files_max: BTreeMap<NodeId, u64>,
    /// The records pushed so far.
    pub records: Vec<MetadataRecord>,
    /// The lengths of `records` at which they may be divided into several batches: when only the
    /// first batches are committed, the metadata are consistent, and the rest is planned again.
    pub splits: Vec<usize>,
    /// The decisions so far.
    pub notes: Vec<Note>,
    /// Set when a pushed record did not fit: the plan is wrong, and this draft must not be
    /// committed.
    pub broken: Option<ReplayError>,
    /// The reason why nothing may be created: the metadata log has little space left.
    pub shortage: Option<Arc<str>>,
    /// The quota of partitions that the request may create or delete.
    pub mutation_quota: MutationQuota,
}

impl Draft {
    /// Creates a draft of `image` with its `indexes`.
    #[must_use]
    pub fn new(image: &MetadataImage, indexes: &Indexes, settings: &Arc<PlanSettings>) -> Self {
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
            mutation_quota: MutationQuota::UNLIMITED,
        }
    }

    /// Refuses requests that make the metadata grow while their disk space is short.
    ///
    /// # Errors
    /// The reason for the shortage.
    pub fn check_space(&self) -> Result<(), ApiError> {
        match &self.shortage {
            None => Ok(()),
            Some(reason) => Err(ErrorCode::KafkaStorageError.because(reason.to_string())),
        }
    }

    /// Counts partitions that are going to be created or deleted towards the client's quota
    /// (KIP-599), whether the request is carried out or only validated.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED when the client has used its quota, unless its version of the
    /// request does not have this error.
    pub fn charge_partitions(&mut self, partitions: usize) -> Result<(), ApiError> {
        let charged = self.mutation_quota.charge(partitions);
        charged.map_err(|Exceeded(_)| {
            let message = "The throttling quota has been exceeded.";
            ErrorCode::ThrottlingQuotaExceeded.because(message)
        })
    }

    /// Takes everything back that was planned since `before`, except what was counted towards the
    /// client's quota.
    pub fn take_back(&mut self, before: Self) {
        let mutation_quota = self.mutation_quota;
        *self = before;
        self.mutation_quota = mutation_quota;
    }

    /// Adds a record and replays it into the draft's image.
    pub fn push(&mut self, record: MetadataRecord) {
        let changed = record.partition();
        let before = changed.and_then(|id| self.partition(id));
        let mut delta = MetadataDelta::default();
        let replayed = self.image.replay(&record, &mut delta);
        if replayed.is_ok() {
            self.indexes.replayed(&self.image, &delta);
        }
        let checked = replayed.and_then(|()| match changed {
            Some(id) => self.check_partition(id, before.as_deref()),
            None => Ok(()),
        });
        if let Err(error) = checked {
            self.broken = self.broken.take().or(Some(error));
        }
        self.records.push(record);
    }

    /// Refuses a change that makes a sound registration of a partition inconsistent. One that was
    /// inconsistent before came from the metadata log, and may still change.
    fn check_partition(
        &self,
        id: TopicIdPartition,
        before: Option<&PartitionRegistration>,
    ) -> Result<(), ReplayError> {
        let Some(after) = self.image.partition(&id) else {
            return Ok(());
        };
        if let Some(before) = before {
            assert!(
                after.partition_epoch >= before.partition_epoch
                    && after.leader_epoch >= before.leader_epoch,
                "the epochs of partition {id} fall from {} and {} to {} and {}",
                before.partition_epoch,
                before.leader_epoch,
                after.partition_epoch,
                after.leader_epoch
            );
        }
        let was_sound = before.is_none_or(|before| before.contradiction().is_none());
        match after.contradiction().filter(|_| was_sound) {
            Some(reason) => Err(ReplayError::Inconsistent { id, reason }),
            None => Ok(()),
        }
    }

    /// Runs `plan`, and takes its records back when it fails.
    ///
    /// # Errors
    /// The errors of `plan`.
    pub fn attempt<T, E>(&mut self, plan: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let mark = self.mark();
        let result = plan(self);
        if result.is_err() {
            self.broken = None;
            self.return_to(mark);
        }
        result
    }

    /// Runs `plan`, and takes its records back when one of them does not fit the image.
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

    /// Marks that the records so far may be committed without those that follow.
    pub fn may_split(&mut self) {
        let here = self.records.len();
        assert!(
            self.splits.last().is_none_or(|last| *last <= here),
            "a split after {here} records follows one after {:?}",
            self.splits.last()
        );
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
        let lengths = (self.records.len(), self.splits.len(), self.notes.len());
        let marked = (mark.records, mark.splits, mark.notes);
        assert!(
            lengths.0 >= marked.0 && lengths.1 >= marked.1 && lengths.2 >= marked.2,
            "a draft with (records, splits, notes) {lengths:?} returns to {marked:?}"
        );
        self.image = mark.image;
        self.indexes = mark.indexes;
        self.records.truncate(mark.records);
        self.splits.truncate(mark.splits);
        self.notes.truncate(mark.notes);
    }

    /// Adds the record of a partition's change, if there is one.
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

    /// Returns the registration of a partition.
    #[must_use]
    pub fn partition(&self, id: TopicIdPartition) -> Option<Arc<PartitionRegistration>> {
        self.image.partition(&id).cloned()
    }

    /// Returns the name of a partition's topic.
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

    /// Returns the directory of a new replica on a broker: its only log directory, or `UNASSIGNED`
    /// when the broker chooses among several.
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

    /// Returns a topic's configuration value: its own, else the cluster's dynamic default, or
    /// `None` when the static default applies.
    #[must_use]
    pub fn topic_config(&self, topic: &TopicName, key: &str) -> Option<&str> {
        self.image
            .config(&ConfigResource::Topic(topic.clone()), key)
            .or_else(|| self.image.config(&ConfigResource::BrokerDefault, key))
    }

    /// Whether the topic allows electing a leader that may lack committed records.
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

    /// Returns the rules for changing a partition: its `min.insync.replicas` is at most its number
    /// of replicas.
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

    /// Returns a target that equals the present partition, with the election that its topic allows.
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

    /// Returns the record that reaches `target`. Only eligible brokers with the replica's log
    /// directory online may lead.
    #[must_use]
    pub fn change(&self, target: PartitionTarget<'_>) -> Option<PartitionChange> {
        self.change_without(target, None)
    }

    /// Does the same as [`Draft::change`], but never elects `removed`.
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
