//! Tests of the client, the session and the feed against scripted controllers, over loopback.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::batch::{CommittedBatch, MetadataBatch};
use dohle_model::delta::LocalChanges;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{BrokerRegistration, MetadataRecord};
use dohle_model::{
    BrokerEpoch, DirectoryId, ErrorCode, IncarnationId, MetadataOffset, NodeId, PartitionIndex,
    TopicId, TopicName, Uuid,
};
use dohle_rpc::v1::controller_server::{Controller, ControllerServer};
use dohle_rpc::{convert, v1};
use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::*;

mod forward;

const WAIT: Duration = Duration::from_secs(20);
const NODE: NodeId = NodeId(1);
const INCARNATION: IncarnationId = IncarnationId(Uuid([7; 16]));

fn soon() -> Instant {
    Instant::now() + WAIT
}

/// Waits for an event of the test.
async fn next<T>(events: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(WAIT, events.recv())
        .await
        .expect("in time")
        .expect("the fake is running")
}

/// The reply of a fake voter to its next call. The last reply of a script is repeated.
#[derive(Debug, Clone, Copy)]
enum VoterReply {
    Active,
    /// The voter is not active. It names the leader, if it has one.
    NotActive(Option<i32>),
    Invalid,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type ResponseSender<T> = mpsc::Sender<Result<T, Status>>;

/// The fake's end of a session: the broker's messages, and the channel for responses.
struct FakeSession {
    requests: Streaming<v1::SessionRequest>,
    responses: ResponseSender<v1::SessionResponse>,
}

/// The fake's end of a feed: the request, and the channel for events.
struct FakeFeed {
    request: v1::WatchMetadataRequest,
    events: ResponseSender<v1::MetadataEvent>,
}

#[derive(Clone)]
struct Fake {
    replies: Arc<Mutex<VecDeque<VoterReply>>>,
    calls: Arc<Mutex<usize>>,
    sessions: mpsc::UnboundedSender<FakeSession>,
    feeds: mpsc::UnboundedSender<FakeFeed>,
    /// The responses to the next forwarded requests, and the requests.
    to_forward: Arc<Mutex<VecDeque<v1::ForwardResponse>>>,
    forwarded: Arc<Mutex<Vec<v1::ForwardRequest>>>,
}

/// A fake voter that runs until it is dropped.
struct Running {
    port: u16,
    fake: Fake,
    sessions: mpsc::UnboundedReceiver<FakeSession>,
    feeds: mpsc::UnboundedReceiver<FakeFeed>,
    _stop: oneshot::Sender<()>,
}

impl Fake {
    async fn start(replies: &[VoterReply]) -> Running {
        let (sessions, session_events) = mpsc::unbounded_channel();
        let (feeds, feed_events) = mpsc::unbounded_channel();
        let fake = Self {
            replies: Arc::new(Mutex::new(replies.iter().copied().collect())),
            calls: Arc::default(),
            sessions,
            feeds,
            to_forward: Arc::default(),
            forwarded: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder()
            .add_service(ControllerServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move {
            tokio::select! {
                served = server => served.unwrap(),
                _ = stopped => {}
            }
        });
        Running {
            port,
            fake,
            sessions: session_events,
            feeds: feed_events,
            _stop: stop,
        }
    }

    fn answer<T: Default>(&self) -> Result<Response<T>, Status> {
        *self.calls.lock() += 1;
        let mut replies = self.replies.lock();
        let now = if replies.len() > 1 {
            replies.pop_front()
        } else {
            replies.front().copied()
        };
        match now.unwrap_or(VoterReply::Active) {
            VoterReply::Active => Ok(Response::new(T::default())),
            VoterReply::NotActive(leader) => {
                let mut status = Status::failed_precondition("not the active controller");
                if let Some(id) = leader {
                    let id = id.to_string().parse().unwrap();
                    status
                        .metadata_mut()
                        .insert(dohle_rpc::LEADER_ID_TRAILER, id);
                }
                Err(status)
            }
            VoterReply::Invalid => Err(Status::invalid_argument("a field is wrong")),
        }
    }
}

macro_rules! answers {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl Controller for Fake {
            type SessionStream = Responses<v1::SessionResponse>;
            type WatchMetadataStream = Responses<v1::MetadataEvent>;

            async fn session(
                &self,
                request: Request<Streaming<v1::SessionRequest>>,
            ) -> Result<Response<Self::SessionStream>, Status> {
                self.answer::<()>()?;
                let (responses, receiver) = mpsc::channel(64);
                let requests = request.into_inner();
                self.sessions.send(FakeSession { requests, responses }).unwrap();
                Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
            }

            async fn watch_metadata(
                &self,
                request: Request<v1::WatchMetadataRequest>,
            ) -> Result<Response<Self::WatchMetadataStream>, Status> {
                self.answer::<()>()?;
                let (events, receiver) = mpsc::channel(64);
                let request = request.into_inner();
                self.feeds.send(FakeFeed { request, events }).unwrap();
                Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
            }

            async fn forward(
                &self,
                request: Request<v1::ForwardRequest>,
            ) -> Result<Response<v1::ForwardResponse>, Status> {
                let response = self.answer()?;
                self.forwarded.lock().push(request.into_inner());
                Ok(self.to_forward.lock().pop_front().map_or(response, Response::new))
            }

            $(
                async fn $name(
                    &self,
                    _: Request<v1::$request>,
                ) -> Result<Response<v1::$response>, Status> {
                    self.answer()
                }
            )*
        }
    };
}

answers! {
    alter_partition(AlterPartitionRequest) -> AlterPartitionResponse;
    assign_replicas_to_dirs(AssignReplicasToDirsRequest) -> AssignReplicasToDirsResponse;
    allocate_producer_ids(AllocateProducerIdsRequest) -> AllocateProducerIdsResponse;
}

/// Returns a client of these voters, numbered from 1.
fn client_of(voters: &[&Running]) -> Arc<ControllerClient> {
    let ports: Vec<u16> = voters.iter().map(|running| running.port).collect();
    client_at(&ports)
}

/// Returns a client of the voters at these ports, numbered from 1.
fn client_at(ports: &[u16]) -> Arc<ControllerClient> {
    let voter = |(index, port): (usize, &u16)| ControllerEndpoint {
        id: Some(NodeId(index as i32 + 1)),
        host: "127.0.0.1".to_owned(),
        port: *port,
    };
    Arc::new(ControllerClient::new(ports.iter().enumerate().map(voter).collect()).unwrap())
}

/// Relays one connection to a port. Returns the port for it, and a task that ends with it.
async fn relay(to: u16) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relayed = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut voter = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        copy_bidirectional(&mut client, &mut voter).await.unwrap();
    });
    (port, relayed)
}

