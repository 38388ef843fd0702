//! EndTxn, versions 0–5: commits or aborts a transaction (KIP-98). The response is sent once the
//! decision is committed; the markers are written afterwards.
//!
//! From version 5 on each transaction raises the producer's epoch, and the answer has the id and
//! epoch for the next one (KIP-890). PRODUCER_FENCED is INVALID_PRODUCER_EPOCH before version 2
//! (KIP-588).

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};
use dohle_protocol::messages::end_txn_request::EndTxnRequestData;
use dohle_protocol::messages::end_txn_response::EndTxnResponseData;
use dohle_transactions::{EndTxn, ProducerIdAndEpoch, TransactionVersion};

use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(call: Call, request: EndTxnRequestData) -> EndTxnResponseData {
    let outcome = end(&call, &request).await;
    let outcome = outcome.map_err(|code| wire::fenced(code, call.version < 2));
    // Versions without these fields encode only their default values.
    let next = outcome.ok().flatten().filter(|_| call.version >= 5);
    EndTxnResponseData {
        error_code: wire::code(&outcome),
        producer_id: ProducerId::to_wire(next.map(|it| it.id)),
        producer_epoch: ProducerEpoch::to_wire(next.map(|it| it.epoch)),
        ..EndTxnResponseData::default()
    }
}

async fn end(
    call: &Call,
    request: &EndTxnRequestData,
) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
    let id = request.transactional_id.as_str();
    call.authorize(Operation::Write, ResourceType::TransactionalId, id)?;
    let end = EndTxn {
        transactional_id: id,
        producer: ProducerIdAndEpoch {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        },
        commit: request.committed,
        client_version: match call.version {
            ..=4 => TransactionVersion::V0,
            5.. => TransactionVersion::V2,
        },
        fresh: None,
    };
    let deadline = call.request.received + REQUEST_TIMEOUT;
    call.context.transactions.end_txn(end, deadline).await
}
