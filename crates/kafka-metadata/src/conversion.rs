//! Converts Kafka's metadata records to Dohle's, in their order.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::delta::MetadataDelta;
use dohle_model::features::{self, METADATA_VERSION};
use dohle_model::image::{MetadataImage, ReplayError};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{DirectoryId, PartitionIndex, TopicId, Uuid};

use crate::record::KafkaRecord;

/// Why a record cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The record does not fit those before it.
    #[error("the {0}")]
    Replay(#[from] ReplayError),
    /// A transaction begins within another, or ends without having begun.
    #[error("a transaction of records begins twice, or ends without a beginning")]
    Transaction,
    /// A migration from ZooKeeper is under way.
    #[error(
        "the cluster migrates from ZooKeeper: complete the migration with Apache Kafka first \
         (all brokers and controllers without zookeeper.connect), and import then"
    )]
    ZooKeeper,
}

/// Converts records one after the other, and keeps the image that results.
#[derive(Debug, Default)]
pub struct Conversion {
    /// The image after all records, those of an open transaction included.
    image: MetadataImage,
    open: Option<Transaction>,
    features: BTreeMap<String, i16>,
    /// ACLs without a counterpart.
    acls: BTreeMap<Uuid, String>,
    others: BTreeSet<String>,
}

/// A transaction whose end has not been read.
#[derive(Debug)]
struct Transaction {
    before: MetadataImage,
    records: Vec<MetadataRecord>,
}

impl Conversion {
    /// Continues after the records that an image came from.
    #[must_use]
    pub fn from_image(image: MetadataImage) -> Self {
        Self {
            image,
            ..Self::default()
        }
    }

    /// Converts the next record. Adds to `converted` what takes effect with it: nothing within a
    /// transaction, all of the transaction with its end.
    ///
    /// # Errors
    /// When the record contradicts those before it, or the cluster still migrates from ZooKeeper.
    pub fn replay(
        &mut self,
        record: KafkaRecord,
        converted: &mut Vec<MetadataRecord>,
    ) -> Result<(), ConversionError> {
        match record {
            KafkaRecord::Metadata(MetadataRecord::RemoveAccessControlEntry { id })
                if self.acls.remove(&id).is_some() =>
            {
                Ok(())
            }
            KafkaRecord::Metadata(record) => self.add(record, converted),
            KafkaRecord::UnknownAcl { id, text } => {
                self.acls.insert(id, text);
                Ok(())
            }
            KafkaRecord::FeatureLevel { name, level } => match self.feature(name, level) {
                Some(record) => self.add(record, converted),
                None => Ok(()),
            },
            KafkaRecord::ClearElr { topic } => {
                let cleared = self.with_elr(topic.as_deref());
                cleared
                    .into_iter()
                    .try_for_each(|record| self.add(record, converted))
            }
            KafkaRecord::BeginTransaction if self.open.is_none() => {
                let before = self.image.clone();
                let records = Vec::new();
                self.open = Some(Transaction { before, records });
                Ok(())
            }
            KafkaRecord::EndTransaction => {
                let open = self.open.take().ok_or(ConversionError::Transaction)?;
                converted.extend(open.records);
                Ok(())
            }
            KafkaRecord::AbortTransaction => {
                let open = self.open.take().ok_or(ConversionError::Transaction)?;
                self.image = open.before;
                Ok(())
            }
            KafkaRecord::BeginTransaction => Err(ConversionError::Transaction),
            // 3.4 numbers the two states before the end of the migration the other way round.
            KafkaRecord::ZkMigrationState(1 | 2) => Err(ConversionError::ZooKeeper),
            KafkaRecord::ZkMigrationState(_) | KafkaRecord::NoOp => Ok(()),
            KafkaRecord::WithoutCounterpart(text) => {
                self.others.insert(text);
                Ok(())
            }
        }
    }

    /// Returns the image after all records that have taken effect.
    #[must_use]
    pub fn image(&self) -> &MetadataImage {
        self.open.as_ref().map_or(&self.image, |open| &open.before)
    }

