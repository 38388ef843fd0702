//! The server side of the Raft RPCs, to be mounted on the CONTROLLER listener.

use std::pin::Pin;
use std::sync::Arc;

use dohle_auth::NodePeer;
use dohle_rpc::v1;
use dohle_rpc::v1::raft_append_response::Result as AppendResult;
use dohle_rpc::v1::raft_server;
use futures::{Stream, StreamExt, stream};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest,
};
use openraft::storage::Snapshot;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::Standing;
use super::handle::NodeAddress;
use super::machine::Machine;
use super::network::{read_chunks, snapshot_header};
use super::peers::Peers;
use super::types::{
    Entry, Malformed, Types, VoterNode, directory_from_proto, directory_to_proto, entry_from_proto,
    log_id_from_proto, log_id_to_proto, node_id_from_proto, node_id_to_proto,
    snapshot_meta_from_proto, vote_from_proto, vote_to_proto,
};
use super::voter::Voter;
use super::{Leadership, fill};
use crate::peer;

/// Serves the Raft RPCs of the other voters.
#[derive(Clone)]
pub struct RaftService {
    pub(super) raft: openraft::Raft<Types, Machine>,
    pub(super) voter: Arc<Voter>,
    pub(super) peers: Arc<Peers>,
    /// The configured voters and their addresses.
    pub(super) addresses: NodeAddress,
    pub(super) leadership: watch::Receiver<Leadership>,
    /// Notified when another voter has started, so that this voter asks the others again while it
    /// is not admitted.
    pub(super) asked: Arc<Notify>,
    pub(super) cluster_id: String,
    pub(super) me: u64,
    /// When this voter last heard from a leader.
    pub(super) leader_heard: watch::Sender<Option<Instant>>,
    /// The last term whose leader has asked for another one.
    pub(super) handed_over: watch::Sender<Option<u64>>,
    /// Becomes true when this voter stops, which ends the streams that other voters keep open.
    pub(super) stopped: watch::Receiver<bool>,
}

impl RaftService {
    /// Checks that the request is addressed to this voter, that this voter takes part in the
    /// quorum, and that the sender has the directory that is committed for it. `vote` is the
    /// sender's own.
    fn check(
        &self,
        sender: &NodePeer,
        peer: Option<v1::RaftPeer>,
        vote: Option<&v1::RaftVote>,
    ) -> Result<(), Status> {
        let peer = self.check_address(sender, peer)?;
        check_vote(sender, vote)?;
        if !self.voter.is_admitted() {
            return Err(Status::failed_precondition(format!(
                "voter {} holds no metadata yet: it takes part once a leader has replicated to it",
                self.me
            )));
        }
        let sender = node_id_from_proto(peer.from)?;
        let directory = directory_from_proto(&peer.directory_id);
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let index = stored.log_id().map_or(0, |id| id.index);
        let known = stored.membership().get_node(&sender);
        let known = known.map_or(directory, |node| node.directory);
        // A sender with a newer membership may have a directory that this voter has not learned of
        // yet.
        let differs = !known.is_zero() && !directory.is_zero() && known != directory;
        if differs && peer.membership_index <= index {
            return Err(Status::failed_precondition(format!(
                "voter {sender} has directory {directory}, but {known} is the one that the quorum \
                 has committed: the voter counts as empty. Stop node {sender}, move its metadata \
                 log away, and start it again"
            )));
        }
        Ok(())
    }

    /// Checks that the request is addressed to this voter of this cluster, and that the principal
    /// of the connection may act under the sender's voter id.
    fn check_address(
        &self,
        sender: &NodePeer,
        peer: Option<v1::RaftPeer>,
    ) -> Result<v1::RaftPeer, Status> {
        let peer = peer.ok_or(Malformed("request without its sender"))?;
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
                "node {} sent a request for voter {} to this node {}: check \
                 controller.quorum.voters on node {}",
                peer.from, peer.to, self.me, peer.from
            )));
        }
        peer::check(sender, peer.from)?;
        Ok(peer)
    }

    fn on_append_result(&self, result: StreamAppendResult<Types>) -> v1::RaftAppendResponse {
        let result = match result {
            Ok(id) => AppendResult::Matched(v1::RaftMatched {
                log_id: id.as_ref().map(log_id_to_proto),
                directory_id: directory_to_proto(self.voter.directory),
            }),
            Err(StreamAppendError::Conflict(id)) => AppendResult::Conflict(v1::RaftConflict {
                missing: Some(log_id_to_proto(&id)),
                last_log_id: self.voter.last_log_id().as_ref().map(log_id_to_proto),
            }),
            Err(StreamAppendError::HigherVote(vote)) => {
                AppendResult::HigherVote(vote_to_proto(&vote))
            }
        };
        if !matches!(result, AppendResult::HigherVote(_)) {
            self.leader_heard.send_replace(Some(Instant::now()));
        }
        v1::RaftAppendResponse {
            result: Some(result),
        }
    }
}