async fn ask(client: &ControllerClient) -> Result<(), ControllerError> {
    client
        .allocate_producer_ids(v1::AllocateProducerIdsRequest::default(), soon())
        .await
        .map(drop)
}

#[tokio::test]
async fn a_call_goes_where_the_trailer_points_and_the_next_goes_there_at_once() {
    let one = Fake::start(&[VoterReply::NotActive(Some(3))]).await;
    let two = Fake::start(&[VoterReply::NotActive(Some(3))]).await;
    let three = Fake::start(&[VoterReply::Active]).await;
    let client = client_of(&[&one, &two, &three]);
    for _ in 0..3 {
        ask(&client).await.unwrap();
    }
    assert_eq!(client.active_controller(), Some(NodeId(3)));
    assert_eq!(*one.fake.calls.lock(), 1);
    assert_eq!(*two.fake.calls.lock(), 0);
    assert_eq!(*three.fake.calls.lock(), 3);
}

#[tokio::test]
async fn a_call_is_tried_until_some_voter_becomes_active() {
    let none = VoterReply::NotActive(None);
    let one = Fake::start(&[none, none, VoterReply::NotActive(Some(1)), none]).await;
    let two = Fake::start(&[none, none, none, VoterReply::Active]).await;
    let client = client_of(&[&one, &two]);
    ask(&client).await.unwrap();
    assert_eq!(client.active_controller(), Some(NodeId(2)));
}

#[tokio::test]
async fn connections_to_voters_that_are_not_active_are_closed() {
    let one = Fake::start(&[VoterReply::NotActive(Some(2))]).await;
    let two = Fake::start(&[VoterReply::Active]).await;
    let (port, relayed) = relay(one.port).await;
    let client = client_at(&[port, two.port]);
    ask(&client).await.unwrap();
    timeout(WAIT, relayed).await.unwrap().unwrap();
    ask(&client).await.unwrap();
    assert_eq!(*two.fake.calls.lock(), 2);
}

