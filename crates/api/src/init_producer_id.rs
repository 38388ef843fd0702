//! InitProducerId, versions 0–5: an id for an idempotent producer (KIP-98).
//!
//! Ids come from blocks that the controller hands out (KIP-730). A transactional id is
//! refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client library takes as final;
//! the response has no room for words, so they are in the log.

use dohle_coordinator::ProducerIdSource as _;
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};
use dohle_protocol::messages::init_producer_id_request::InitProducerIdRequestData;
use dohle_protocol::messages::init_producer_id_response::InitProducerIdResponseData;

use super::Call;
use crate::context::REQUEST_TIMEOUT;

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
            match call.context.producer_ids.next(deadline).await {
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
