//! The client side of the Raft RPCs: one lazily connected channel to each other voter.
//!
//! Heartbeats, log entries and snapshots of a peer share its connection: HTTP/2 interleaves them.
//! Host names are resolved again for every connection, so a voter whose address has changed is
//! found.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dohle_model::DirectoryId;
use dohle_rpc::channel::connect_lazy;
use dohle_rpc::v1;
use dohle_rpc::v1::raft_client::RaftClient;
use dohle_storage::FileReader;
use dohle_tls::Connector;
use futures::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::PAYLOAD_LEN_MAX;
use super::admission::{Report, Standing};
use super::handle::NodeAddress;
use super::heartbeats::HeartbeatCall;
use super::peers::Peers;
use super::snapshot::SnapshotFile;
use super::types::{
    LogId, Malformed, Types, Vote, VoterNode, directory_from_proto, directory_to_proto,
    entry_to_proto, log_id_from_proto, log_id_to_proto, node_id_to_proto, snapshot_meta_to_proto,
    vote_from_proto, vote_to_proto,
};

/// The largest message in bytes: the largest entry, with room for the fields around it.
pub(super) const MESSAGE_LEN_MAX: usize = PAYLOAD_LEN_MAX + 8 * 1024 * 1024;
/// The length of one piece of a snapshot, in bytes.
const CHUNK_LEN: usize = 512 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection that receives nothing for this time is probed, and closed when the probe is not
/// answered either. Regular heartbeats make the probe unnecessary.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const FRAME_BYTES: u32 = 256 * 1024;

type RaftSnapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// Creates clients; all clients of one peer share a channel.
pub(super) struct Network {
    pub cluster_id: String,
    pub me: u64,
    /// The configured addresses of voters. They take precedence over addresses in the log.
    pub addresses: NodeAddress,
    /// This voter's directory; zero when it has no id.
    pub directory: DirectoryId,
    pub peers: Arc<Peers>,
    /// The index of the newest entry that defines the voters.
    membership_index: Arc<AtomicU64>,
    connector: Connector,
    channels: Mutex<BTreeMap<u64, (String, Channel)>>,
}

impl Network {
    pub(super) fn new(
        cluster_id: String,
        me: u64,
        addresses: NodeAddress,
        directory: DirectoryId,
        connector: Connector,
    ) -> Self {
        Self {
            cluster_id,
            me,
            addresses,
            directory,
            peers: Arc::new(Peers::new()),
            membership_index: Arc::default(),
            connector,
            channels: Mutex::default(),
        }
    }

    /// Records the index of the newest entry that defines the voters.
    pub(super) fn set_membership_index(&self, index: u64) {
        self.membership_index.store(index, Ordering::Relaxed);
    }

    /// Closes the connections to the other voters as soon as nothing uses them: their keep-alive
    /// would wake both ends for nothing.
    pub(super) fn disconnect(&self) {
        self.channels.lock().clear();
    }

    /// Returns the voters to which there is a connection, or has been one.
    #[cfg(test)]
    pub(super) fn connected(&self) -> Vec<u64> {
        self.channels.lock().keys().copied().collect()
    }

    fn address(&self, target: u64) -> v1::RaftPeer {
        v1::RaftPeer {
            cluster_id: self.cluster_id.clone(),
            from: node_id_to_proto(self.me),
            to: node_id_to_proto(target),
            directory_id: directory_to_proto(self.directory),
            membership_index: self.membership_index.load(Ordering::Relaxed),
        }
    }