#[tokio::test]
async fn a_voter_that_is_gone_is_passed_over() {
    let gone = Fake::start(&[]).await;
    let two = Fake::start(&[VoterReply::Active]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let voters = [closed.local_addr().unwrap().port(), two.port];
    drop((gone, closed));
    let client = client_at(&voters);
    ask(&client).await.unwrap();
    assert_eq!(client.active_controller(), Some(NodeId(2)));
}

#[tokio::test]
async fn at_its_deadline_a_call_reports_the_outcome_of_its_attempts() {
    let one = Fake::start(&[VoterReply::NotActive(None)]).await;
    let client = client_of(&[&one]);
    let mut limit = Duration::from_millis(50);
    let error = loop {
        let request = v1::AllocateProducerIdsRequest::default();
        let calls = client.allocate_producer_ids(request, Instant::now() + limit);
        let error = calls.await.unwrap_err();
        let text = error.to_string();
        if text.contains("not the active controller") {
            break error;
        }
        // A busy machine may not have reached this step within the limit, so the limit grows.
        assert!(limit < Duration::from_secs(20), "{text}");
        limit *= 4;
    };
    let error = dohle_model::ApiError::from(error);
    assert_eq!(error.code, ErrorCode::RequestTimedOut);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let one = Fake::start(&[VoterReply::Invalid]).await;
    let client = client_of(&[&one]);
    let error = ask(&client).await.unwrap_err();
    assert!(matches!(error, ControllerError::Refused(_)), "{error}");
    assert_eq!(*one.fake.calls.lock(), 1);
}

fn registration() -> BrokerRegistration {
    BrokerRegistration {
        id: NODE,
        incarnation: INCARNATION,
        epoch: BrokerEpoch(-1),
        endpoints: Vec::new(),
        rack: None,
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![DirectoryId(Uuid([1; 16]))],
        cordoned_log_dirs: Vec::new(),
        features: Vec::new(),
    }
}

fn start_session(voters: &[&Running], cache: &Arc<MetadataCache>) -> ControllerSession {
    let config = SessionConfig {
        cluster_id: "cluster".to_owned(),
        registration: registration(),
        previous_broker_epoch: Some(BrokerEpoch(4)),
        open_files_max: 1_000,
    };
    ControllerSession::start(config, client_of(voters), Arc::clone(cache))
}

impl FakeSession {
    async fn register(&mut self) -> v1::SessionRegister {
        match self.message().await {
            v1::session_request::Message::Register(register) => register,
            other => panic!("{other:?} is no registration"),
        }
    }

    /// Waits for the first heartbeat that `wanted` accepts.
    async fn heartbeat(&mut self, wanted: impl Fn(&v1::SessionHeartbeat) -> bool) {
        loop {
            match self.message().await {
                v1::session_request::Message::Heartbeat(heartbeat) if wanted(&heartbeat) => return,
                v1::session_request::Message::Heartbeat(_) => {}
                other => panic!("{other:?} is no heartbeat"),
            }
        }
    }

    async fn message(&mut self) -> v1::session_request::Message {
        let message = timeout(WAIT, self.requests.next()).await.expect("in time");
        message
            .expect("the session is open")
            .expect("a message and no error")
            .message
            .expect("the message has content")
    }

    async fn say(&self, response: v1::SessionResponse) {
        self.responses.send(Ok(response)).await.unwrap();
    }
}

fn fenced(epoch: i64) -> v1::SessionResponse {
    v1::SessionResponse {
        broker_epoch: epoch,
        is_fenced: true,
        heartbeat_interval_ms: 10_000,
        ..v1::SessionResponse::default()
    }
}

fn image_at(offset: u64) -> Arc<MetadataImage> {
    Arc::new(MetadataImage {
        offset: MetadataOffset(offset),
        ..MetadataImage::default()
    })
}

#[tokio::test]
async fn a_session_reports_at_once_that_metadata_caught_up_and_keeps_its_epoch_when_it_moves() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let cache = Arc::new(MetadataCache::new());
    let session = start_session(&[&one], &cache);
    let mut first = next(&mut one.sessions).await;
    let register = first.register().await;
    assert_eq!(register.known_epoch, -1);
    assert_eq!(register.previous_broker_epoch, 4);
    first.say(fenced(7)).await;
    timeout(
        WAIT,
        session
            .subscribe()
            .wait_for(|state| state.broker_epoch.is_some()),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(session.state().fenced);
    cache.publish(image_at(5));
    first
        .heartbeat(|heartbeat| heartbeat.metadata_offset == 5)
        .await;
    first
        .say(v1::SessionResponse {
            is_fenced: false,
            ..fenced(7)
        })
        .await;
    assert_eq!(
        timeout(WAIT, session.unfenced()).await.unwrap(),
        Ok(BrokerEpoch(7))
    );

    drop(first);
    let mut second = next(&mut one.sessions).await;
    let register = second.register().await;
    assert_eq!(register.known_epoch, 7);
    assert_eq!(register.metadata_offset, 5);
    assert_eq!(session.state().broker_epoch, Some(BrokerEpoch(7)));
}

#[tokio::test]
async fn a_controlled_shutdown_waits_for_the_controllers_word() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let cache = Arc::new(MetadataCache::new());
    let session = Arc::new(start_session(&[&one], &cache));
    let mut stream = next(&mut one.sessions).await;
    stream.register().await;
    stream
        .say(v1::SessionResponse {
            is_fenced: false,
            ..fenced(7)
        })
        .await;
    timeout(WAIT, session.unfenced()).await.unwrap().unwrap();
    let stopping = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.shutdown(soon(), WAIT).await }
    });
    stream.heartbeat(|heartbeat| heartbeat.want_shutdown).await;
    assert!(!stopping.is_finished());
    stream
        .say(v1::SessionResponse {
            should_shutdown: true,
            ..fenced(7)
        })
        .await;
    assert!(timeout(WAIT, stopping).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_controlled_shutdown_ends_when_no_controller_has_spoken_for_a_sessions_time() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let session = start_session(&[&one], &Arc::new(MetadataCache::new()));
    let mut stream = next(&mut one.sessions).await;
    stream.register().await;
    stream.say(fenced(7)).await;
    let mut state = session.subscribe();
    let registered = state.wait_for(|state| state.broker_epoch.is_some());
    timeout(WAIT, registered).await.unwrap().unwrap();
    let far = Instant::now() + 10 * WAIT;
    let stopping = session.shutdown(far, Duration::from_millis(200));
    assert!(!timeout(WAIT, stopping).await.unwrap());
}