/// Checks that the sender may act as the candidate or leader whose vote this is.
fn check_vote(sender: &NodePeer, vote: Option<&v1::RaftVote>) -> Result<(), Status> {
    vote.map_or(Ok(()), |vote| peer::check(sender, vote.voted_for))
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

/// Returns the requests of an append stream, until the sender ends it, it breaks, or a request is
/// malformed or has the vote of another leader.
fn append_requests(
    sender: NodePeer,
    first: v1::RaftAppendRequest,
    rest: Streaming<v1::RaftAppendRequest>,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    stream::once(async { Ok(first) })
        .chain(rest)
        .scan(sender, |sender, request| {
            let request = request
                .and_then(|request| {
                    check_vote(sender, request.vote.as_ref())?;
                    Ok(append_from_proto(request)?)
                })
                .inspect_err(|error| tracing::debug!(%error, "append stream of a voter ended"));
            std::future::ready(request.ok())
        })
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    type FillStream = ReceiverStream<Result<v1::RaftSnapshotRequest, Status>>;
    type AppendStream = Pin<Box<dyn Stream<Item = Result<v1::RaftAppendResponse, Status>> + Send>>;

    async fn vote(
        &self,
        request: Request<v1::RaftVoteRequest>,
    ) -> Result<Response<v1::RaftVoteResponse>, Status> {
        let sender = peer::of(&request);
        let request = request.into_inner();
        self.check(&sender, request.peer, request.vote.as_ref())?;
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

    async fn describe(
        &self,
        request: Request<v1::RaftDescribeRequest>,
    ) -> Result<Response<v1::RaftDescribeResponse>, Status> {
        let sender = peer::of(&request);
        self.check_address(&sender, request.into_inner().peer)?;
        if !self.voter.is_admitted() {
            self.asked.notify_one();
        }
        let report = self.voter.report(self.leadership.borrow().is_self);
        let standing = match report.standing {
            Standing::Empty => v1::RaftStanding::Empty,
            Standing::Unproven => v1::RaftStanding::Unproven,
            Standing::Founding => v1::RaftStanding::Founding,
            Standing::Member => v1::RaftStanding::Member,
        };
        Ok(Response::new(v1::RaftDescribeResponse {
            standing: standing.into(),
            formatted: report.formatted,
            leads: report.leads,
        }))
    }

    async fn fill(
        &self,
        request: Request<v1::RaftFillRequest>,
    ) -> Result<Response<Self::FillStream>, Status> {
        let sender = peer::of(&request);
        let peer = self.check_address(&sender, request.into_inner().peer)?;
        let voter = node_id_from_proto(peer.from)?;
        let Some(address) = self.addresses.get(&voter) else {
            return Err(Status::failed_precondition(format!(
                "controller.quorum.voters of node {} does not name node {voter}",
                self.me
            )));
        };
        if !self.leadership.borrow().is_self {
            return Err(Status::unavailable("this voter does not lead"));
        }
        let directory = directory_from_proto(&peer.directory_id);
        if let Some(from) = self.peers.on_lost(voter) {
            tracing::warn!(
                voter,
                from,
                to = 0,
                %directory,
                "log of a voter has moved backwards: it is empty, and is filled with a snapshot"
            );
        } else {
            tracing::info!(voter, %directory, "filling an empty voter with a snapshot");
        }
        let node = VoterNode {
            addr: address.clone(),
            directory,
        };
        let (vote, snapshot) = fill::prepare(&self.raft, voter, node).await?;
        let (parts_tx, parts) = mpsc::channel(2);
        let header = snapshot_header(vote, &snapshot, None);
        spawn_blocking(move || {
            // A voter that has disconnected asks again.
            if parts_tx.blocking_send(Ok(header)).is_ok()
                && let Err(error) = read_chunks(snapshot.snapshot, |part| {
                    parts_tx.blocking_send(Ok(part)).is_ok()
                })
            {
                let status =
                    Status::internal(format!("cannot read the metadata snapshot: {error}"));
                drop(parts_tx.blocking_send(Err(status)));
            }
        });
        Ok(Response::new(ReceiverStream::new(parts)))
    }

    async fn append(
        &self,
        request: Request<Streaming<v1::RaftAppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let sender = peer::of(&request);
        let mut rest = request.into_inner();
        let mut first = rest
            .message()
            .await?
            .ok_or(Malformed("append without a request"))?;
        self.check(&sender, first.peer.take(), first.vote.as_ref())?;
        let service = self.clone();
        let mut stop = self.stopped.clone();
        let responses = self
            .raft
            .stream_append(append_requests(sender, first, rest))
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
        let sender = peer::of(&request);
        let mut chunks = request.into_inner();
        let first = chunks.message().await?.and_then(|request| request.part);
        let Some(v1::raft_snapshot_request::Part::Header(mut header)) = first else {
            return Err(Malformed("head of a snapshot").into());
        };
        self.check(&sender, header.peer.take(), header.vote.as_ref())?;
        let vote = vote_from_proto(header.vote)?;
        let meta = snapshot_meta_from_proto(header.meta.take().unwrap_or_default())?;
        let file = fill::receive_file(&self.voter.dir, header.size_bytes, &mut chunks).await?;
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
        let sender = peer::of(&request);
        let request = request.into_inner();
        self.check(&sender, request.peer, request.from_leader.as_ref())?;
        let from = vote_from_proto(request.from_leader)?;
        self.handed_over.send_replace(Some(from.leader_id.term));
        let rpc = TransferLeaderRequest::new(
            from,
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