    fn client(&self, target: u64, node: &VoterNode) -> Result<RaftClient<Channel>, String> {
        let channel = self.channel(target, node)?;
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_LEN_MAX)
            .max_encoding_message_size(MESSAGE_LEN_MAX))
    }

    /// Asks a voter for its report.
    pub(super) async fn describe(&self, target: u64) -> Result<Report, String> {
        let mut client = self.client(target, &VoterNode::default())?;
        let peer = Some(self.address(target));
        let response = client.describe(v1::RaftDescribeRequest { peer }).await;
        let response = response.map_err(|status| innermost(&status))?.into_inner();
        let standing = match response.standing() {
            v1::RaftStanding::Empty => Standing::Empty,
            v1::RaftStanding::Unproven => Standing::Unproven,
            v1::RaftStanding::Founding => Standing::Founding,
            v1::RaftStanding::Member => Standing::Member,
        };
        Ok(Report {
            standing,
            formatted: response.formatted,
            leads: response.leads,
        })
    }

    /// Asks a leader to send its metadata.
    pub(super) async fn fill(
        &self,
        leader: u64,
    ) -> Result<Streaming<v1::RaftSnapshotRequest>, String> {
        let mut client = self.client(leader, &VoterNode::default())?;
        let peer = Some(self.address(leader));
        let response = client.fill(v1::RaftFillRequest { peer }).await;
        Ok(response.map_err(|status| innermost(&status))?.into_inner())
    }

    fn channel(&self, target: u64, node: &VoterNode) -> Result<Channel, String> {
        let address = self.addresses.get(&target).unwrap_or(&node.addr);
        let mut channels = self.channels.lock();
        if let Some((known, channel)) = channels.get(&target)
            && known == address
        {
            return Ok(channel.clone());
        }
        let channel = connect_lazy(&endpoint(address)?, &self.connector);
        channels.insert(target, (address.clone(), channel.clone()));
        Ok(channel)
    }
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address:?} is not host:port: {error}"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_frame_size(FRAME_BYTES))
}

impl RaftNetworkFactory<Types> for Arc<Network> {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &VoterNode) -> Peer {
        Peer {
            client: self.client(target, node),
            id: target,
            network: Arc::clone(self),
            heartbeats: None,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &VoterNode) -> Peer {
        let mut peer = self.new_client(target, node).await;
        peer.heartbeats = Some(None);
        peer
    }
}

/// A client of one other voter.
pub(super) struct Peer {
    /// The client, or the reason why there is none.
    client: Result<RaftClient<Channel>, String>,
    id: u64,
    network: Arc<Network>,
    /// In a client for heartbeats: the call for them, once it has begun.
    heartbeats: Option<Option<HeartbeatCall>>,
}

/// A voter counts as silent when it does not answer a vote request for this time.
const SILENCE: Duration = Duration::from_millis(300);

/// Reports a voter as silent when it is dropped without an answer.
struct AwaitedAnswer<'a> {
    peers: &'a Peers,
    id: u64,
    at: Instant,
    answered: bool,
}

impl Drop for AwaitedAnswer<'_> {
    fn drop(&mut self) {
        if !self.answered && self.at.elapsed() >= SILENCE {
            self.peers.on_failure(self.id, "no answer");
        }
    }
}

/// Reports to `peers` whether a voter answered.
fn note<T>(peers: &Peers, id: u64, answer: &Result<T, tonic::Status>) {
    match answer {
        Ok(_) => peers.on_answer(id),
        Err(status) => peers.on_failure(id, &innermost(status)),
    }
}