#[tokio::test]
async fn a_session_that_is_refused_ends_with_the_controllers_words() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let session = start_session(&[&one], &Arc::new(MetadataCache::new()));
    let mut stream = next(&mut one.sessions).await;
    stream.register().await;
    let error = ErrorCode::InconsistentClusterId.because("the cluster is another");
    let outcome = Some(convert::outcome_to_wire(Some(&error)));
    stream
        .say(v1::SessionResponse {
            outcome,
            ..v1::SessionResponse::default()
        })
        .await;
    let refused = timeout(WAIT, session.refused()).await.unwrap();
    assert_eq!(refused.code, ErrorCode::InconsistentClusterId);
    assert_eq!(refused.message, "the cluster is another");
}

#[tokio::test]
async fn a_voter_that_ends_the_stream_at_once_is_passed_over() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let mut two = Fake::start(&[VoterReply::Active]).await;
    let session = start_session(&[&one, &two], &Arc::new(MetadataCache::new()));
    let first = next(&mut one.sessions).await;
    let status = Status::failed_precondition("not the active controller");
    first.responses.send(Err(status)).await.unwrap();
    let mut second = next(&mut two.sessions).await;
    second.register().await;
    assert_eq!(session.state(), SessionState::default());
}

#[tokio::test]
async fn a_broker_of_another_cluster_is_refused_in_words() {
    let mut one = Fake::start(&[VoterReply::Active]).await;
    let session = start_session(&[&one], &Arc::new(MetadataCache::new()));
    let stream = next(&mut one.sessions).await;
    let status = Status::invalid_argument("this controller is of cluster x");
    stream.responses.send(Err(status)).await.unwrap();
    let refused = timeout(WAIT, session.refused()).await.unwrap();
    assert_eq!(refused.message, "this controller is of cluster x");
}

/// Records changes, and the published image at the time of each.
struct Recorder {
    cache: Arc<MetadataCache>,
    changes: mpsc::UnboundedSender<(MetadataChange, MetadataOffset)>,
}

