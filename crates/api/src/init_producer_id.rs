//! InitProducerId, versions 0–6: an id and an epoch for a producer (KIP-98). A producer with a
//! transactional id gets the same id with the next epoch, which fences producers with earlier
//! epochs; from version 3 on it may send its present id and epoch, to continue after an error
//! (KIP-360).
//!
//! Ids come from blocks that the controller hands out (KIP-730). PRODUCER_FENCED is
//! INVALID_PRODUCER_EPOCH before version 4 (KIP-588). Version 6 has two-phase commit (KIP-939) and
//! is served where `unstable.api.versions.enable` is set, as in Kafka.

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};
use dohle_protocol::messages::init_producer_id_request::InitProducerIdRequestData;
use dohle_protocol::messages::init_producer_id_response::InitProducerIdResponseData;
use dohle_transactions::{InitProducerId, ProducerIdAndEpoch};

use super::{CLUSTER, Call, denial, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: InitProducerIdRequestData,
) -> InitProducerIdResponseData {
    let outcome = initialize(&call, &request).await;
    let outcome = outcome.map_err(|code| wire::fenced(code, call.version < 4));
    let producer = outcome.ok();
    InitProducerIdResponseData {
        error_code: wire::code(&outcome),
        producer_id: ProducerId::to_wire(producer.map(|it| it.id)),
        producer_epoch: ProducerEpoch::to_wire(producer.map(|it| it.epoch)),
        ..InitProducerIdResponseData::default()
    }
}

/// Asks for Write on the transactional id. Without one, a producer that may write to some topic may
/// also be idempotent (KIP-679).
fn authorize(call: &Call, request: &InitProducerIdRequestData) -> Result<(), ErrorCode> {
    let Some(id) = &request.transactional_id else {
        let (operation, kind) = (Operation::IdempotentWrite, ResourceType::Cluster);
        let is_allowed = call.is_visible(operation, kind, CLUSTER)
            || call.is_allowed_for_any(Operation::Write, ResourceType::Topic);
        return is_allowed.then_some(()).ok_or(denial(kind));
    };
    let kind = ResourceType::TransactionalId;
    call.authorize(Operation::Write, kind, id.as_str())?;
    if request.enable2_pc {
        call.authorize(Operation::TwoPhaseCommit, kind, id.as_str())?;
    }
    Ok(())
}

async fn initialize(
    call: &Call,
    request: &InitProducerIdRequestData,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    authorize(call, request)?;
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        (id, epoch) => Some(ProducerIdAndEpoch {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
        }),
    };
    let deadline = call.request.received + REQUEST_TIMEOUT;
    let Some(transactional_id) = &request.transactional_id else {
        let id = call.context.producer_ids.next(deadline).await;
        let id = id.map_err(|error| {
            tracing::info!("no producer id can be handed out: {error}");
            // All clients retry this error, as they do with Kafka.
            ErrorCode::CoordinatorLoadInProgress
        })?;
        let epoch = ProducerEpoch(0);
        return Ok(ProducerIdAndEpoch { id, epoch });
    };
    let request = InitProducerId {
        transactional_id: transactional_id.as_str(),
        timeout_ms: request.transaction_timeout_ms,
        expected,
        two_phase_commit: request.enable2_pc,
        keep_prepared: request.keep_prepared_txn,
        fresh: None,
    };
    call.context
        .transactions
        .init_producer_id(request, deadline)
        .await
}
