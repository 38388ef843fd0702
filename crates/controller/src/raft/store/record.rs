//! The format of the Raft journal: a file header, then records.
//!
//! ```text
//! file header   "DOHLEJNL" | version (4) | CRC32C of the rest (4)
//!               | file id (8) | generation (8) | base end (8)
//! record        CRC32C of the rest of the header (4) | CRC32C of the payload (4)
//!               | length of the payload (4) | kind (4)
//!               | position in the file (8) | synced end (8) | file id (8) | payload
//! ```
//! Integers are big endian. Everything before `base end` was synced before the file got its name. A
//! record's `synced end` is the end of what had been synced when the record was written: a crash
//! cannot cause damage below it. The position and the file id, a random number, ensure that bytes
//! inside a payload are never mistaken for a record's header.

use bytes::Bytes;
use dohle_rpc::v1;
use prost::Message;

use crate::raft::types::{
    Entry, LogId, Vote, entry_from_proto, entry_to_proto, log_id_from_proto, log_id_to_proto,
    vote_from_proto, vote_to_proto,
};

const MAGIC: &[u8; 8] = b"DOHLEJNL";
const VERSION: u32 = 1;
pub(super) const FILE_HEADER_LEN: usize = 40;
pub(super) const HEADER_LEN: usize = 40;
/// The largest payload: 64 MiB.
pub(super) const PAYLOAD_MAX: u32 = 64 * 1024 * 1024;

/// The header of a journal file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub id: u64,
    /// Increases with each rewrite of the journal.
    pub generation: u64,
    pub base_end: u64,
}

impl FileHeader {
    pub(super) fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut bytes = [0; FILE_HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.id.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.generation.to_be_bytes());
        bytes[32..].copy_from_slice(&self.base_end.to_be_bytes());
        let checksum = checksum(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < FILE_HEADER_LEN || &bytes[..8] != MAGIC {
            return Err("the file does not begin with a journal's header");
        }
        if word32(bytes, 8) != VERSION {
            return Err("the journal has the format of another release of Dohle");
        }
        if word32(bytes, 12) != checksum(&bytes[16..FILE_HEADER_LEN]) {
            return Err("the file header does not match its checksum");
        }
        Ok(Self {
            id: word64(bytes, 16),
            generation: word64(bytes, 24),
            base_end: word64(bytes, 32),
        })
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub payload_checksum: u32,
    pub payload_len: u32,
    pub kind: u32,
    pub synced_end: u64,
}

impl Header {
    pub(super) fn encode(&self, position: u64, file_id: u64) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[4..8].copy_from_slice(&self.payload_checksum.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.payload_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.kind.to_be_bytes());
        bytes[16..24].copy_from_slice(&position.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.synced_end.to_be_bytes());
        bytes[32..].copy_from_slice(&file_id.to_be_bytes());
        let checksum = checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// Decodes the header at `position` of the file `file_id`; `None` when the bytes are not such a
    /// header.
    pub(super) fn decode(bytes: &[u8], position: u64, file_id: u64) -> Option<Self> {
        if bytes.len() < HEADER_LEN
            || word64(bytes, 16) != position
            || word64(bytes, 32) != file_id
            || word32(bytes, 0) != checksum(&bytes[4..HEADER_LEN])
        {
            return None;
        }
        let header = Self {
            payload_checksum: word32(bytes, 4),
            payload_len: word32(bytes, 8),
            kind: word32(bytes, 12),
            synced_end: word64(bytes, 24),
        };
        (header.payload_len <= PAYLOAD_MAX && header.synced_end <= position).then_some(header)
    }
}

/// One change of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    Vote(Vote),
    Entry(Entry),
    /// Entries from this index on are removed.
    Truncate(u64),
    /// Entries up to this one are removed, because a snapshot covers them.
    Purge(LogId),
    /// Everything before the last sync is durable. Carries the last known committed entry, which
    /// saves work after a restart and may be lost.
    Mark(Option<LogId>),
}

pub(super) const ENTRY: u32 = 2;

impl Record {
    pub(super) fn kind(&self) -> u32 {
        match self {
            Self::Vote(_) => 1,
            Self::Entry(_) => ENTRY,
            Self::Truncate(_) => 3,
            Self::Purge(_) => 4,
            Self::Mark(_) => 5,
        }
    }

    pub(super) fn payload(&self) -> Vec<u8> {
        match self {
            Self::Vote(vote) => vote_to_proto(vote).encode_to_vec(),
            Self::Entry(entry) => entry_to_proto(entry).encode_to_vec(),
            Self::Truncate(from) => from.to_be_bytes().to_vec(),
            Self::Purge(upto) => log_id_to_proto(upto).encode_to_vec(),
            Self::Mark(None) => Vec::new(),
            Self::Mark(Some(committed)) => {
                let mut payload = vec![1];
                payload.extend(log_id_to_proto(committed).encode_to_vec());
                payload
            }
        }
    }

    pub(super) fn decode(kind: u32, payload: Bytes) -> Result<Self, String> {
        let log_id = |bytes: Bytes| {
            let proto = v1::RaftLogId::decode(bytes).map_err(|error| error.to_string())?;
            Ok::<_, String>(log_id_from_proto(proto))
        };
        Ok(match kind {
            1 => {
                let proto = v1::RaftVote::decode(payload).map_err(|error| error.to_string())?;
                Self::Vote(vote_from_proto(Some(proto)).map_err(|error| error.to_string())?)
            }
            ENTRY => Self::Entry(decode_entry(payload)?),
            3 => {
                let from = payload.as_ref().try_into();
                Self::Truncate(u64::from_be_bytes(
                    from.map_err(|_| "malformed truncation")?,
                ))
            }
            4 => Self::Purge(log_id(payload)?),
            5 if payload.is_empty() => Self::Mark(None),
            5 => Self::Mark(Some(log_id(payload.slice(1..))?)),
            other => {
                return Err(format!(
                    "kind {other} was written by another release of Dohle"
                ));
            }
        })
    }
}

pub(super) fn decode_entry(payload: Bytes) -> Result<Entry, String> {
    let proto = v1::RaftEntry::decode(payload).map_err(|error| error.to_string())?;
    entry_from_proto(proto).map_err(|error| error.to_string())
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    // A CRC32C has 32 bits, so the low 32 bits hold all of it.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

pub(super) fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

pub(super) fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]))
}