impl LocalReplicas for Recorder {
    async fn apply(&self, change: &MetadataChange) {
        self.changes
            .send((change.clone(), self.cache.image().offset))
            .unwrap();
    }
}

struct FeedTest {
    voter: Running,
    cache: Arc<MetadataCache>,
    feed: MetadataFeed,
    changes: mpsc::UnboundedReceiver<(MetadataChange, MetadataOffset)>,
}

async fn subscribe_follower() -> FeedTest {
    let voter = Fake::start(&[VoterReply::Active]).await;
    let cache = Arc::new(MetadataCache::new());
    let (sender, changes) = mpsc::unbounded_channel();
    let recorder = Arc::new(Recorder {
        cache: Arc::clone(&cache),
        changes: sender,
    });
    let config = FeedConfig {
        cluster_id: "cluster".to_owned(),
        node: NODE,
        incarnation: INCARNATION,
    };
    let feed = MetadataFeed::start(config, client_of(&[&voter]), Arc::clone(&cache), recorder);
    FeedTest {
        voter,
        cache,
        feed,
        changes,
    }
}

impl FakeFeed {
    async fn batches(&self, batches: &[CommittedBatch]) {
        let to_wire = |committed: &CommittedBatch| v1::CommittedBatch {
            offset: committed.offset.0,
            batch: Some(convert::batch_to_wire(&committed.batch)),
        };
        let batches = batches.iter().map(to_wire).collect();
        let batches = v1::CommittedBatches { batches };
        self.say(v1::metadata_event::Event::Batches(batches)).await;
    }

    async fn snapshot(&self, image: &MetadataImage) {
        for chunk in convert::snapshot_chunks(image) {
            self.say(v1::metadata_event::Event::Snapshot(chunk)).await;
        }
        self.say(v1::metadata_event::Event::SnapshotEnd(true)).await;
    }

    async fn say(&self, event: v1::metadata_event::Event) {
        self.events
            .send(Ok(v1::MetadataEvent { event: Some(event) }))
            .await
            .unwrap();
    }
}

fn batch(base: u64, offset: u64, records: Vec<MetadataRecord>) -> CommittedBatch {
    let batch = MetadataBatch {
        base: MetadataOffset(base),
        records: records.into(),
    };
    CommittedBatch {
        offset: MetadataOffset(offset),
        batch,
    }
}

fn registered() -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        epoch: BrokerEpoch(3),
        ..registration()
    })
}

fn topic(number: u8) -> Vec<MetadataRecord> {
    let topic_id = TopicId(Uuid([number; 16]));
    let name = TopicName::new(&format!("topic{number}")).unwrap();
    let directories = vec![DirectoryId::UNASSIGNED];
    let registration = PartitionRegistration::new(vec![NODE], directories, vec![NODE]);
    let partition = PartitionIndex(0);
    vec![
        MetadataRecord::Topic { name, id: topic_id },
        MetadataRecord::Partition {
            topic_id,
            partition,
            registration,
        },
    ]
}

fn leads(local: &LocalChanges) -> Vec<&str> {
    local
        .leaders
        .iter()
        .map(|local| local.topic.as_str())
        .collect()
}

#[tokio::test]
async fn a_feed_withholds_the_past_until_its_own_registration_and_publishes_after_the_replicas() {
    let mut test = subscribe_follower().await;
    let stream = next(&mut test.voter.feeds).await;
    assert_eq!(stream.request.after_offset, 0);
    stream.batches(&[batch(0, 1, topic(1))]).await;
    stream
        .batches(&[batch(1, 2, topic(2)), batch(2, 4, vec![registered()])])
        .await;
    let (change, published) = next(&mut test.changes).await;
    assert!(change.is_first);
    assert_eq!(leads(&change.local), ["topic1", "topic2"]);
    assert_eq!(published, MetadataOffset(0));
    test.cache
        .wait_for(MetadataOffset(4), soon())
        .await
        .unwrap();

    // A stale batch changes nothing; the next one is applied.
    stream
        .batches(&[batch(2, 5, topic(3)), batch(4, 6, topic(4))])
        .await;
    let (change, published) = next(&mut test.changes).await;
    assert!(!change.is_first);
    assert_eq!(leads(&change.local), ["topic4"]);
    assert_eq!(published, MetadataOffset(4));
}

