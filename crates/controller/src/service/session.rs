//! A broker's session: the first message registers the broker, the following ones are heartbeats.

use std::sync::Arc;
use std::time::Duration;

use dohle_auth::NodePeer;
use dohle_model::record::BrokerRegistration;
use dohle_model::{ApiError, BrokerEpoch, DirectoryId, ErrorCode, MetadataOffset, NodeId};
use dohle_rpc::v1::session_request::Message as Incoming;
use dohle_rpc::{convert, v1};
use futures::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Inner;
use crate::actor::{Attach, Message, Outgoing, SessionHandle};
use crate::heartbeats::{BrokerReport, SessionId};
use crate::peer;
use crate::plan::{self, Draft};

/// The most responses that wait for a broker that does not read them.
const OUTGOING: usize = 16;

/// How long a stream may take to send its registration.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a session ends.
enum SessionEnd {
    /// The broker disconnected.
    Gone,
    /// The session ends with this status of the stream.
    Status(Status),
    /// The session ends with this error in its last response.
    Refused(ApiError),
}

impl From<Status> for SessionEnd {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The registrations that a broker reports when it registers.
#[derive(Debug, Clone, Copy)]
struct Epochs {
    /// The epoch of the registration that this process already holds.
    known: Option<BrokerEpoch>,
    /// The epoch of the registration under which the broker last stopped cleanly (KIP-966).
    previous: Option<BrokerEpoch>,
}

pub(super) fn serve(
    inner: Arc<Inner>,
    peer: NodePeer,
    requests: Streaming<v1::SessionRequest>,
) -> impl Stream<Item = Result<v1::SessionResponse, Status>> + Send {
    let (outgoing, responses) = mpsc::channel(OUTGOING);
    tokio::spawn(async move {
        let last = match run(&inner, &peer, requests, &outgoing).await {
            SessionEnd::Gone => return,
            SessionEnd::Status(status) => Err(status),
            SessionEnd::Refused(error) => {
                tracing::warn!(%error, "broker registration was refused");
                let outcome = Some(convert::outcome_to_wire(Some(&error)));
                Ok(v1::SessionResponse {
                    outcome,
                    broker_epoch: -1,
                    ..Default::default()
                })
            }
        };
        // The broker may have disconnected already.
        drop(outgoing.send(last).await);
    });
    ReceiverStream::new(responses)
}

async fn run(
    inner: &Arc<Inner>,
    peer: &NodePeer,
    mut requests: Streaming<v1::SessionRequest>,
    outgoing: &Outgoing,
) -> SessionEnd {
    let (broker, session, mut ended) = match begin(inner, peer, &mut requests, outgoing).await {
        Ok(begun) => begun,
        Err(end) => return end,
    };
    loop {
        let message = tokio::select! {
            message = requests.message() => message,
            // The actor dropped the session: this controller is not active any more, or another
            // stream replaced the session.
            _ = &mut ended => return SessionEnd::Status(inner.not_active()),
        };
        let sent = match message {
            Ok(Some(v1::SessionRequest {
                message: Some(Incoming::Heartbeat(heartbeat)),
            })) => {
                let report = broker_report(heartbeat);
                inner
                    .actor
                    .send(Message::Heartbeat {
                        broker,
                        session,
                        report,
                    })
                    .await
            }
            Ok(Some(_)) => {
                drop(inner.actor.send(Message::Broken { broker, session }).await);
                return Status::invalid_argument("only heartbeats follow a registration").into();
            }
            Ok(None) | Err(_) => {
                drop(inner.actor.send(Message::Broken { broker, session }).await);
                return SessionEnd::Gone;
            }
        };
        if sent.is_err() {
            return SessionEnd::Status(inner.not_active());
        }
    }
}

async fn begin(
    inner: &Arc<Inner>,
    peer: &NodePeer,
    requests: &mut Streaming<v1::SessionRequest>,
    outgoing: &Outgoing,
) -> Result<(NodeId, SessionId, oneshot::Receiver<()>), SessionEnd> {
    let first = tokio::time::timeout(REGISTER_TIMEOUT, requests.message()).await;
    let first = match first {
        Ok(Ok(Some(request))) => request.message,
        Ok(Ok(None) | Err(_)) => return Err(SessionEnd::Gone),
        Err(_) => return Err(Status::deadline_exceeded("no registration arrived").into()),
    };
    let Some(Incoming::Register(register)) = first else {
        return Err(Status::invalid_argument("a session begins with a registration").into());
    };
    inner.check_cluster(&register.cluster_id)?;
    let registration = register
        .registration
        .as_ref()
        .map(convert::registration_from_wire);
    let registration = match registration {
        Some(Ok(registration)) => registration,
        Some(Err(error)) => {
            return Err(Status::invalid_argument(format!("registration: {error}")).into());
        }
        None => return Err(Status::invalid_argument("registration is missing").into()),
    };
    let broker = registration.id;
    peer::check(peer, broker.0)?;
    let epochs = Epochs {
        known: BrokerEpoch::from_wire(register.known_epoch),
        previous: BrokerEpoch::from_wire(register.previous_broker_epoch),
    };
    let (registered_at, epoch) = register_patiently(inner, registration, epochs).await?;
    let (alive, ended) = oneshot::channel();
    let (reply, attached) = oneshot::channel();
    let attach = Attach {
        broker,
        epoch,
        registered_at,
        metadata_offset: MetadataOffset(register.metadata_offset),
        handle: SessionHandle {
            responses: outgoing.clone(),
            _alive: alive,
        },
        reply,
    };
    if inner.actor.send(Message::Attach(attach)).await.is_err() {
        return Err(inner.not_active().into());
    }
    // The session is refused only when another registration came first: the broker may try again.
    let session = attached.await.map_err(|_| inner.not_active())?;
    let session = session.map_err(|error| Status::aborted(error.message))?;
    tracing::info!(%broker, epoch = epoch.0, at = %registered_at, "broker session opened");
    Ok((broker, session, ended))
}

/// Registers a broker. When another incarnation seems to run, that one may have just died together
/// with its machine, without closing its sockets: the registration is retried until the missing
/// heartbeats have proven that.
async fn register_patiently(
    inner: &Inner,
    registration: BrokerRegistration,
    epochs: Epochs,
) -> Result<(MetadataOffset, BrokerEpoch), SessionEnd> {
    let patience = inner.config.broker_heartbeat_interval * 3;
    let deadline = Instant::now() + patience;
    loop {
        let registration = registration.clone();
        let plan = move |draft: &mut Draft| keep_or_register(draft, &registration, epochs);
        let (offset, result) = inner.plan(plan).await?;
        match result {
            Ok(epoch) => return Ok((offset, epoch)),
            Err(error)
                if error.code == ErrorCode::DuplicateBrokerRegistration
                    && Instant::now() < deadline =>
            {
                tokio::time::sleep(patience / 30).await;
            }
            Err(error) => return Err(SessionEnd::Refused(error)),
        }
    }
}

/// Keeps the registration of a broker whose session moves to this controller, or registers it.
fn keep_or_register(
    draft: &mut Draft,
    registration: &BrokerRegistration,
    epochs: Epochs,
) -> Result<BrokerEpoch, ApiError> {
    if let (Some(known), Some(existing)) = (epochs.known, draft.image.brokers.get(&registration.id))
        && existing.epoch == known
        && existing.incarnation == registration.incarnation
    {
        return Ok(known);
    }
    draft.attempt(|draft| plan::brokers::register(draft, registration.clone(), epochs.previous))
}

fn broker_report(heartbeat: v1::SessionHeartbeat) -> BrokerReport {
    let directory =
        |bytes: &bytes::Bytes| bytes.as_ref().try_into().ok().map(DirectoryId::from_bytes);
    let directories = |ids: &[bytes::Bytes]| ids.iter().filter_map(directory).collect();
    let cordoned = heartbeat.cordoned_log_dirs.as_ref();
    BrokerReport {
        metadata_offset: MetadataOffset(heartbeat.metadata_offset),
        want_shutdown: heartbeat.want_shutdown,
        offline_log_dirs: directories(&heartbeat.offline_log_dirs),
        cordoned_log_dirs: cordoned.map(|list| directories(&list.ids)),
        open_files_max: heartbeat.open_files_max,
    }
}
