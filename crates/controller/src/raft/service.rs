//! The server side of the Raft RPCs, to be mounted on the CONTROLLER listener.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use dohle_rpc::v1;
use dohle_rpc::v1::raft_append_response::Result as AppendResult;
use dohle_rpc::v1::raft_server;
use futures::{Stream, StreamExt, stream};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest,
};
use openraft::storage::Snapshot;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status, Streaming};

use super::machine::Machine;
use super::snapshot::{Incoming, SnapshotFile};
use super::store::LogStore;
use super::types::{
    Entry, Malformed, Types, entry_from_proto, log_id_from_proto, log_id_to_proto,
    node_id_from_proto, node_id_to_proto, snapshot_meta_from_proto, vote_from_proto, vote_to_proto,
};

/// Answers the other voters.
#[derive(Clone)]
pub struct RaftService {
    pub(super) raft: openraft::Raft<Types, Machine>,
    pub(super) log: LogStore,
    pub(super) cluster_id: String,
    pub(super) me: u64,
    pub(super) dir: PathBuf,
    /// Set when a leader was heard since the start.
    pub(super) leader_heard: watch::Sender<bool>,
    /// Ends the streams that other voters keep open.
    pub(super) stopped: watch::Receiver<bool>,
}

impl RaftService {
    /// Whether the request is meant for this voter of this cluster.
    fn check(&self, peer: Option<v1::RaftPeer>) -> Result<(), Status> {
        let peer = peer.ok_or(Malformed("request without its peer"))?;
        if peer.cluster_id != self.cluster_id {
            let (theirs, ours, from) = (peer.cluster_id, &self.cluster_id, peer.from);
            return Err(Status::failed_precondition(format!(
                "node {from} belongs to cluster {theirs}, this is node {} of cluster {ours}: \
                 check controller.quorum.voters and cluster.id on both",
                self.me
            )));
        }
        if peer.to != node_id_to_proto(self.me) {
            return Err(Status::failed_precondition(format!(
                "node {} looks for voter {} here, but this is node {}: check \
                 controller.quorum.voters on node {}",
                peer.from, peer.to, self.me, peer.from
            )));
        }
        Ok(())
    }

    fn on_append_result(&self, result: StreamAppendResult<Types>) -> v1::RaftAppendResponse {
        let result = match result {
            Ok(id) => AppendResult::Matched(v1::RaftMatched {
                log_id: id.as_ref().map(log_id_to_proto),
            }),
            Err(StreamAppendError::Conflict(id)) => AppendResult::Conflict(v1::RaftConflict {
                missing: Some(log_id_to_proto(&id)),
                last_log_id: self.log.last_log_id().as_ref().map(log_id_to_proto),
            }),
            Err(StreamAppendError::HigherVote(vote)) => {
                AppendResult::HigherVote(vote_to_proto(&vote))
            }
        };
        if !matches!(result, AppendResult::HigherVote(_)) {
            self.leader_heard
                .send_if_modified(|heard| !std::mem::replace(heard, true));
        }
        v1::RaftAppendResponse {
            result: Some(result),
        }
    }

