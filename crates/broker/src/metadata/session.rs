//! The broker's session with the active controller: it registers, sends heartbeats, and moves to
//! the next active controller when the stream breaks.
//!
//! Invariant: one process has one incarnation. It registers once and sends its broker epoch to
//! later controllers, so that a change of the controller does not fence the broker.
//!
//! ```text
//! Registering ──epoch──▶ Fenced ──metadata caught up──▶ Active ──shutdown──▶ Draining ──▶ Drained
//!      ▲                                                   │ stream breaks: the next controller
//!      └───────────────────────────────────────────────────┘ receives the epoch
//! ```

use std::sync::Arc;
use std::time::Duration;

use dohle_model::record::BrokerRegistration;
use dohle_model::{BrokerEpoch, DirectoryId, ErrorCode};
use dohle_rpc::{convert, v1};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Status;

use super::cache::MetadataCache;
use super::client::{BACKOFF, ControllerClient, ControllerError, SessionStream, is_final};

/// How long one search for the active controller may take before it is reported and begun again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval of heartbeats until the controller has sent its own.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// What a session registers.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The cluster's id, which the controller compares with its own.
    pub cluster_id: String,
    /// The broker; `epoch`, `fenced` and `in_controlled_shutdown` are the controller's to set.
    pub registration: BrokerRegistration,
    /// The epoch under which this broker last stopped cleanly, with all its log directories;
    /// `None` when it did not. On any other than its registered epoch the controller removes it
    /// from the ISRs and ELRs of its partitions (KIP-966).
    pub previous_broker_epoch: Option<BrokerEpoch>,
    /// Files and connections that the process may have open. The number limits the partitions that
    /// the controller creates on this broker.
    pub open_files_max: usize,
}

/// The state of the broker, from the controller's last response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionState {
    /// The epoch of the registration; `None` until the broker is registered.
    pub broker_epoch: Option<BrokerEpoch>,
    /// Whether the broker is fenced, which it is until the controller reports otherwise.
    pub fenced: bool,
    /// Whether the broker leads no partition any more and may stop.
    pub should_shutdown: bool,
    /// Set when the controller refused this broker for good; the node must stop.
    pub refused: Option<SessionError>,
}

/// The controller refused this broker for a reason that a later attempt does not remove.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the active controller refused to register broker {broker}: {message} ({code})")]
pub struct SessionError {
    /// The broker.
    pub broker: i32,
    /// Kafka's code.
    pub code: ErrorCode,
    /// The controller's message.
    pub message: String,
}

impl Default for SessionState {
    fn default() -> Self {
        Self {
            broker_epoch: None,
            fenced: true,
            should_shutdown: false,
            refused: None,
        }
    }
}

/// The state that the broker requests from the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct DesiredState {
    shutdown: bool,
    offline_log_dirs: Vec<DirectoryId>,
    cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

/// The session. Dropping it ends the session, and the controller fences the broker at once.
#[derive(Debug)]
pub struct ControllerSession {
    state: watch::Receiver<SessionState>,
    /// When the controller last sent a response.
    heard: watch::Receiver<Instant>,
    desired: watch::Sender<DesiredState>,
    task: JoinHandle<()>,
}

impl Drop for ControllerSession {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ControllerSession {
    /// Starts to register. The session lasts until it is dropped.
    #[must_use]
    pub fn start(
        config: SessionConfig,
        client: Arc<ControllerClient>,
        cache: Arc<MetadataCache>,
    ) -> Self {
        let (state_sender, state) = watch::channel(SessionState::default());
        let (desired, desired_receiver) = watch::channel(DesiredState::default());
        let (heard_sender, heard) = watch::channel(Instant::now());
        let images = cache.subscribe();
        let runner = Runner {
            config,
            client,
            cache,
            images,
            state: state_sender,
            heard: heard_sender,
            desired: desired_receiver,
        };
        let task = tokio::spawn(runner.run());
        Self {
            state,
            heard,
            desired,
            task,
        }
    }

    /// The state in the controller's last response.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state.borrow().clone()
    }

