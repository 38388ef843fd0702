//! Writes the files of a voter whose log comes from another quorum: snapshot, journal and
//! `voter.properties`, in this order.
//!
//! Invariant: the voter is admitted by the last of the files, when the log is durable.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{DirectoryId, NodeId};
use dohle_storage::Environment;

use super::SnapshotWriter;
use super::files::Files;
use super::snapshot;
use super::store::journal_of;
use super::types::{
    Entry, EntryPayload, Membership, Payload, SnapshotMeta, StoredMembership, Vote, VoterNode,
    log_id,
};
use super::voter_file::VoterFile;

/// A voter of the other quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportedVoter {
    pub id: NodeId,
    /// host:port of its CONTROLLER listener; empty when it is not recorded.
    pub address: String,
    /// The id of its directory; zero when it is not recorded.
    pub directory: DirectoryId,
}

/// The content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportedPayload {
    /// Nothing.
    Blank,
    /// The voters from this entry on.
    Voters(Vec<ImportedVoter>),
    /// A payload for the state machine.
    Normal(Bytes),
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportedEntry {
    pub term: u64,
    pub index: u64,
    pub payload: ImportedPayload,
}

/// The snapshot before the first entry.
pub(crate) struct ImportedSnapshot {
    /// The term and the index of the last entry that it covers.
    pub term: u64,
    pub index: u64,
    pub voters: Vec<ImportedVoter>,
    pub body: SnapshotWriter,
}

/// The log of a voter.
pub(crate) struct ImportedLog {
    pub snapshot: Option<ImportedSnapshot>,
    /// Contiguous; they follow the snapshot, or begin with index 0.
    pub entries: Vec<ImportedEntry>,
    /// The newest term that the voter has recorded, and its vote in that term.
    pub vote: (u64, NodeId),
    /// The voter's own directory.
    pub directory: DirectoryId,
}

/// Writes the log of a voter into an empty or absent directory, durably.
///
/// # Errors
/// The files cannot be written, or the entries are not contiguous.
pub(crate) fn write(environment: Environment, dir: &Path, log: &ImportedLog) -> io::Result<()> {
    let files = Arc::new(Files::within(environment, dir));
    files.create_directory()?;
    let mut purged = None;
    if let Some(covered) = &log.snapshot {
        let last = log_id(covered.term, covered.index);
        let membership = membership(&covered.voters)?;
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(Some(last), membership),
        };
        snapshot::create(&files, &meta, |writer| (covered.body)(writer))?;
        purged = Some(last);
    }
    let (term, candidate) = log.vote;
    let candidate = u64::try_from(candidate.0).map_err(io::Error::other)?;
    let entries = log.entries.iter().map(entry);
    journal_of(&files, Vote::new(term, candidate), purged, entries)?;
    let file = VoterFile {
        directory: log.directory,
        admitted: true,
        ..VoterFile::default()
    };
    file.write_to(&files)
}

fn entry(imported: &ImportedEntry) -> io::Result<Entry> {
    let payload = match &imported.payload {
        ImportedPayload::Blank => EntryPayload::Blank,
        ImportedPayload::Voters(voters) => EntryPayload::Membership(membership(voters)?),
        ImportedPayload::Normal(payload) => EntryPayload::Normal(Payload(payload.clone())),
    };
    Ok(Entry {
        log_id: log_id(imported.term, imported.index),
        payload,
    })
}

fn membership(voters: &[ImportedVoter]) -> io::Result<Membership> {
    let node = |voter: &ImportedVoter| {
        let id = u64::try_from(voter.id.0).map_err(io::Error::other)?;
        let node = VoterNode {
            addr: voter.address.clone(),
            directory: voter.directory,
        };
        Ok((id, node))
    };
    let nodes: BTreeMap<u64, VoterNode> = voters.iter().map(node).collect::<io::Result<_>>()?;
    let ids = nodes.keys().copied().collect();
    Membership::new(vec![ids], nodes).map_err(io::Error::other)
}

/// Writes a whole file durably, in a directory that need not be that of a log. The previous file
/// stays until the new one is complete.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn replace(
    environment: Environment,
    dir: &Path,
    name: &str,
    content: &[u8],
) -> io::Result<()> {
    Files::within(environment, dir).replace(name, content)
}
