//! Tests of the ids under which nodes may act (`node.principals`).

use std::net::SocketAddr;
use std::sync::Arc;

use dohle_auth::{NodePeer, NodePrincipals, Principal};
use dohle_rpc::v1::controller_client::ControllerClient;
use dohle_rpc::v1::raft_client::RaftClient;
use dohle_rpc::v1::raft_snapshot_request::Part;
use dohle_rpc::v1::session_request::Message;
use dohle_rpc::{convert, v1};
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, Routes};
use tonic::{Code, Request, Status};

use super::cluster::{CLUSTER, Cluster, registration, within};

/// A node that has authenticated as `User:node-7`, as its connection's listener presents it.
#[derive(Clone)]
struct Node7(NodePeer);

impl Node7 {
    fn new() -> Self {
        let principals = NodePrincipals::parse("User:node-{node.id}").unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        Self(NodePeer::bound(
            Arc::new(principals.unwrap()),
            Principal::user("node-7"),
            "CONTROLLER".into(),
            address,
        ))
    }
}

impl Interceptor for Node7 {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.extensions_mut().insert(self.0.clone());
        Ok(request)
    }
}

type Service = InterceptedService<Routes, Node7>;

#[track_caller]
fn check<T>(what: &str, answer: Result<T, Status>, is_allowed: bool) {
    let refused = answer
        .err()
        .filter(|it| it.code() == Code::PermissionDenied);
    assert_eq!(refused.is_none(), is_allowed, "{what}: {refused:?}");
    if let Some(refused) = refused {
        let message = refused.message();
        let names = "User:node-7 may not act as node 8, which is User:node-8";
        assert!(message.starts_with(names), "{what}: {message}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Registers a broker, and returns the first response of its session.
async fn register(
    client: &mut ControllerClient<Service>,
    id: i32,
) -> Result<Option<v1::SessionResponse>, Status> {
    let register = v1::SessionRegister {
        cluster_id: CLUSTER.to_owned(),
        registration: Some(convert::registration_to_wire(&registration(id, 1, 9092))),
        known_epoch: -1,
        metadata_offset: 0,
        previous_broker_epoch: -1,
    };
    let message = Some(Message::Register(register));
    let requests = tokio_stream::once(v1::SessionRequest { message });
    let responses = client.session(requests).await?;
    within("a response", responses.into_inner().message()).await
}

#[test]
fn a_broker_acts_only_under_the_id_of_its_principal() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        cluster.active().await;
        let routes = cluster.controller(1).routes();
        let mut client = ControllerClient::with_interceptor(routes, Node7::new());
        for (id, is_allowed) in [(8, false), (7, true)] {
            check("Session", register(&mut client, id).await, is_allowed);
            let watch = v1::WatchMetadataRequest {
                cluster_id: CLUSTER.to_owned(),
                node_id: id,
                ..Default::default()
            };
            check(
                "WatchMetadata",
                client.watch_metadata(watch).await,
                is_allowed,
            );
            let alter = v1::AlterPartitionRequest {
                broker_id: id,
                ..Default::default()
            };
            check(
                "AlterPartition",
                client.alter_partition(alter).await,
                is_allowed,
            );
            let assign = v1::AssignReplicasToDirsRequest {
                broker_id: id,
                ..Default::default()
            };
            let assigned = client.assign_replicas_to_dirs(assign).await;
            check("AssignReplicasToDirs", assigned, is_allowed);
            let allocate = v1::AllocateProducerIdsRequest {
                broker_id: id,
                ..Default::default()
            };
            let allocated = client.allocate_producer_ids(allocate).await;
            check("AllocateProducerIds", allocated, is_allowed);
        }
        let image = cluster.controller(1).image();
        let registered: Vec<i32> = image.brokers.keys().map(|id| id.0).collect();
        assert_eq!(registered, [7]);
    });
}

fn peer(from: i32) -> Option<v1::RaftPeer> {
    Some(v1::RaftPeer {
        cluster_id: CLUSTER.to_owned(),
        from,
        to: 1,
        ..Default::default()
    })
}

/// A vote of the first term, which changes nothing in a cluster that has a leader.
fn vote(voted_for: i32) -> Option<v1::RaftVote> {
    Some(v1::RaftVote {
        term: 0,
        voted_for,
        committed: false,
    })
}

#[test]
fn a_voter_acts_only_under_the_id_of_its_principal() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        cluster.active().await;
        let routes = cluster.controller(1).routes();
        let mut client = RaftClient::with_interceptor(routes, Node7::new());
        // A sender as itself, as another voter, and with the vote of another one.
        for (from, voted_for) in [(7, 7), (8, 8), (7, 8)] {
            let is_allowed = (from, voted_for) == (7, 7);
            let request = v1::RaftVoteRequest {
                peer: peer(from),
                vote: vote(voted_for),
                pre_vote: true,
                ..Default::default()
            };
            check("Vote", client.vote(request).await, is_allowed);
            let append = v1::RaftAppendRequest {
                peer: peer(from),
                vote: vote(voted_for),
                ..Default::default()
            };
            let appended = client.append(tokio_stream::once(append)).await;
            check("Append", appended, is_allowed);
            let header = v1::RaftSnapshotHeader {
                peer: peer(from),
                vote: vote(voted_for),
                ..Default::default()
            };
            let part = Some(Part::Header(header));
            let parts = tokio_stream::once(v1::RaftSnapshotRequest { part });
            check(
                "InstallSnapshot",
                client.install_snapshot(parts).await,
                is_allowed,
            );
            let transfer = v1::RaftTransferLeaderRequest {
                peer: peer(from),
                from_leader: vote(voted_for),
                to_node_id: 1,
                ..Default::default()
            };
            check(
                "TransferLeader",
                client.transfer_leader(transfer).await,
                is_allowed,
            );
            let is_self = from == 7;
            let describe = v1::RaftDescribeRequest { peer: peer(from) };
            check("Describe", client.describe(describe).await, is_self);
            let fill = v1::RaftFillRequest { peer: peer(from) };
            check("Fill", client.fill(fill).await, is_self);
        }
    });
}