    /// The epoch of the registration; `None` until the broker is registered.
    #[must_use]
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.state.borrow().broker_epoch
    }

    /// Subscribes to changes of the state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<SessionState> {
        self.state.clone()
    }

    /// Waits until the broker is registered and unfenced.
    ///
    /// # Errors
    /// When the controller refuses the broker.
    pub async fn unfenced(&self) -> Result<BrokerEpoch, SessionError> {
        let mut state = self.state.clone();
        let ready = |state: &SessionState| {
            state.refused.is_some() || (state.broker_epoch.is_some() && !state.fenced)
        };
        // The task holds the sender until this session is dropped, or it has set `refused`.
        if let Ok(state) = state.wait_for(ready).await
            && let (None, Some(epoch)) = (&state.refused, state.broker_epoch)
        {
            return Ok(epoch);
        }
        Err(self.refusal())
    }

    /// Waits until the controller refuses this broker for good; the node must then stop.
    pub async fn refused(&self) -> SessionError {
        let mut state = self.state.clone();
        match state.wait_for(|state| state.refused.is_some()).await {
            Ok(_) | Err(_) => self.refusal(),
        }
    }

    fn refusal(&self) -> SessionError {
        self.state
            .borrow()
            .refused
            .clone()
            .unwrap_or_else(|| SessionError {
                broker: -1,
                code: ErrorCode::UnknownServerError,
                message: "the session's task ended".to_owned(),
            })
    }

    /// Reports all failed log directories to the controller.
    pub fn report_offline_log_dirs(&self, failed: Vec<DirectoryId>) {
        self.desired
            .send_modify(|desired| desired.offline_log_dirs = failed);
    }

    /// Reports all log directories that get no new replicas to the controller.
    pub fn report_cordoned_log_dirs(&self, cordoned: Vec<DirectoryId>) {
        self.desired
            .send_modify(|desired| desired.cordoned_log_dirs = Some(cordoned));
    }

    /// Ends the session now; the controller fences the broker.
    pub fn close(&self) {
        self.task.abort();
    }

    /// Requests a controlled shutdown. Returns true after the leaderships have moved to other
    /// brokers. Returns false when the deadline expires first, when the broker was never
    /// registered, or when no controller has responded for `session_timeout`: an active controller
    /// has fenced this broker by then. The stop is not a clean one in these cases.
    pub async fn shutdown(&self, deadline: Instant, session_timeout: Duration) -> bool {
        if self.broker_epoch().is_none() {
            return false;
        }
        self.desired.send_modify(|desired| desired.shutdown = true);
        let mut state = self.state.clone();
        let done = state.wait_for(|state| state.should_shutdown || state.refused.is_some());
        tokio::select! {
            state = done => state.is_ok_and(|state| state.should_shutdown),
            () = sleep_until(deadline) => false,
            () = self.silent_for(session_timeout) => false,
        }
    }

    /// Waits from now on until the controller has been silent for `session_timeout`.
    async fn silent_for(&self, session_timeout: Duration) {
        let mut since = Instant::now();
        while since + session_timeout > Instant::now() {
            sleep_until(since + session_timeout).await;
            since = since.max(*self.heard.borrow());
        }
    }
}

/// How a stream ended.
enum Ended {
    /// After responses.
    Broken,
    /// Before any response.
    Unanswered,
    Refused(SessionError),
}

/// What the session's task waits for.
enum SessionEvent {
    Response(v1::SessionResponse),
    /// The stream ended, with this status if it has one.
    End(Option<Status>),
    Due,
    DesiredStateChanged,
    ImageChanged,
}

struct Runner {
    config: SessionConfig,
    client: Arc<ControllerClient>,
    cache: Arc<MetadataCache>,
    images: watch::Receiver<Arc<dohle_model::image::MetadataImage>>,
    state: watch::Sender<SessionState>,
    heard: watch::Sender<Instant>,
    desired: watch::Receiver<DesiredState>,
}

impl Runner {
    async fn run(mut self) {
        let broker = self.config.registration.id;
        let mut backoff = BACKOFF;
        loop {
            let deadline = Instant::now() + OPEN_TIMEOUT;
            match self.client.session(self.register(), deadline).await {
                Ok(stream) => match self.follow(stream).await {
                    Ended::Refused(error) => {
                        self.refuse(error);
                        return;
                    }
                    Ended::Broken => {
                        tracing::debug!(%broker, "session with the active controller broke");
                        backoff.reset();
                    }
                    // A voter that is not active accepts the stream and ends it.
                    Ended::Unanswered => sleep(backoff.next_wait()).await,
                },
                Err(ControllerError::TimedOut { last }) => {
                    tracing::warn!(%broker, %last, "no active controller to register with");
                }
                Err(error) => {
                    let code = ErrorCode::UnknownServerError;
                    let message = error.to_string();
                    self.refuse(SessionError {
                        broker: broker.0,
                        code,
                        message,
                    });
                    return;
                }
            }
        }
    }

    fn register(&self) -> v1::SessionRegister {
        v1::SessionRegister {
            cluster_id: self.config.cluster_id.clone(),
            registration: Some(convert::registration_to_wire(&self.config.registration)),
            known_epoch: BrokerEpoch::to_wire(self.state.borrow().broker_epoch),
            metadata_offset: self.cache.image().offset.0,
            previous_broker_epoch: BrokerEpoch::to_wire(self.config.previous_broker_epoch),
        }
    }

