//! Requests to the active controller: one method for each rpc of `v1::Controller`. `forward` has a
//! module of its own.
//!
//! A voter that is not active responds with FAILED_PRECONDITION and the trailer `dohle-leader-id`,
//! which updates a hint that all callers share. Every call is retried until its deadline, at
//! another voter where that may help, so that a response always is the active controller's. A
//! request whose connection broke may have been executed before it is sent again, as with Kafka's
//! forwarding.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dohle_model::{ApiError, ErrorCode, HostPort, NodeId};
use dohle_rpc::channel::connect_lazy;
use dohle_rpc::v1;
use dohle_rpc::v1::controller_client::ControllerClient as Stub;
use dohle_rpc::{LEADER_ID_TRAILER, NO_QUORUM_TRAILER};
use dohle_tls::Connector;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use crate::backoff::Backoff;

/// How long a voter may report that other voters do not respond before a call gives up: longer than
/// any election takes, and shorter than clients wait for a response.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait before the next attempt at a controller.
pub(super) const BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(5), Duration::from_millis(100));
const WINDOW_BYTES: u32 = 16 << 20;
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Heartbeats that may wait to be sent.
const SESSION_QUEUE: usize = 16;

/// A voter's address on its CONTROLLER listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerEndpoint {
    /// Its node id; `None` when only an address is known (`controller.quorum.bootstrap.servers`).
    pub id: Option<NodeId>,
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for ControllerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            write!(f, "{id}@")?;
        }
        HostPort(&self.host, self.port).fmt(f)
    }
}

/// The configured voters.
pub type Quorum = Vec<ControllerEndpoint>;

/// Why the active controller gave no response.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControllerError {
    /// No response arrived before the deadline.
    #[error("no active controller answered in time; last seen: {last}")]
    TimedOut {
        /// The outcome of the last attempts.
        last: String,
    },
    /// The active controller refused the call itself.
    #[error("the active controller refused the request: {0}")]
    Refused(String),
    /// The active controller, which is of another release, does not support the request.
    #[error("{0}")]
    Unsupported(String),
    /// A voter's address cannot be used.
    #[error("{voter} is not an address: {reason}")]
    Address {
        /// The voter.
        voter: String,
        /// Why it cannot be used.
        reason: String,
    },
}

impl From<ControllerError> for ApiError {
    fn from(error: ControllerError) -> Self {
        let code = match &error {
            ControllerError::TimedOut { .. } => ErrorCode::RequestTimedOut,
            ControllerError::Unsupported(_) => ErrorCode::UnsupportedVersion,
            ControllerError::Refused(_) | ControllerError::Address { .. } => {
                ErrorCode::UnknownServerError
            }
        };
        code.because(error.to_string())
    }
}

/// A stream of heartbeats to the active controller and of its responses.
pub(super) struct SessionStream {
    pub requests: mpsc::Sender<v1::SessionRequest>,
    pub responses: Streaming<v1::SessionResponse>,
}

/// Sends requests to the active controller. Connections are made when they are first needed, and
/// shared. Once a voter answers as the active controller, those to the others are closed.
pub struct ControllerClient {
    voters: Vec<(ControllerEndpoint, Mutex<Channel>)>,
    connector: Connector,
    /// Index of the voter that was last known to be active.
    active: Mutex<Option<usize>>,
    /// Index of the voter that last answered as the active controller.
    answered: Mutex<Option<usize>>,
    /// Increases, so that a search does not begin at the voter where the last one failed.
    turn: AtomicUsize,
}