#[tokio::test]
async fn a_feed_goes_on_where_it_was_and_takes_a_snapshot_as_a_difference() {
    let mut test = subscribe_follower().await;
    let stream = next(&mut test.voter.feeds).await;
    stream
        .batches(&[batch(0, 1, vec![registered()]), batch(1, 2, topic(1))])
        .await;
    next(&mut test.changes).await;
    drop(stream);

    let stream = next(&mut test.voter.feeds).await;
    assert_eq!(stream.request.after_offset, 2);
    let mut image = MetadataImage::default();
    let mut delta = dohle_model::delta::MetadataDelta::default();
    for record in std::iter::once(registered()).chain(topic(2)) {
        image.replay(&record, &mut delta).unwrap();
    }
    image.offset = MetadataOffset(9);
    stream.snapshot(&image).await;
    let (change, _) = next(&mut test.changes).await;
    assert_eq!(leads(&change.local), ["topic2"]);
    let deleted: Vec<&str> = change
        .local
        .deletes
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(deleted, ["topic1"]);
    // A batch that the snapshot already contains is ignored.
    stream
        .batches(&[batch(2, 3, topic(2)), batch(9, 10, topic(5))])
        .await;
    let (change, _) = next(&mut test.changes).await;
    assert_eq!(leads(&change.local), ["topic5"]);
}

#[tokio::test]
async fn a_feed_that_meets_a_record_it_does_not_know_stops() {
    let test = &mut subscribe_follower().await;
    let stream = next(&mut test.voter.feeds).await;
    let unknown = v1::MetadataBatch {
        base: 0,
        records: vec![v1::MetadataRecord::default()],
    };
    let committed = v1::CommittedBatch {
        offset: 1,
        batch: Some(unknown),
    };
    let batches = v1::CommittedBatches {
        batches: vec![committed],
    };
    stream
        .say(v1::metadata_event::Event::Batches(batches))
        .await;
    let error = timeout(WAIT, test.feed.failed()).await.unwrap();
    assert!(matches!(error, FeedError::Convert(_)), "{error}");
}

#[tokio::test]
async fn a_feed_that_misses_records_subscribes_again_and_loses_none() {
    let test = &mut subscribe_follower().await;
    let stream = next(&mut test.voter.feeds).await;
    stream.batches(&[batch(0, 2, vec![registered()])]).await;
    next(&mut test.changes).await;
    // The batches between offsets 2 and 3 are missing.
    stream
        .batches(&[batch(3, 4, topic(2)), batch(4, 5, topic(3))])
        .await;
    let stream = next(&mut test.voter.feeds).await;
    assert_eq!(stream.request.after_offset, 2);
    stream
        .batches(&[batch(2, 3, topic(1)), batch(3, 4, topic(2))])
        .await;
    let (change, _) = next(&mut test.changes).await;
    assert_eq!(leads(&change.local), ["topic1", "topic2"]);
    // A gap after the first batch of a message: the batch before the gap is kept.
    stream
        .batches(&[batch(4, 5, topic(3)), batch(9, 10, topic(4))])
        .await;
    let (change, _) = next(&mut test.changes).await;
    assert_eq!(leads(&change.local), ["topic3"]);
    let stream = next(&mut test.voter.feeds).await;
    assert_eq!(stream.request.after_offset, 5);
}

/// Replicas that panic on every change.
struct Panicking;

impl LocalReplicas for Panicking {
    async fn apply(&self, _: &MetadataChange) {
        panic!("planted");
    }
}

#[tokio::test]
async fn a_feed_whose_replicas_panic_reports_that_the_node_must_stop() {
    let mut voter = Fake::start(&[VoterReply::Active]).await;
    let cache = Arc::new(MetadataCache::new());
    let config = FeedConfig {
        cluster_id: "cluster".to_owned(),
        node: NODE,
        incarnation: INCARNATION,
    };
    let client = client_of(&[&voter]);
    let feed = MetadataFeed::start(config, client, Arc::clone(&cache), Arc::new(Panicking));
    let stream = next(&mut voter.feeds).await;
    stream.batches(&[batch(0, 2, vec![registered()])]).await;
    let error = timeout(WAIT, feed.failed()).await.unwrap();
    assert!(matches!(error, FeedError::Refused(_)), "{error}");
    assert_eq!(
        cache.image().offset,
        MetadataOffset(0),
        "nothing passes for followed"
    );
}
