//! Control records of the metadata log: what Kafka's quorum writes about itself (KIP-595, KIP-630,
//! KIP-853).

use dohle_model::{DirectoryId, NodeId};

use crate::wire::{DecodeError, Reader};

/// A voter as recorded in the log (KIP-853).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaVoter {
    /// Its node.
    pub id: NodeId,
    /// Its directory.
    pub directory: DirectoryId,
    /// host:port of the first of its listeners, if there is one.
    pub address: Option<String>,
}

/// The content of a control record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRecord {
    /// A leader began an epoch.
    LeaderChange,
    /// A snapshot begins.
    SnapshotHeader,
    /// A snapshot is complete.
    SnapshotFooter,
    /// The level of `kraft.version`.
    KraftVersion(i16),
    /// The voters, with `kraft.version` 1.
    Voters(Vec<KafkaVoter>),
}

impl ControlRecord {
    /// Decodes a control record from its key and value.
    ///
    /// # Errors
    /// When the bytes are malformed, or Kafka 4.4 writes no control record of this type to the
    /// metadata log.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let (_, kind) = (key.i16()?, key.i16()?);
        let mut value = Reader::new(value);
        // The first field of each value is the version of its schema.
        let version = value.i16()?;
        let unknown = DecodeError::Unknown {
            kind: u32::try_from(kind).unwrap_or_default(),
            version: u32::try_from(version).unwrap_or_default(),
        };
        match (kind, version) {
            (2, _) => Ok(Self::LeaderChange),
            (3, _) => Ok(Self::SnapshotHeader),
            (4, _) => Ok(Self::SnapshotFooter),
            (5, 0) => Ok(Self::KraftVersion(value.i16()?)),
            (6, 0) => Ok(Self::Voters(value.elements(voter)?)),
            _ => Err(unknown),
        }
    }
}

fn voter(reader: &mut Reader<'_>) -> Result<KafkaVoter, DecodeError> {
    let id = reader.node()?;
    let directory = DirectoryId(reader.uuid()?);
    let endpoints = reader.elements(|reader| {
        let _listener = reader.string()?;
        let (host, port) = (reader.string()?, reader.u16()?);
        reader.skip_tags()?;
        Ok(match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    })?;
    let (_level_min, _level_max) = (reader.i16()?, reader.i16()?);
    reader.skip_tags()?;
    reader.skip_tags()?;
    Ok(KafkaVoter {
        id,
        directory,
        address: endpoints.into_iter().next(),
    })
}