impl fmt::Debug for ControllerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters: Vec<String> = self
            .voters
            .iter()
            .map(|(voter, _)| voter.to_string())
            .collect();
        f.debug_struct("ControllerClient")
            .field("voters", &voters)
            .finish_non_exhaustive()
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $response:ident;)*) => {
        impl ControllerClient {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// When no response arrives before the deadline, or the call itself is refused.
                pub async fn $name(
                    &self,
                    request: v1::$request,
                    deadline: Instant,
                ) -> Result<v1::$response, ControllerError> {
                    let attempt = |mut stub: Stub<Channel>| {
                        let request = request.clone();
                        async move { stub.$name(request).await.map(Response::into_inner) }
                    };
                    self.call(deadline, attempt).await
                }
            )*
        }
    };
}

calls! {
    /// Reports which log directory holds a replica (KIP-858).
    assign_replicas_to_dirs(AssignReplicasToDirsRequest) -> AssignReplicasToDirsResponse;
    /// Gets a block of producer ids (KIP-730).
    allocate_producer_ids(AllocateProducerIdsRequest) -> AllocateProducerIdsResponse;
}

impl ControllerClient {
    /// Creates a client of these voters, inside a tokio runtime. It does not connect yet.
    ///
    /// # Errors
    /// When a voter's host and port are not a valid address.
    pub fn new(voters: Quorum) -> Result<Self, ControllerError> {
        Self::with_connector(voters, &Connector::plaintext())
    }

    /// Creates a client of these voters, inside a tokio runtime, that opens its connections with
    /// `connector`. It does not connect yet.
    ///
    /// # Errors
    /// When a voter's host and port are not a valid address.
    pub fn with_connector(voters: Quorum, connector: &Connector) -> Result<Self, ControllerError> {
        let connect = |voter: ControllerEndpoint| {
            let channel = channel(&voter, connector)?;
            Ok((voter, Mutex::new(channel)))
        };
        let voters = voters
            .into_iter()
            .map(connect)
            .collect::<Result<_, ControllerError>>()?;
        Ok(Self {
            voters,
            connector: connector.clone(),
            active: Mutex::new(None),
            answered: Mutex::new(None),
            turn: AtomicUsize::new(0),
        })
    }

    /// Proposes new ISRs for partitions that this broker leads (KIP-497). Returns also whether an
    /// earlier attempt of this call got no response: a copy of the request may still be in flight.
    ///
    /// # Errors
    /// When no response arrives before the deadline, or the call itself is refused.
    pub async fn alter_partition(
        &self,
        request: v1::AlterPartitionRequest,
        deadline: Instant,
    ) -> Result<(v1::AlterPartitionResponse, bool), ControllerError> {
        let unanswered = AtomicBool::new(false);
        let attempt = |mut stub: Stub<Channel>| {
            let (request, unanswered) = (request.clone(), &unanswered);
            async move {
                let answer = stub.alter_partition(request).await;
                let answer = answer.map(Response::into_inner);
                // A voter that is not active has not executed the request.
                if let Err(status) = &answer
                    && status.code() != Code::FailedPrecondition
                {
                    unanswered.store(true, Ordering::Relaxed);
                }
                answer
            }
        };
        let response = self.call(deadline, attempt).await?;
        Ok((response, unanswered.load(Ordering::Relaxed)))
    }

    /// Returns the voter that last responded as active controller, if its id is known.
    #[cfg(test)]
    pub(super) fn active_controller(&self) -> Option<NodeId> {
        let active = *self.active.lock();
        active.and_then(|index| self.voters[index].0.id)
    }

    /// The voters.
    pub fn voters(&self) -> impl Iterator<Item = &ControllerEndpoint> {
        self.voters.iter().map(|(voter, _)| voter)
    }

    pub(super) async fn watch_metadata(
        &self,
        request: v1::WatchMetadataRequest,
        deadline: Instant,
    ) -> Result<Streaming<v1::MetadataEvent>, ControllerError> {
        let attempt = |mut stub: Stub<Channel>| {
            let request = request.clone();
            async move { stub.watch_metadata(request).await.map(Response::into_inner) }
        };
        self.call(deadline, attempt).await
    }

