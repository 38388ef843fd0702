//! Converts an image to a sequence of records in bounded chunks, and back.

use std::sync::Arc;

use dohle_model::delta::MetadataDelta;
use dohle_model::ids::{BrokerEpoch, MetadataOffset, ProducerId, Uuid};
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;

use super::{
    ConvertError, offset_from_wire, record_from_wire, record_to_wire, uuid_from_wire, uuid_to_wire,
};
use crate::v1;

/// The number of records in one chunk, which keeps messages small in large clusters.
const CHUNK_RECORDS: usize = 1000;

/// Returns the chunks of a snapshot: first the header alone, then records. Lazy: each chunk is
/// created when the iterator reaches it.
pub fn snapshot_chunks(image: &MetadataImage) -> impl Iterator<Item = v1::SnapshotChunk> + '_ {
    let header = v1::SnapshotHeader {
        offset: image.offset.0,
        next_broker_epoch: image.next_broker_epoch.0,
        next_producer_id: image.next_producer_id.0,
        activations: activations_to_wire(image),
    };
    let first = v1::SnapshotChunk {
        header: Some(header),
        records: Vec::new(),
    };
    let mut records = records(image)
        .map(|record| record_to_wire(&record))
        .peekable();
    let rest = std::iter::from_fn(move || {
        records.peek()?;
        let records = records.by_ref().take(CHUNK_RECORDS).collect();
        Some(v1::SnapshotChunk {
            header: None,
            records,
        })
    });
    std::iter::once(first).chain(rest)
}

fn activations_to_wire(image: &MetadataImage) -> Vec<v1::Activation> {
    let to_wire = |(base, id): (&MetadataOffset, &Uuid)| v1::Activation {
        base: base.0,
        id: uuid_to_wire(*id),
    };
    image.activations.iter().map(to_wire).collect()
}

fn records(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> + '_ {
    let features = image
        .features
        .iter()
        .map(|(name, level)| MetadataRecord::FeatureLevel {
            name: name.clone(),
            level: *level,
        });
    let brokers = image
        .brokers
        .values()
        .map(|broker| MetadataRecord::RegisterBroker(broker.as_ref().clone()));
    let topics =
        image.topics.values().flat_map(|topic| {
            let begin = MetadataRecord::Topic {
                name: topic.name.clone(),
                id: topic.id,
            };
            let partitions = topic.partitions.iter().map(|(partition, registration)| {
                MetadataRecord::Partition {
                    topic_id: topic.id,
                    partition: *partition,
                    registration: registration.as_ref().clone(),
                }
            });
            std::iter::once(begin).chain(partitions)
        });
    let configs = image.configs.iter().flat_map(|(resource, entries)| {
        entries.iter().map(|(key, value)| MetadataRecord::Config {
            resource: resource.clone(),
            key: key.clone(),
            value: Some(value.clone()),
        })
    });
    features
        .chain(brokers)
        .chain(topics)
        .chain(configs)
        .chain(security_records(image))
}

fn security_records(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> + '_ {
    let acls = image
        .acls
        .iter()
        .map(|(id, entry)| MetadataRecord::AccessControlEntry {
            id: *id,
            entry: entry.as_ref().clone(),
        });
    let credentials = image
        .scram_credentials
        .iter()
        .map(
            |((user, mechanism), credential)| MetadataRecord::UserScramCredential {
                user: Arc::clone(user),
                mechanism: *mechanism,
                credential: credential.as_ref().clone(),
            },
        );
    let quotas = image.client_quotas.iter().flat_map(|(entity, quotas)| {
        quotas
            .iter()
            .map(|(key, value)| MetadataRecord::ClientQuota {
                entity: entity.clone(),
                key: key.clone(),
                value: Some(*value),
            })
    });
    let tokens = image.delegation_tokens.values();
    let tokens = tokens.map(|token| MetadataRecord::DelegationToken(token.as_ref().clone()));
    acls.chain(credentials).chain(quotas).chain(tokens)
}

/// Collects the chunks of a snapshot into an image.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    image: MetadataImage,
    header: Option<v1::SnapshotHeader>,
}

impl SnapshotBuilder {
    /// Adds the next chunk.
    ///
    /// # Errors
    /// When a record cannot be decoded or does not fit the image.
    pub fn add(&mut self, chunk: &v1::SnapshotChunk) -> Result<(), ConvertError> {
        if chunk.header.is_some() {
            self.header.clone_from(&chunk.header);
        }
        let mut delta = MetadataDelta::default();
        for record in &chunk.records {
            self.image.replay(&record_from_wire(record)?, &mut delta)?;
        }
        Ok(())
    }

    /// Returns the image, after the last chunk was added.
    ///
    /// # Errors
    /// When no chunk had the header.
    pub fn finish(mut self) -> Result<MetadataImage, ConvertError> {
        let header = self
            .header
            .ok_or(ConvertError::Missing("snapshot header"))?;
        self.image.offset = offset_from_wire(header.offset);
        self.image.next_broker_epoch = BrokerEpoch(header.next_broker_epoch);
        self.image.next_producer_id = ProducerId(header.next_producer_id);
        for activation in &header.activations {
            let base = offset_from_wire(activation.base);
            let id = uuid_from_wire("activation", &activation.id)?;
            self.image.activations.insert(base, id);
        }
        Ok(self.image)
    }
}
