//! Recovery of a quorum whose majority has lost its metadata. An operator requests it on a
//! surviving voter while that voter is stopped.
//!
//! At its next start that voter becomes the only voter of the quorum, so it is elected alone. It
//! then fills the other configured voters with a snapshot and restores their votes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use dohle_model::{DirectoryId, MetadataOffset};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use tokio::sync::watch;

use super::store::{FatalSender, LogLimits, LogStore};
use super::types::{Entry, EntryPayload, Membership, Types, Vote, VoterNode, log_id};
use super::voter_file::VoterFile;

/// The position of a stopped voter's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoterInspection {
    /// The term of its last entry, Kafka's leader epoch.
    pub last_term: u64,
    /// The offset of its last entry.
    pub last_offset: MetadataOffset,
    /// The newest term that it has voted in.
    pub voted_term: u64,
    /// The offset up to which it has recorded entries as committed, if any.
    pub committed: Option<MetadataOffset>,
}

/// Reads the position of a stopped voter's log: `None` when it has no metadata.
///
/// # Errors
/// The log cannot be read, or the node is running.
pub async fn inspect(dir: &Path) -> io::Result<Option<VoterInspection>> {
    if !dir.is_dir() {
        return Ok(None);
    }
    let limits = LogLimits {
        cache_bytes: 1024 * 1024,
        file_bytes: u64::MAX,
    };
    let fatal = FatalSender(watch::Sender::new(None));
    let mut log = LogStore::open(dir, &limits, fatal).await?;
    let last = log.last_log_id();
    let vote = log.read_vote().await?;
    let committed = log.read_committed().await?;
    log.close().await;
    Ok(last.map(|last| VoterInspection {
        last_term: last.leader_id.term,
        last_offset: MetadataOffset(last.index),
        voted_term: vote.map_or(0, |vote| vote.leader_id.term),
        committed: committed.map(|id| MetadataOffset(id.index)),
    }))
}

/// Requests that the stopped voter in `dir` leads alone after its next start.
///
/// # Errors
/// The file cannot be written.
pub fn request(dir: &Path, directory: DirectoryId) -> io::Result<()> {
    let file = VoterFile {
        directory,
        admitted: true,
        formatted: false,
        recover: true,
    };
    file.write(dir)
}

/// Records in a metadata directory without a log that an operator formatted it: the voter is new.
///
/// # Errors
/// The directory or the file cannot be written.
pub fn mark_formatted(dir: &Path, directory: DirectoryId) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let file = VoterFile {
        directory,
        formatted: true,
        ..VoterFile::default()
    };
    file.write(dir)
}

/// Makes `me` the only voter, if an operator has requested that.
pub(super) async fn apply(
    log: &mut LogStore,
    dir: &Path,
    me: u64,
    node: VoterNode,
) -> io::Result<()> {
    if !VoterFile::read(dir)?.is_some_and(|file| file.recover) {
        return Ok(());
    }
    let directory = node.directory;
    let Some(last) = log.last_log_id() else {
        return Err(io::Error::other(
            "a recovery of the quorum was requested, but this voter has no metadata",
        ));
    };
    let voted = log.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(last.leader_id.term) + 1;
    let alone = Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, node)]));
    let entry = Entry {
        log_id: log_id(term, last.index + 1),
        payload: EntryPayload::Membership(alone.map_err(io::Error::other)?),
    };
    log.save_vote(&Vote::new(term, me)).await?;
    let (flushed, written) = Types::oneshot();
    log.append([entry], IOFlushed::signal(flushed)).await?;
    written.await.map_err(io::Error::other)??;
    let file = VoterFile {
        directory,
        admitted: true,
        formatted: false,
        recover: false,
    };
    file.write(dir)?;
    tracing::warn!(
        term,
        offset = last.index,
        "metadata quorum is recovered from this voter, as an operator requested: entries that only \
         other voters held are lost"
    );
    Ok(())
}