    fn refuse(&self, error: SessionError) {
        self.state.send_modify(|state| state.refused = Some(error));
    }

    async fn follow(&mut self, mut stream: SessionStream) -> Ended {
        let mut interval = FIRST_INTERVAL;
        let mut due = Instant::now() + interval;
        let mut answered = false;
        loop {
            match self.next(&mut stream, due).await {
                SessionEvent::End(Some(status)) if is_final(&status) => {
                    let message = status.message().to_owned();
                    let code = ErrorCode::InvalidRegistration;
                    let broker = self.config.registration.id.0;
                    return Ended::Refused(SessionError {
                        broker,
                        code,
                        message,
                    });
                }
                SessionEvent::End(status) => {
                    if let Some(status) = status {
                        self.client.on_stream_broken(&status);
                    }
                    return if answered {
                        Ended::Broken
                    } else {
                        Ended::Unanswered
                    };
                }
                SessionEvent::Response(response) => {
                    answered = true;
                    if response.heartbeat_interval_ms > 0 {
                        interval = Duration::from_millis(response.heartbeat_interval_ms.into());
                        due = due.min(Instant::now() + interval);
                    }
                    if let Some(ended) = self.on_response(&response) {
                        return ended;
                    }
                    continue;
                }
                SessionEvent::Due
                | SessionEvent::DesiredStateChanged
                | SessionEvent::ImageChanged => {}
            }
            let desired = self.desired.borrow_and_update().clone();
            let ids = |dirs: &[DirectoryId]| {
                let ids = dirs.iter().map(|id| convert::uuid_to_wire(id.0));
                ids.collect::<Vec<_>>()
            };
            let cordoned = desired.cordoned_log_dirs.as_deref();
            let heartbeat = v1::SessionHeartbeat {
                metadata_offset: self.images.borrow_and_update().offset.0,
                want_shutdown: desired.shutdown,
                offline_log_dirs: ids(&desired.offline_log_dirs),
                cordoned_log_dirs: cordoned.map(|dirs| v1::DirectoryList { ids: ids(dirs) }),
                open_files_max: self.config.open_files_max as u64,
            };
            let message = v1::session_request::Message::Heartbeat(heartbeat);
            // A full queue means that the connection stalls. Keep-alive ends it.
            let sent = stream.requests.try_send(v1::SessionRequest {
                message: Some(message),
            });
            if matches!(sent, Err(tokio::sync::mpsc::error::TrySendError::Closed(_))) {
                return Ended::Broken;
            }
            due = Instant::now() + interval;
        }
    }

    /// While the controller waits for this broker's metadata, each new image is reported at once.
    async fn next(&mut self, stream: &mut SessionStream, due: Instant) -> SessionEvent {
        let hurry = {
            let state = self.state.borrow();
            state.fenced || (self.desired.borrow().shutdown && !state.should_shutdown)
        };
        tokio::select! {
            response = stream.responses.message() => match response {
                Ok(Some(response)) => SessionEvent::Response(response),
                Ok(None) => SessionEvent::End(None),
                Err(status) => SessionEvent::End(Some(status)),
            },
            Ok(()) = self.desired.changed() => SessionEvent::DesiredStateChanged,
            Ok(()) = self.images.changed(), if hurry => SessionEvent::ImageChanged,
            () = sleep_until(due) => SessionEvent::Due,
        }
    }

    fn on_response(&self, response: &v1::SessionResponse) -> Option<Ended> {
        let broker = self.config.registration.id;
        if let Err(error) = convert::outcome_from_wire(response.outcome.as_ref()) {
            if error.code == ErrorCode::NotController {
                return Some(Ended::Broken);
            }
            let (code, message) = (error.code, error.message);
            return Some(Ended::Refused(SessionError {
                broker: broker.0,
                code,
                message,
            }));
        }
        self.heard.send_replace(Instant::now());
        let epoch = BrokerEpoch::from_wire(response.broker_epoch);
        self.state.send_if_modified(|state| {
            let before = state.clone();
            state.broker_epoch = epoch.or(state.broker_epoch);
            state.fenced = response.is_fenced;
            state.should_shutdown = response.should_shutdown;
            if before.broker_epoch != state.broker_epoch {
                tracing::info!(%broker, epoch = response.broker_epoch, "registered");
            }
            if before.fenced != state.fenced {
                let event = if state.fenced {
                    "broker fenced"
                } else {
                    "broker unfenced"
                };
                tracing::info!(%broker, "{event}");
            }
            before != *state
        });
        None
    }
}
