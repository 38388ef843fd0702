//! The call for heartbeats, with a voter that counts calls.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dohle_model::DirectoryId;
use dohle_rpc::v1;
use dohle_rpc::v1::raft_append_response::Result as AppendResult;
use dohle_rpc::v1::raft_server::{self, RaftServer};
use dohle_tls::Connector;
use futures::{Stream, StreamExt, stream};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, StreamAppendError};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::cluster::DEADLINE;
use crate::raft::network::{Network, Peer};
use crate::raft::types::{LogId, Types, Vote, VoterNode, log_id};

/// The index of a heartbeat that is not answered.
const UNANSWERED: u64 = 13;
/// The index of a heartbeat that the voter answers with a conflict, which ends the call.
const CONFLICT: u64 = 14;

/// The index of a heartbeat that the voter answers, before it ends the call.
const LAST: u64 = 15;

/// A voter that answers each heartbeat with its index.
#[derive(Debug, Default)]
struct Voter {
    calls: AtomicUsize,
    ignored: Notify,
}

#[derive(Clone)]
struct VoterService(Arc<Voter>);

#[tonic::async_trait]
impl raft_server::Raft for VoterService {
    type FillStream = ReceiverStream<Result<v1::RaftSnapshotRequest, Status>>;
    type AppendStream = Pin<Box<dyn Stream<Item = Result<v1::RaftAppendResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::RaftAppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let voter = Arc::clone(&self.0);
        let answers = stream::unfold(Some(request.into_inner()), move |requests| {
            let voter = Arc::clone(&voter);
            async move {
                let mut requests = requests?;
                let log_id = requests.next().await?.ok()?.prev_log_id?;
                let (result, goes_on) = match log_id.index {
                    UNANSWERED => {
                        voter.ignored.notify_one();
                        std::future::pending().await
                    }
                    CONFLICT => {
                        let conflict = v1::RaftConflict {
                            missing: Some(log_id),
                            last_log_id: None,
                        };
                        (AppendResult::Conflict(conflict), false)
                    }
                    index => {
                        let matched = v1::RaftMatched {
                            log_id: Some(log_id),
                            ..Default::default()
                        };
                        (AppendResult::Matched(matched), index != LAST)
                    }
                };
                let response = v1::RaftAppendResponse {
                    result: Some(result),
                };
                Some((Ok(response), goes_on.then_some(requests)))
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn vote(
        &self,
        _: Request<v1::RaftVoteRequest>,
    ) -> Result<Response<v1::RaftVoteResponse>, Status> {
        Err(Status::unimplemented("vote"))
    }

    async fn describe(
        &self,
        _: Request<v1::RaftDescribeRequest>,
    ) -> Result<Response<v1::RaftDescribeResponse>, Status> {
        Err(Status::unimplemented("describe"))
    }

    async fn fill(
        &self,
        _: Request<v1::RaftFillRequest>,
    ) -> Result<Response<Self::FillStream>, Status> {
        Err(Status::unimplemented("fill"))
    }

    async fn install_snapshot(
        &self,
        _: Request<Streaming<v1::RaftSnapshotRequest>>,
    ) -> Result<Response<v1::RaftSnapshotResponse>, Status> {
        Err(Status::unimplemented("install_snapshot"))
    }

    async fn transfer_leader(
        &self,
        _: Request<v1::RaftTransferLeaderRequest>,
    ) -> Result<Response<v1::RaftTransferLeaderResponse>, Status> {
        Err(Status::unimplemented("transfer_leader"))
    }
}

/// Starts a voter, and returns it with a client for its heartbeats.
async fn connect() -> (Arc<Voter>, Peer) {
    let voter = Arc::new(Voter::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = RaftServer::new(VoterService(Arc::clone(&voter)));
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let addresses = [(2, address)].into();
    let (directory, connector) = (DirectoryId::ZERO, Connector::plaintext());
    let network = Network::new(
        "test-cluster".to_owned(),
        1,
        addresses,
        directory,
        connector,
    );
    let mut network = Arc::new(network);
    let peer = network.new_heartbeat_client(2, &VoterNode::default()).await;
    (voter, peer)
}

/// Sends a heartbeat as openraft does. Returns the index of the answer.
async fn send(peer: &mut Peer, index: u64) -> Result<Option<LogId>, StreamAppendError<Types>> {
    let heartbeat: AppendEntriesRequest<Types> = AppendEntriesRequest {
        vote: Vote::new_committed(1, 1),
        prev_log_id: Some(log_id(1, index)),
        leader_commit: None,
        entries: Vec::new(),
    };
    let option = RPCOption::new(DEADLINE);
    let results = peer.stream_append(stream::iter([heartbeat]), option).await;
    let mut results: Vec<_> = results.unwrap().collect().await;
    assert_eq!(results.len(), 1, "{results:?}");
    results.remove(0).unwrap()
}

#[tokio::test]
async fn all_heartbeats_of_a_leader_share_one_call() {
    let (voter, mut peer) = connect().await;
    for index in 1..=5 {
        assert_eq!(
            send(&mut peer, index).await.unwrap(),
            Some(log_id(1, index))
        );
    }
    assert_eq!(voter.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_heartbeat_after_the_end_of_the_call_begins_another() {
    let (voter, mut peer) = connect().await;
    assert_eq!(send(&mut peer, 1).await.unwrap(), Some(log_id(1, 1)));
    assert!(send(&mut peer, CONFLICT).await.is_err());
    assert_eq!(send(&mut peer, LAST).await.unwrap(), Some(log_id(1, LAST)));
    assert_eq!(voter.calls.load(Ordering::Relaxed), 2);
    assert_eq!(send(&mut peer, 2).await.unwrap(), Some(log_id(1, 2)));
    assert_eq!(voter.calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_heartbeat_that_is_given_up_ends_its_call() {
    let (voter, mut peer) = connect().await;
    assert_eq!(send(&mut peer, 1).await.unwrap(), Some(log_id(1, 1)));
    tokio::select! {
        answer = send(&mut peer, UNANSWERED) => panic!("{answer:?}"),
        () = voter.ignored.notified() => {}
    }
    assert_eq!(send(&mut peer, 2).await.unwrap(), Some(log_id(1, 2)));
    assert_eq!(voter.calls.load(Ordering::Relaxed), 2);
}
