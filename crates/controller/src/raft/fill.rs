//! Fills a voter that lost its metadata: the leader's side, and the transfer of the snapshot.
//!
//! The leader commits the voter's directory before it takes the snapshot. The voter refuses every
//! request of Raft meanwhile, so that entry is committed by a majority of the others, all of whom
//! have accepted this leader after the voter had forgotten its votes. Whatever the voter
//! acknowledged or voted for before it lost its disk is therefore known to that majority, and in
//! the snapshot.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dohle_rpc::v1;
use openraft::async_runtime::WatchReceiver;
use openraft::{ChangeMembers, ServerState};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::handle::Raft;
use super::snapshot::{Incoming, SnapshotFile};
use super::types::{LogId, Malformed, Types, Vote, VoterNode};

type RaftSnapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// How long the leader waits for its snapshots to change before it requests one again.
const SNAPSHOT_STEP: Duration = Duration::from_secs(1);

/// Commits that `voter` has a new directory, and returns a snapshot that contains this change.
///
/// # Errors
/// This voter does not lead, or another change of the voters is not committed yet.
pub(super) async fn prepare(
    raft: &Raft,
    voter: u64,
    node: VoterNode,
) -> Result<(Vote, RaftSnapshot), Status> {
    let unavailable = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let is_member = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.get_node(&voter).is_some()
    };
    let committed = if is_member {
        let change = ChangeMembers::SetNodes([(voter, node)].into());
        raft.change_membership(change, true).await
    } else {
        raft.add_learner(voter, node, false).await
    };
    let barrier = committed.map_err(|error| unavailable(&error))?.log_id;
    let snapshot = snapshot_with(raft, barrier).await?;
    let vote = Vote::new_committed(barrier.leader_id.term, *raft.node_id());
    Ok((vote, snapshot))
}

/// Returns a snapshot that covers everything up to `barrier`, which this leader has applied.
async fn snapshot_with(raft: &Raft, barrier: LogId) -> Result<RaftSnapshot, Status> {
    let stopped = |error: &dyn std::fmt::Display| Status::unavailable(error.to_string());
    let mut metrics = raft.metrics();
    loop {
        let current = metrics.borrow_watched().clone();
        if current.state != ServerState::Leader {
            return Err(Status::unavailable("this voter does not lead any more"));
        }
        if current.snapshot >= Some(barrier) {
            let snapshot = raft.get_snapshot().await;
            let snapshot = snapshot.map_err(|error| stopped(&error))?;
            return snapshot.ok_or_else(|| Status::internal("the snapshot was removed"));
        }
        let before = current.snapshot;
        let asked = raft.trigger().snapshot().await;
        asked.map_err(|error| stopped(&error))?;
        // An older snapshot that was being written may finish first; then a new one is requested.
        let written = async {
            while metrics.borrow_watched().snapshot == before {
                metrics.changed().await.map_err(|error| stopped(&error))?;
            }
            Ok::<(), Status>(())
        };
        // Without a change, the loop requests the snapshot again.
        if let Ok(Err(status)) = timeout(SNAPSHOT_STEP, written).await {
            return Err(status);
        }
    }
}

/// Receives the head of a snapshot and its file; returns after the file is complete and verified.
pub(super) async fn receive(
    dir: &Path,
    parts: &mut Streaming<v1::RaftSnapshotRequest>,
) -> Result<(v1::RaftSnapshotHeader, SnapshotFile), Status> {
    let first = parts.message().await?.and_then(|request| request.part);
    let Some(v1::raft_snapshot_request::Part::Header(header)) = first else {
        return Err(Malformed("head of a snapshot").into());
    };
    let file = receive_file(dir, header.size_bytes, parts).await?;
    Ok((header, file))
}

/// Writes the chunks to a temporary file and verifies it.
pub(super) async fn receive_file(
    dir: &Path,
    size: u64,
    chunks: &mut Streaming<v1::RaftSnapshotRequest>,
) -> Result<SnapshotFile, Status> {
    let dir = dir.to_owned();
    let (chunks_tx, chunks_rx) = mpsc::channel(2);
    let writer = spawn_blocking(move || write_chunks(dir, size, chunks_rx));
    while let Some(request) = chunks.message().await? {
        let Some(v1::raft_snapshot_request::Part::Chunk(chunk)) = request.part else {
            return Err(Malformed("chunk of a snapshot").into());
        };
        if chunks_tx.send(chunk).await.is_err() {
            break;
        }
    }
    drop(chunks_tx);
    let file = writer
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    file.map_err(|error| Status::internal(format!("cannot write a metadata snapshot: {error}")))
}

fn write_chunks(
    dir: PathBuf,
    size: u64,
    mut chunks: mpsc::Receiver<bytes::Bytes>,
) -> io::Result<SnapshotFile> {
    let mut incoming = Incoming::create(&dir)?;
    let mut len = 0;
    while let Some(chunk) = chunks.blocking_recv() {
        len += chunk.len() as u64;
        if len > size {
            break;
        }
        incoming.write_all(&chunk)?;
    }
    if len != size {
        return Err(io::Error::other(format!("{len} of {size} bytes arrived")));
    }
    let mut file = incoming.finish()?;
    file.verify()?;
    Ok(file)
}