    pub(super) async fn session(
        &self,
        register: v1::SessionRegister,
        deadline: Instant,
    ) -> Result<SessionStream, ControllerError> {
        let attempt = |mut stub: Stub<Channel>| {
            let message = v1::session_request::Message::Register(register.clone());
            let first = v1::SessionRequest {
                message: Some(message),
            };
            async move {
                let (requests, receiver) = mpsc::channel(SESSION_QUEUE);
                let sent = requests.try_send(first);
                assert!(sent.is_ok(), "a new queue has room for its first message");
                let responses = stub
                    .session(ReceiverStream::new(receiver))
                    .await?
                    .into_inner();
                Ok(SessionStream {
                    requests,
                    responses,
                })
            }
        };
        self.call(deadline, attempt).await
    }

    /// Notes that a stream ended with `status`, so that the next call does not begin at a voter
    /// that is unreachable or no longer active.
    pub(super) fn on_stream_broken(&self, status: &Status) {
        let named = self.leader_named_by(status);
        if named.is_none() {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        *self.active.lock() = named;
    }

    pub(super) async fn call<T, F>(
        &self,
        deadline: Instant,
        attempt: impl Fn(Stub<Channel>) -> F,
    ) -> Result<T, ControllerError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut next = self.turn.load(Ordering::Relaxed);
        let mut backoff = BACKOFF;
        let mut met = Met::new(Instant::now());
        for tries in 1.. {
            let index = self.active.lock().unwrap_or(next % self.voters.len());
            let channel = self.voters[index].1.lock().clone();
            let stub = Stub::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
            let Ok(outcome) = timeout_at(deadline, attempt(stub)).await else {
                self.forget(index);
                met.on_silence(index);
                break;
            };
            match outcome {
                Ok(answer) => {
                    self.on_active(index);
                    return Ok(answer);
                }
                Err(status) if is_final(&status) => {
                    return Err(ControllerError::Refused(status.message().to_owned()));
                }
                Err(status) => {
                    met.on_refusal(index, &status);
                    next = index + 1;
                    *self.active.lock() = self.leader_named_by(&status).filter(|at| *at != index);
                }
            }
            if met.outage_since(Instant::now()) >= OUTAGE_PATIENCE {
                break;
            }
            if tries % self.voters.len() == 0 {
                let pause = backoff.next_wait();
                if Instant::now() + pause >= deadline {
                    break;
                }
                sleep(pause).await;
            }
        }
        let last = met.summary(|index| self.voters[index].0.to_string());
        Err(ControllerError::TimedOut { last })
    }

    /// Notes that a voter answered as the active controller. When another one did before, closes
    /// the connections to all others as soon as no call uses them: their keep-alive would wake both
    /// ends for nothing.
    fn on_active(&self, index: usize) {
        *self.active.lock() = Some(index);
        if self.answered.lock().replace(index) == Some(index) {
            return;
        }
        for (other, (voter, channel)) in self.voters.iter().enumerate() {
            // The address was valid before.
            if other != index
                && let Ok(unconnected) = self::channel(voter, &self.connector)
            {
                *channel.lock() = unconnected;
            }
        }
    }

    fn forget(&self, index: usize) {
        let mut active = self.active.lock();
        if *active == Some(index) {
            *active = None;
        }
    }

    fn leader_named_by(&self, status: &Status) -> Option<usize> {
        let id: i32 = status
            .metadata()
            .get(LEADER_ID_TRAILER)?
            .to_str()
            .ok()?
            .parse()
            .ok()?;
        self.voters
            .iter()
            .position(|(voter, _)| voter.id == Some(NodeId(id)))
    }
}

/// The outcomes of the attempts of one call, by voter.
#[derive(Debug)]
struct Met {
    /// The last refusal or failure of each voter, in the order in which they came.
    by_voter: Vec<(usize, String)>,
    /// The last voter that reported that others do not respond.
    outage: Option<(usize, String)>,
    /// Since when no voter named an active controller.
    since: Instant,
}