    /// Whether the last transaction has not ended: its records have no effect. An active controller
    /// of Kafka would abort it.
    #[must_use]
    pub fn is_within_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Lists what the records contain and Dohle does not have, one sentence each.
    #[must_use]
    pub fn without_meaning(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (name, level) in self.features.iter().filter(|(_, level)| **level > 0) {
            let (_, max) = features::supported_range(name);
            let level = match name == METADATA_VERSION {
                true => features::release(*level).map_or_else(|| level.to_string(), str::to_owned),
                false => level.to_string(),
            };
            list.push(match self.image().feature_level(name) {
                0 => format!("feature {name} at level {level}: Dohle does not have it yet"),
                own if own == max => {
                    format!("feature {name} at level {level}: becomes {own}, Dohle's highest")
                }
                own => format!("feature {name} at level {level}: becomes {own}, Dohle's lowest"),
            });
        }
        for (resource, entries) in &self.image().configs {
            if let ConfigResource::Topic(name) = resource
                && entries
                    .get("remote.storage.enable")
                    .is_some_and(|it| it == "true")
            {
                list.push(format!(
                    "topic {name} has remote.storage.enable=true: records that only remote storage \
                     holds cannot be read"
                ));
            }
        }
        list.extend(self.acls.values().chain(&self.others).cloned());
        list
    }

    /// Adds a record, to the open transaction if there is one.
    fn add(
        &mut self,
        mut record: MetadataRecord,
        converted: &mut Vec<MetadataRecord>,
    ) -> Result<(), ConversionError> {
        self.complete(&mut record);
        self.image.replay(&record, &mut MetadataDelta::default())?;
        match &mut self.open {
            Some(open) => open.records.push(record),
            None => converted.push(record),
        }
        Ok(())
    }

    /// Gives a change of replicas the directories that it lacks: releases before 3.7 write none.
    fn complete(&self, record: &mut MetadataRecord) {
        let MetadataRecord::PartitionChange {
            topic_id,
            partition,
            change,
        } = record
        else {
            return;
        };
        let (Some(replicas), None) = (&change.replicas, &change.directories) else {
            return;
        };
        let Some(before) = self.partition(topic_id, *partition) else {
            return;
        };
        let directory = |node| before.directory(node).unwrap_or(DirectoryId::UNASSIGNED);
        change.directories = Some(replicas.iter().map(|node| directory(*node)).collect());
    }

    fn partition(
        &self,
        topic: &TopicId,
        partition: PartitionIndex,
    ) -> Option<&PartitionRegistration> {
        let topic = self.image.topics.get(topic)?;
        topic.partitions.get(&partition).map(|found| &**found)
    }

    /// Returns the level of a feature as Dohle can have it: `None` when it does not have the
    /// feature.
    fn feature(&mut self, name: String, level: i16) -> Option<MetadataRecord> {
        let (min, max) = features::supported_range(&name);
        let own = if level == 0 { 0 } else { level.clamp(min, max) };
        if own == level {
            self.features.remove(&name);
        } else {
            self.features.insert(name.clone(), level);
        }
        (max > 0).then_some(MetadataRecord::FeatureLevel { name, level: own })
    }

    /// Returns the changes that remove the eligible leader replicas of a topic, or of all.
    fn with_elr(&self, topic: Option<&str>) -> Vec<MetadataRecord> {
        let topics = self.image.topics.values();
        let topics = topics.filter(|it| topic.is_none_or(|name| it.name.as_str() == name));
        let mut changes = Vec::new();
        for topic in topics {
            for (partition, registration) in &topic.partitions {
                if registration.elr.is_empty() && registration.last_known_elr.is_empty() {
                    continue;
                }
                changes.push(MetadataRecord::PartitionChange {
                    topic_id: topic.id,
                    partition: *partition,
                    change: PartitionChange {
                        elr: Some(Vec::new()),
                        last_known_elr: Some(Vec::new()),
                        ..PartitionChange::default()
                    },
                });
            }
        }
        changes
    }
}
