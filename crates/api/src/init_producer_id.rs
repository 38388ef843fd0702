//! InitProducerId, versions 0–5: an id for an idempotent producer (KIP-98).
//!
//! Ids come from blocks that the controller hands out (KIP-730) and that this broker keeps in
//! memory: what is left of a block when the broker stops is never used. A transactional id is
//! refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client library takes as final;
//! the response has no room for words, so they are in the log.

use dohle_model::{ApiError, ErrorCode, ProducerEpoch, ProducerId};
use dohle_protocol::messages::init_producer_id_request::InitProducerIdRequestData;
use dohle_protocol::messages::init_producer_id_response::InitProducerIdResponseData;
use dohle_rpc::convert::outcome_from_wire;
use dohle_rpc::v1;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Call;
use crate::context::{Context, REQUEST_TIMEOUT};

pub(super) async fn handle(
    call: Call,
    request: InitProducerIdRequestData,
) -> InitProducerIdResponseData {
    let outcome = match &request.transactional_id {
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(id) => {
            tracing::info!(
                peer = %call.request.client_address,
                software = call.request.software(),
                "refused transactional.id={id}: this broker has no transactions yet"
            );
            Err(ErrorCode::TransactionalIdAuthorizationFailed)
        }
        None => {
            let deadline = call.request.received + REQUEST_TIMEOUT;
            match call
                .context
                .producer_ids
                .next(&call.context, deadline)
                .await
            {
                Ok(id) => Ok(id),
                Err(error) => {
                    tracing::info!("no producer id can be handed out: {error}");
                    // Every client tries again on this one, as with Kafka.
                    Err(ErrorCode::CoordinatorLoadInProgress)
                }
            }
        }
    };
    let epoch = outcome.is_ok().then_some(ProducerEpoch(0));
    InitProducerIdResponseData {
        error_code: super::wire::code(&outcome),
        producer_id: ProducerId::to_wire(outcome.ok()),
        producer_epoch: ProducerEpoch::to_wire(epoch),
        ..InitProducerIdResponseData::default()
    }
}

/// The block of producer ids that this broker hands out from.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Block>,
}

#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// An id that no other producer of the cluster has.
    pub async fn next(&self, context: &Context, deadline: Instant) -> Result<ProducerId, ApiError> {
        // Held across the request: those who wait need the same block.
        let mut block = self.block.lock().await;
        if block.next == block.end {
            *block = allocate(context, deadline).await?;
        }
        let id = ProducerId(block.next);
        block.next += 1;
        Ok(id)
    }
}

async fn allocate(context: &Context, deadline: Instant) -> Result<Block, ApiError> {
    let image = context.image();
    let node = context.node_id;
    let registration = image.brokers.get(&node).ok_or_else(|| {
        ErrorCode::BrokerNotAvailable.because("this broker is not registered yet")
    })?;
    let request = v1::AllocateProducerIdsRequest {
        broker_id: node.0,
        broker_epoch: registration.epoch.0,
    };
    let response = context
        .controller
        .allocate_producer_ids(request, deadline)
        .await?;
    outcome_from_wire(response.outcome.as_ref())?;
    let (next, count) = (response.first, i64::from(response.count));
    match next.checked_add(count) {
        Some(end) if next >= 0 && count > 0 => Ok(Block { next, end }),
        _ => Err(ErrorCode::UnknownServerError.because(format!(
            "the controller handed out {count} producer ids from {next}"
        ))),
    }
}