    /// Writes the chunks to a temporary file and checks it.
    async fn receive(
        &self,
        header: &v1::RaftSnapshotHeader,
        chunks: &mut Streaming<v1::RaftSnapshotRequest>,
    ) -> Result<SnapshotFile, Status> {
        let dir = self.dir.clone();
        let size = header.size_bytes;
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
        file.map_err(|error| Status::internal(format!("write of a metadata snapshot: {error}")))
    }
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

fn append_from_proto(
    request: v1::RaftAppendRequest,
) -> Result<AppendEntriesRequest<Types>, Malformed> {
    let entries: Result<Vec<Entry>, _> =
        request.entries.into_iter().map(entry_from_proto).collect();
    let entries = entries?;
    let prev_log_id = request.prev_log_id.map(log_id_from_proto);
    let first = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
    let contiguous = (first..)
        .zip(&entries)
        .all(|(index, entry)| entry.log_id.index == index);
    if !contiguous {
        return Err(Malformed("append: its entries are not contiguous"));
    }
    Ok(AppendEntriesRequest {
        vote: vote_from_proto(request.vote)?,
        prev_log_id,
        entries,
        leader_commit: request.leader_commit.map(log_id_from_proto),
    })
}

/// What arrives, until the other side ends the stream, it breaks, or a request is malformed.
fn append_requests(
    first: v1::RaftAppendRequest,
    rest: Streaming<v1::RaftAppendRequest>,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    stream::once(async { Ok(first) })
        .chain(rest)
        .scan((), |(), request| {
            let request = request
                .and_then(|request| append_from_proto(request).map_err(Status::from))
                .inspect_err(|error| tracing::debug!(%error, "append stream of a voter ends"));
            std::future::ready(request.ok())
        })
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<v1::RaftAppendResponse, Status>> + Send>>;

    async fn vote(
        &self,
        request: Request<v1::RaftVoteRequest>,
    ) -> Result<Response<v1::RaftVoteResponse>, Status> {
        let request = request.into_inner();
        self.check(request.peer)?;
        let mut rpc = VoteRequest::new(
            vote_from_proto(request.vote)?,
            request.last_log_id.map(log_id_from_proto),
        );
        rpc.leadership_transfer = request.leadership_transfer;
        let answer = if request.pre_vote {
            self.raft.pre_vote(rpc).await
        } else {
            self.raft.vote(rpc).await
        };
        let answer = answer.map_err(stopped)?;
        Ok(Response::new(v1::RaftVoteResponse {
            vote: Some(vote_to_proto(&answer.vote)),
            vote_granted: answer.vote_granted,
            last_log_id: answer.last_log_id.as_ref().map(log_id_to_proto),
        }))
    }

    async fn append(
        &self,
        request: Request<Streaming<v1::RaftAppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let mut rest = request.into_inner();
        let mut first = rest
            .message()
            .await?
            .ok_or(Malformed("append without a request"))?;
        self.check(first.peer.take())?;
        let service = self.clone();
        let mut stop = self.stopped.clone();
        let responses = self
            .raft
            .stream_append(append_requests(first, rest))
            .map(move |result| {
                result
                    .map(|result| service.on_append_result(result))
                    .map_err(stopped)
            })
            .take_until(async move { drop(stop.wait_for(|stopped| *stopped).await) });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::RaftSnapshotRequest>>,
    ) -> Result<Response<v1::RaftSnapshotResponse>, Status> {
        let mut chunks = request.into_inner();
        let first = chunks.message().await?.and_then(|request| request.part);
        let Some(v1::raft_snapshot_request::Part::Header(mut header)) = first else {
            return Err(Malformed("head of a snapshot").into());
        };
        self.check(header.peer.take())?;
        let vote = vote_from_proto(header.vote)?;
        let meta = snapshot_meta_from_proto(header.meta.take().unwrap_or_default())?;
        let file = self.receive(&header, &mut chunks).await?;
        if file.meta != meta {
            return Err(Malformed("snapshot: its head is not that of the request").into());
        }
        tracing::info!(bytes = file.len, last = ?meta.last_log_id, "metadata snapshot received");
        let snapshot = Snapshot {
            meta,
            snapshot: file,
        };
        let answer = self
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(stopped)?;
        Ok(Response::new(v1::RaftSnapshotResponse {
            vote: Some(vote_to_proto(&answer.vote)),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::RaftTransferLeaderRequest>,
    ) -> Result<Response<v1::RaftTransferLeaderResponse>, Status> {
        let request = request.into_inner();
        self.check(request.peer)?;
        let rpc = TransferLeaderRequest::new(
            vote_from_proto(request.from_leader)?,
            node_id_from_proto(request.to_node_id)?,
            request.last_log_id.map(log_id_from_proto),
        );
        let answer = self
            .raft
            .handle_transfer_leader(rpc)
            .await
            .map_err(stopped)?;
        let refused = answer
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        Ok(Response::new(v1::RaftTransferLeaderResponse { refused }))
    }
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this voter's metadata quorum has stopped: {error}"))
}
