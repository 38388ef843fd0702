//! Tests of calls over real connections.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dohle_auth::{NodePeer, NodePrincipals, Principal};
use dohle_model::Uuid;
use dohle_model::image::MetadataImage;
use dohle_protocol::messages::WriteTxnMarkersRequestData;
use dohle_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use dohle_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerResult, WriteTxnMarkersResponseData,
};
use dohle_protocol::messages::{AddPartitionsToTxnRequestData, AddPartitionsToTxnResponseData};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::replication::{
    BrokerRequestHandlers, ReplicationServer, ReplicatorConfig, StreamReplicator,
};
use crate::testing::{NODE, OTHER, Replicas};

const INCARNATION: IncarnationId = IncarnationId(Uuid([9; 16]));

/// Broker 1, which serves calls.
struct Served {
    replicas: Replicas,
    port: u16,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(handlers: BrokerRequestHandlers, listener: TcpListener) -> Served {
    serve_peer(handlers, listener, NodePeer::default()).await
}

/// Serves connections of this peer.
async fn serve_peer(
    handlers: BrokerRequestHandlers,
    listener: TcpListener,
    peer: NodePeer,
) -> Served {
    let replicas = Replicas::start(&[]).await;
    let replicator = StreamReplicator::new(ReplicatorConfig {
        node: NODE,
        cluster_id: "cluster".into(),
        incarnation: INCARNATION,
        listener: "PLAINTEXT".into(),
        connector: Default::default(),
        runtimes: vec![tokio::runtime::Handle::current()],
    });
    let partitions = Arc::clone(&replicas.partitions);
    let server = ReplicationServer::new(partitions, &replicator, handlers);
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    let accepting = tokio::spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            let (server, peer) = (server.clone(), peer.clone());
            serving.spawn(async move { server.serve_connection(stream, peer).await });
        }
    });
    Served {
        replicas,
        port,
        connections,
        accepting,
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// Returns the client of broker 2, which connects to broker 1 at a port.
fn client(served: &Served, cluster_id: &str) -> BrokerClient {
    let mut image = MetadataImage::clone(&served.replicas.metadata.image());
    let mut broker = (*image.brokers[&NODE]).clone();
    broker.endpoints[0].host = "127.0.0.1".to_owned();
    broker.endpoints[0].port = served.port;
    image.brokers.insert(NODE, Arc::new(broker));
    let metadata = MetadataCache::new();
    metadata.publish(Arc::new(image));
    BrokerClient::new(
        OTHER,
        cluster_id.to_owned(),
        INCARNATION,
        "PLAINTEXT".to_owned(),
        Arc::new(metadata),
    )
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn request(producer_id: i64) -> WriteTxnMarkersRequestData {
    WriteTxnMarkersRequestData {
        markers: vec![WritableTxnMarker {
            producer_id,
            transaction_version: 2,
            ..WritableTxnMarker::default()
        }],
        ..WriteTxnMarkersRequestData::default()
    }
}

/// Returns handlers that answer with the producer ids of the request.
fn echo() -> BrokerRequestHandlers {
    BrokerRequestHandlers::default().on(|from, request: WriteTxnMarkersRequestData| async move {
        assert_eq!(from, OTHER);
        let markers = request.markers.iter().map(|marker| {
            assert_eq!(marker.transaction_version, 2);
            WritableTxnMarkerResult {
                producer_id: marker.producer_id,
                ..WritableTxnMarkerResult::default()
            }
        });
        WriteTxnMarkersResponseData {
            markers: markers.collect(),
            ..WriteTxnMarkersResponseData::default()
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_a_time_are_answered_on_one_connection() {
    let served = serve(echo(), listen().await).await;
    let client = Arc::new(client(&served, "cluster"));
    let calls: Vec<_> = (0..20)
        .map(|id| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.call(NODE, &request(id), soon()).await })
        })
        .collect();
    for (id, call) in (0..).zip(calls) {
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.markers[0].producer_id, id);
    }
    assert_eq!(served.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_after_a_broken_connection_connects_again() {
    let listener = listen().await;
    let port = listener.local_addr().unwrap().port();
    let served = serve(echo(), listener).await;
    let client = client(&served, "cluster");
    client.call(NODE, &request(1), soon()).await.unwrap();
    drop(served);
    // The call fails with the connection or, once the listener is closed, because nothing listens.
    while client.call(NODE, &request(2), soon()).await.is_ok() {}
    let listener = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let served = serve(echo(), listener).await;
    let response = client.call(NODE, &request(3), soon()).await.unwrap();
    assert_eq!(response.markers[0].producer_id, 3);
    assert_eq!(served.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_served_reports_why() {
    let never = BrokerRequestHandlers::default().on(|_, _: AddPartitionsToTxnRequestData| {
        std::future::pending::<AddPartitionsToTxnResponseData>()
    });
    let served = serve(never, listen().await).await;
    let client_of_cluster = client(&served, "cluster");
    let unserved = client_of_cluster.call(NODE, &request(1), soon()).await;
    let unserved = unserved.unwrap_err();
    assert!(
        matches!(&unserved, CallError::Transport(TransportError::Status { message, .. })
            if message == "requests of API 27 are not served between brokers"),
        "{unserved}"
    );
    let unknown = client_of_cluster.call(NodeId(7), &request(1), soon()).await;
    assert_eq!(unknown.unwrap_err(), CallError::Unknown(NodeId(7)));
    let never = AddPartitionsToTxnRequestData::default();
    let deadline = Instant::now() + Duration::from_millis(20);
    let late = client_of_cluster.call(NODE, &never, deadline).await;
    assert_eq!(late.unwrap_err(), CallError::TimedOut);

    let stranger = client(&served, "another");
    let refused = stranger.call(NODE, &request(1), soon()).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Transport(TransportError::Status { message, .. })
            if message.contains("cluster another")),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_served_only_under_the_id_of_its_principal() {
    let principals = NodePrincipals::parse("User:node-{node.id}").unwrap();
    let principals = Arc::new(principals.unwrap());
    for (user, is_allowed) in [("node-2", true), ("node-3", false)] {
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        let user = Principal::user(user);
        let peer = NodePeer::bound(Arc::clone(&principals), user, "NODES".into(), address);
        let served = serve_peer(echo(), listen().await, peer).await;
        let client = client(&served, "cluster");
        let refused = client.call(NODE, &request(1), soon()).await.err();
        assert_eq!(refused.is_none(), is_allowed, "{refused:?}");
        let message = refused.map(|error| error.to_string()).unwrap_or_default();
        let names = "User:node-3 may not act as node 2, which is User:node-2";
        assert!(is_allowed || message.contains(names), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_not_served_are_reported_and_not_carried_out() {
    let served = serve(echo(), listen().await).await;
    let client = client(&served, "cluster");
    let call = client.call_in(NODE, &request(1), 1).await.unwrap();
    assert!(matches!(call, CallOutcome::Versions(served) if served == (2..=2)));
}