/// Returns the message of the innermost cause, because tonic itself reports only "transport error".
fn innermost(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

impl Peer {
    fn client(&self) -> Result<RaftClient<Channel>, Unreachable<Types>> {
        self.client.clone().map_err(Unreachable::from_string)
    }

    async fn send_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = v1::RaftVoteRequest {
            peer: Some(self.network.address(self.id)),
            vote: Some(vote_to_proto(&request.vote)),
            last_log_id: request.last_log_id.as_ref().map(log_id_to_proto),
            pre_vote,
            leadership_transfer: request.leadership_transfer,
        };
        let mut awaited = AwaitedAnswer {
            peers: &self.network.peers,
            id: self.id,
            at: Instant::now(),
            answered: false,
        };
        let response = self.client()?.vote(request).await;
        awaited.answered = true;
        note(&self.network.peers, self.id, &response);
        let response = response.map_err(unreachable)?.into_inner();
        let vote = vote_from_proto(response.vote).map_err(unreachable)?;
        let last_log_id = response.last_log_id.map(log_id_from_proto);
        Ok(VoteResponse::new(vote, last_log_id, response.vote_granted))
    }

    /// Sends a heartbeat over the call for heartbeats, which begins with the first of them, and
    /// begins again when it has ended meanwhile.
    async fn send_heartbeat(
        &mut self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
        let term = request.vote.leader_id.term;
        let mut client = self.client()?;
        // Whoever drops this future ends the call with it.
        let open = self.heartbeats.as_mut().and_then(Option::take);
        let again = match open {
            Some(mut call) => {
                let response = call.send(append_to_proto(&request, None)).await;
                response.ok().map(|response| (call, response))
            }
            None => None,
        };
        let answer = match again {
            Some(answer) => Ok(answer),
            None => {
                let peer = Some(self.network.address(self.id));
                HeartbeatCall::begin(&mut client, append_to_proto(&request, peer)).await
            }
        };
        let peers = &self.network.peers;
        note(peers, self.id, &answer);
        let (call, response) = answer.map_err(unreachable)?;
        note_log_end(peers, self.id, term, &response);
        let result = append_result(response).map_err(unreachable)?;
        // The voter ends the call after any other result.
        if result.is_ok() {
            self.heartbeats = Some(Some(call));
        }
        Ok(result)
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: RaftSnapshot,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let (parts_tx, parts) = mpsc::channel(2);
        let header = snapshot_header(vote, &snapshot, Some(self.network.address(self.id)));
        let file = snapshot.snapshot;
        let reader =
            spawn_blocking(move || read_chunks(file, |part| parts_tx.blocking_send(part).is_ok()));
        let requests = stream::once(async { header }).chain(ReceiverStream::new(parts));
        let result = self.client()?.install_snapshot(requests).await;
        if let Ok(Err(error)) = reader.await {
            return Err(unreachable(format!(
                "cannot read the metadata snapshot: {error}"
            )));
        }
        let response = result.map_err(unreachable)?.into_inner();
        Ok(SnapshotResponse::new(
            vote_from_proto(response.vote).map_err(unreachable)?,
        ))
    }
}

/// The first message of a snapshot's transfer.
pub(super) fn snapshot_header(
    vote: Vote,
    snapshot: &RaftSnapshot,
    peer: Option<v1::RaftPeer>,
) -> v1::RaftSnapshotRequest {
    let header = v1::RaftSnapshotHeader {
        peer,
        vote: Some(vote_to_proto(&vote)),
        meta: Some(snapshot_meta_to_proto(&snapshot.meta)),
        size_bytes: snapshot.snapshot.len,
    };
    let header = v1::raft_snapshot_request::Part::Header(header);
    v1::RaftSnapshotRequest { part: Some(header) }
}

/// Sends the file in chunks until all of it is sent, or `send` reports that the receiver has
/// disconnected.
pub(super) fn read_chunks(
    snapshot: SnapshotFile,
    mut send: impl FnMut(v1::RaftSnapshotRequest) -> bool,
) -> io::Result<()> {
    let mut reader = FileReader::new(&*snapshot.file, 0);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_LEN);
        (&mut reader)
            .take(CHUNK_LEN as u64)
            .read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let part = v1::raft_snapshot_request::Part::Chunk(Bytes::from(chunk));
        if !send(v1::RaftSnapshotRequest { part: Some(part) }) {
            return Ok(());
        }
    }
}

/// Wraps an error so that openraft backs off: an immediate retry does not help after any of these
/// failures.
fn unreachable(error: impl Display) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(error))
}

fn append_to_proto(
    request: &AppendEntriesRequest<Types>,
    peer: Option<v1::RaftPeer>,
) -> v1::RaftAppendRequest {
    v1::RaftAppendRequest {
        peer,
        vote: Some(vote_to_proto(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_proto),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_proto),
        entries: request.entries.iter().map(entry_to_proto).collect(),
    }
}

