//! Fetch, versions 4–18: reads record batches from leaders, and (from version 11, KIP-392) from
//! followers.
//!
//! A request is answered when `min_bytes` are available, when a partition has an error or a
//! divergence, or after `max_wait_ms`. The first batch of a response is sent whole even when it is
//! larger than all limits (KIP-74). Incremental sessions from version 7 (KIP-227); diverging epochs
//! from 12 (KIP-595); topic ids from 13 (KIP-516); the new leader and its address from 16
//! (KIP-951). `read_committed` sees up to the last stable offset. Replicas do not use Fetch:
//! brokers replicate over a gRPC protocol of their own.
//!
//! Records are located, not read: a response refers to their files, and the connection reads them
//! as the client accepts them (`fetch_session/source.rs`). Records that are not in the page cache
//! are read on other threads.
//!
//! Invariant: while a request waits, the cost of a wake-up is proportional to the partitions that
//! moved.

use std::sync::Arc;
use std::time::Duration;

use dohle_auth::quotas::QuotaType;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_protocol::messages::fetch_request::FetchRequestData;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Call;
use crate::fetch_session::{
    ColdRead, EPOCH_FINAL, EPOCH_INITIAL, FetchContext, FetchSession, PartitionResult, Reads,
};
use crate::resolve;
use dohle_broker::partition::Isolation;

mod respond;

use respond::{Builder, Fetched};

/// The longest that a request waits, whatever its `max_wait_ms`: a response may always be sent
/// early, and the memory that the request holds is then released.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// The options of a request, apart from its partitions.
struct FetchOptions {
    isolation: Isolation,
    min_bytes: usize,
    /// `None` when the client sent a negative limit.
    max_bytes: Option<usize>,
    deadline: Instant,
    rack: Option<String>,
    /// Whether the response lists all partitions, not only those with news.
    is_full: bool,
}

pub(super) async fn handle(mut call: Call, request: FetchRequestData) -> Fetched {
    // The request is small and copied; its frame is not held while it waits.
    drop(call.permit.take());
    let replica = if call.version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    if replica >= 0 {
        // A consumer must not pass as a replica (CVE-2018-1288).
        return match call.authorize_cluster(Operation::ClusterAction) {
            Ok(()) => Fetched::failed(ErrorCode::InvalidRequest),
            Err(_) => Fetched::denied(request),
        };
    }
    let Some(isolation) = Isolation::of_client(request.isolation_level) else {
        return Fetched::refused(request, call.version, ErrorCode::UnknownServerError);
    };
    let options = options(&call, &request, isolation);
    if options.is_full {
        fetch_all(&call, request, &options).await
    } else {
        fetch_incremental(&call, request, &options).await
    }
}

fn options(call: &Call, request: &FetchRequestData, isolation: Isolation) -> FetchOptions {
    let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let by_rack = call.version >= 11 && call.context.config.selects_replicas_by_rack;
    let rack = request.rack_id.as_str();
    let max_bytes = usize::try_from(request.max_bytes).ok();
    let max_bytes = max_bytes.map(|bytes| bytes.min(call.context.config.fetch_max_bytes));
    // More would be throttled each time, and never be sent.
    let burst = match call.quotas.are_set(QuotaType::Fetch) {
        true => call
            .quotas
            .burst(QuotaType::Fetch, call.request.quota_client()),
        false => None,
    };
    let max_bytes = match burst {
        Some(burst) => max_bytes.map(|bytes| bytes.min(burst as usize)),
        None => max_bytes,
    };
    FetchOptions {
        isolation,
        // A `min_bytes` above `max_bytes` could never be reached.
        min_bytes: size(request.min_bytes).min(max_bytes.unwrap_or(0)),
        max_bytes,
        deadline: call.request.received
            + Duration::from_millis(size(request.max_wait_ms) as u64).min(WAIT_MAX),
        rack: (by_rack && !rack.is_empty()).then(|| rack.to_owned()),
        is_full: matches!(request.session_epoch, EPOCH_INITIAL | EPOCH_FINAL),
    }
}

/// Serves a request that names all its partitions: without a session, or the first of a session.
async fn fetch_all(call: &Call, request: FetchRequestData, options: &FetchOptions) -> Fetched {
    let wants_session = request.session_epoch == EPOCH_INITIAL && call.version >= 7;
    let slots = &call.context.fetch_sessions.slots;
    if request.session_id != 0 {
        slots.lock().remove(request.session_id);
    }
    let mut session = FetchSession::new(options.isolation);
    session.update(request, call.version, options.isolation);
    let partitions = session.len();
    let session = Arc::new(Mutex::new(session));
    let results = match run(call, &session, options).await {
        Ok(results) => results,
        // As in Kafka, such a response begins no session.
        Err(Throttled(time)) => return Fetched::throttled(time, 0),
    };
    let mut session_id = 0;
    if wants_session {
        session.lock().watch_all();
        let by_id = call.version >= 13;
        let mut slots = slots.lock();
        session_id = slots
            .insert(session, partitions, by_id, Instant::now().into_std())
            .unwrap_or(0);
    }
    respond(call, results, session_id)
}