impl Met {
    fn new(now: Instant) -> Self {
        Self {
            by_voter: Vec::new(),
            outage: None,
            since: now,
        }
    }

    fn on_silence(&mut self, index: usize) {
        self.note(index, "is silent".to_owned());
    }

    fn on_refusal(&mut self, index: usize, status: &Status) {
        let text = describe(status);
        if status.metadata().contains_key(NO_QUORUM_TRAILER) {
            self.outage = Some((index, text.clone()));
        } else if status.metadata().contains_key(LEADER_ID_TRAILER) {
            // An election has ended, or the voter has not noticed it yet.
            self.outage = None;
            self.since = Instant::now();
        }
        self.note(index, text);
    }

    fn note(&mut self, index: usize, text: String) {
        self.by_voter.retain(|(known, _)| *known != index);
        self.by_voter.push((index, text));
    }

    /// Returns for how long a voter has reported that the quorum has no majority.
    fn outage_since(&self, now: Instant) -> Duration {
        match self.outage {
            Some(_) => now.saturating_duration_since(self.since),
            None => Duration::ZERO,
        }
    }

    /// Returns the quorum's state as a voter reports it, or else the outcome of each voter.
    fn summary(&self, name: impl Fn(usize) -> String) -> String {
        if let Some((index, text)) = &self.outage {
            return format!("{}: {text}", name(*index));
        }
        let all = self.by_voter.iter();
        let all: Vec<String> = all
            .map(|(index, text)| format!("{}: {text}", name(*index)))
            .collect();
        all.join("; ")
    }
}

fn channel(voter: &ControllerEndpoint, connector: &Connector) -> Result<Channel, ControllerError> {
    let address = ControllerEndpoint {
        id: None,
        ..voter.clone()
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| {
        ControllerError::Address {
            voter: voter.to_string(),
            reason: error.to_string(),
        }
    })?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    Ok(connect_lazy(&endpoint, connector))
}

/// Whether another attempt, at this or another voter, would have the same outcome.
pub(super) fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::OutOfRange
            | Code::DataLoss
    )
}

/// Returns the innermost cause of tonic's "transport error".
fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    if text.is_empty() {
        status.code().to_string()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, trailer: Option<&'static str>) -> Status {
        let mut status = Status::failed_precondition(text);
        if let Some(trailer) = trailer {
            status.metadata_mut().insert(trailer, "1".parse().unwrap());
        }
        status
    }

    #[test]
    fn a_call_that_fails_reports_what_a_voter_observes_of_the_others() {
        let name = |index: usize| format!("voter {index}");
        let mut met = Met::new(Instant::now());
        met.on_refusal(0, &refusal("connection refused", None));
        met.on_silence(1);
        met.on_refusal(0, &refusal("no route", None));
        assert_eq!(met.summary(name), "voter 1: is silent; voter 0: no route");
        let text = "2 of 3 voters do not respond";
        met.on_refusal(2, &refusal(text, Some(NO_QUORUM_TRAILER)));
        met.on_refusal(0, &refusal("connection refused", None));
        assert_eq!(met.summary(name), format!("voter 2: {text}"));
    }

    #[test]
    fn a_call_gives_up_only_after_an_outage_without_a_leader() {
        let start = Instant::now();
        let mut met = Met::new(start);
        let later = start + OUTAGE_PATIENCE;
        assert_eq!(
            met.outage_since(later),
            Duration::ZERO,
            "no voter reported one"
        );
        met.on_refusal(2, &refusal("no quorum", Some(NO_QUORUM_TRAILER)));
        assert_eq!(met.outage_since(later), OUTAGE_PATIENCE);
        met.on_refusal(1, &refusal("node 2 is", Some(LEADER_ID_TRAILER)));
        assert_eq!(met.outage_since(later), Duration::ZERO, "there is a leader");
    }
}