/// Records the end of a voter's log, and reports a log that has moved backwards.
fn note_log_end(peers: &Peers, voter: u64, term: u64, response: &v1::RaftAppendResponse) {
    use v1::raft_append_response::Result as Proto;
    let end_of = |id: Option<v1::RaftLogId>| id.map_or(0, |id| id.index.saturating_add(1));
    match &response.result {
        Some(Proto::Matched(matched)) => {
            let directory = directory_from_proto(&matched.directory_id);
            peers.on_matched(voter, term, end_of(matched.log_id), directory);
        }
        Some(Proto::Conflict(conflict)) => {
            let missing = conflict.missing.map_or(0, |id| id.index);
            let to = end_of(conflict.last_log_id).min(missing);
            peers.on_conflict(voter, term, to);
        }
        Some(Proto::HigherVote(_)) | None => {}
    }
}

fn append_result(response: v1::RaftAppendResponse) -> Result<StreamAppendResult<Types>, Malformed> {
    use v1::raft_append_response::Result as Proto;
    Ok(
        match response.result.ok_or(Malformed("response to an append"))? {
            Proto::Matched(matched) => Ok(matched.log_id.map(log_id_from_proto)),
            Proto::Conflict(conflict) => {
                let missing = conflict.missing.ok_or(Malformed("conflict"))?;
                Err(StreamAppendError::Conflict(log_id_from_proto(missing)))
            }
            Proto::HigherVote(vote) => {
                Err(StreamAppendError::HigherVote(vote_from_proto(Some(vote))?))
            }
        },
    )
}

type AppendResults<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let mut results = self.stream_append(stream::iter([rpc]), option).await?;
        match results.next().await {
            Some(result) => result.map(AppendEntriesResponse::from),
            None => Err(unreachable("the stream ended without a response")),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let mut input = input;
        if self.heartbeats.is_some() {
            // One answer follows each request.
            return Box::pin(async move {
                let results = stream::unfold(Some((self, input)), |state| async move {
                    let (peer, mut input) = state?;
                    let result = peer.send_heartbeat(input.next().await?).await;
                    let goes_on = matches!(result, Ok(Ok(_)));
                    Some((result, goes_on.then_some((peer, input))))
                });
                Ok::<AppendResults<'s>, _>(Box::pin(results))
            });
        }
        let mut peer = Some(self.network.address(self.id));
        Box::pin(async move {
            // openraft delays the first request after a failure. Waiting for that request before
            // connecting avoids continuous connection attempts to a peer that is down.
            let Some(first) = input.next().await else {
                return Ok::<AppendResults<'s>, _>(Box::pin(stream::empty()));
            };
            let term = first.vote.leader_id.term;
            let requests = stream::iter([first])
                .chain(input)
                .map(move |request| append_to_proto(&request, peer.take()));
            let mut client = self.client()?;
            let responses = client.append(requests).await;
            if responses.is_err() {
                note(&self.network.peers, self.id, &responses);
            }
            let responses = responses.map_err(unreachable)?.into_inner();
            let (peers, id) = (&self.network.peers, self.id);
            let results = responses.map(move |response| {
                note(peers, id, &response);
                if let Ok(response) = &response {
                    note_log_end(peers, id, term, response);
                }
                append_result(response.map_err(unreachable)?).map_err(unreachable)
            });
            Ok::<AppendResults<'s>, _>(Box::pin(results))
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.send_vote(rpc, false).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.send_vote(rpc, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            result = self.send_snapshot(vote, snapshot) => result.map_err(StreamingError::from),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let last_log_id: Option<LogId> = request.last_log_id().copied();
        let proto = v1::RaftTransferLeaderRequest {
            peer: Some(self.network.address(self.id)),
            from_leader: Some(vote_to_proto(request.from_leader())),
            to_node_id: node_id_to_proto(*request.to_node_id()),
            last_log_id: last_log_id.as_ref().map(log_id_to_proto),
        };
        let response = self.client()?.transfer_leader(proto).await;
        note(&self.network.peers, self.id, &response);
        let response = response.map_err(unreachable)?.into_inner();
        if response.refused.is_empty() {
            return Ok(Ok(()));
        }
        tracing::info!(reason = response.refused, "voter refuses to take over");
        Ok(Err(TransferLeaderError::LogNotFlushed {
            expected: last_log_id,
            actual: None,
        }))
    }
}