/// Serves a request of a session, which names only what has changed since the request before.
async fn fetch_incremental(
    call: &Call,
    request: FetchRequestData,
    options: &FetchOptions,
) -> Fetched {
    let (id, epoch) = (request.session_id, request.session_epoch);
    let slots = &call.context.fetch_sessions.slots;
    let session = slots
        .lock()
        .resume(id, epoch, call.version >= 13, Instant::now().into_std());
    let session = match session {
        Ok(session) => session,
        Err(code) => return Fetched::failed(code),
    };
    let partitions = {
        let mut session = session.lock();
        session.update(request, call.version, options.isolation);
        session.len()
    };
    if partitions == 0 {
        // A session without partitions ends.
        slots.lock().remove(id);
    } else {
        slots.lock().resize(id, partitions);
    }
    let session_id = if partitions == 0 { 0 } else { id };
    match run(call, &session, options).await {
        Ok(results) => respond(call, results, session_id),
        Err(Throttled(time)) => Fetched::throttled(time, session_id),
    }
}

/// The client is above its quota, so it gets no records, and may send the request again after this
/// time. What was read stays to be read.
struct Throttled(Duration);

/// Counts the bytes of a response towards the client's quota.
fn throttle(call: &Call, bytes: usize) -> Result<(), Throttled> {
    if !call.quotas.are_set(QuotaType::Fetch) {
        return Ok(());
    }
    let throttle_time = call.quotas.record_unless_throttled(
        QuotaType::Fetch,
        call.request.quota_client(),
        bytes as f64,
    );
    match throttle_time.is_zero() {
        true => Ok(()),
        false => Err(Throttled(throttle_time)),
    }
}

/// Reads, and waits until the response may be sent.
async fn run(
    call: &Call,
    session: &Arc<Mutex<FetchSession>>,
    options: &FetchOptions,
) -> Result<Vec<PartitionResult>, Throttled> {
    let may_read = |topic: &str| call.is_allowed(Operation::Read, ResourceType::Topic, topic);
    let context = FetchContext {
        may_read: &may_read,
        node: call.context.node_id,
        metadata: &call.context.metadata,
        partitions: &call.context.partitions,
        isolation: options.isolation,
        max_bytes: options.max_bytes,
        is_full: options.is_full,
        leader_only: call.version < 11,
        rack: options.rack.as_deref(),
        owner: call.owner(),
    };
    let mut reads = Reads::default();
    let (ready_set, mut tokens) = {
        let mut session = session.lock();
        (Arc::clone(&session.ready_set), session.begin())
    };
    loop {
        read(call, session, &tokens, &context, &mut reads).await;
        {
            let mut session = session.lock();
            // Without partitions there is nothing to wait for.
            let enough = reads.bytes >= options.min_bytes || reads.is_urgent || session.len() == 0;
            if enough || Instant::now() >= options.deadline {
                throttle(call, reads.bytes)?;
                return Ok(session.finish(reads, options.is_full));
            }
            if !session.is_watching() {
                tokens = session.watch_all();
                continue;
            }
        }
        // At the deadline, the partitions that moved are read once more before the response is
        // sent.
        let _ = timeout_at(options.deadline, ready_set.ready()).await;
        tokens = session.lock().take_moved();
    }
}

/// Reads the partitions of `tokens`. Partitions that were just removed from this broker are read
/// once more when its metadata are published in which they are removed.
async fn read(
    call: &Call,
    session: &Mutex<FetchSession>,
    tokens: &[u32],
    context: &FetchContext<'_>,
    reads: &mut Reads,
) {
    read_once(call, session, tokens, context, reads).await;
    let removed = std::mem::take(&mut reads.removed);
    if removed.is_empty() {
        return;
    }
    resolve::until_removed(&call.context.metadata, call.context.node_id, &removed).await;
    let tokens: Vec<u32> = removed.iter().map(|(token, _)| *token).collect();
    read_once(call, session, &tokens, context, reads).await;
}

async fn read_once(
    call: &Call,
    session: &Mutex<FetchSession>,
    tokens: &[u32],
    context: &FetchContext<'_>,
    reads: &mut Reads,
) {
    let mut next = 0;
    loop {
        let image = call.context.image();
        let cold = session
            .lock()
            .read(tokens, &mut next, context, &image, reads);
        let Some((token, cold)) = cold else {
            return;
        };
        read_from_disk(session, token, cold, context, &image, reads).await;
    }
}

/// Completes a read that waits for the disk, which began with this image.
pub(super) async fn read_from_disk(
    session: &Mutex<FetchSession>,
    token: u32,
    cold: ColdRead,
    context: &FetchContext<'_>,
    image: &MetadataImage,
    reads: &mut Reads,
) {
    let outcome = context.read_cold(cold).await;
    session
        .lock()
        .add_outcome(token, outcome, context, image, reads);
}

fn respond(call: &Call, results: Vec<PartitionResult>, session_id: i32) -> Fetched {
    let image = call.context.image();
    let mut builder = Builder::new(&image, &call.request.listener, call.version);
    for (topic, index, outcome) in results {
        builder.add(topic, index, outcome);
    }
    builder.build(session_id)
}
