//! ListTransactions, versions 0–2: the transactions that this broker coordinates (KIP-664), by
//! state and producer, from version 1 on by how long they have been open (KIP-994), from version 2
//! on by a regular expression (KIP-1152). While one of its shards loads, the answer is
//! COORDINATOR_LOAD_IN_PROGRESS. Transactional ids that the client may not describe are left out.

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ErrorCode, ProducerId};
use dohle_protocol::messages::list_transactions_request::ListTransactionsRequestData;
use dohle_protocol::messages::list_transactions_response::{
    ListTransactionsResponseData, TransactionState as Listed,
};
use dohle_transactions::{TransactionFilter, TransactionState};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: ListTransactionsRequestData,
) -> ListTransactionsResponseData {
    let names = request.state_filters.iter();
    let unknown = names.filter(|name| TransactionState::from_name(name.as_str()).is_none());
    let unknown_state_filters = unknown.cloned().collect();
    match list(&call, &request).await {
        Ok(transaction_states) => ListTransactionsResponseData {
            unknown_state_filters,
            transaction_states,
            ..ListTransactionsResponseData::default()
        },
        Err(code) => ListTransactionsResponseData {
            error_code: code.code(),
            ..ListTransactionsResponseData::default()
        },
    }
}

async fn list(
    call: &Call,
    request: &ListTransactionsRequestData,
) -> Result<Vec<Listed>, ErrorCode> {
    let names = request.state_filters.iter();
    let states = names.filter_map(|name| TransactionState::from_name(name.as_str()));
    let producer_ids = request.producer_id_filters.iter();
    let pattern = request.transactional_id_pattern.as_ref();
    let pattern = pattern.map(|text| TransactionFilter::pattern(text.as_str()));
    let filter = TransactionFilter {
        producer_ids: producer_ids.map(|id| ProducerId(*id)).collect(),
        states: (!request.state_filters.is_empty()).then(|| states.collect()),
        duration_ms: Some(request.duration_filter).filter(|duration| *duration >= 0),
        pattern: pattern.transpose()?.flatten(),
    };
    let listed = call.context.transactions.list(&filter).await?;
    let listed = listed.into_iter().filter(|one| {
        let id = one.transactional_id.as_str();
        call.is_visible(Operation::Describe, ResourceType::TransactionalId, id)
    });
    let listed = listed.map(|one| Listed {
        transactional_id: wire::text(one.transactional_id.as_str()),
        producer_id: one.producer_id.0,
        transaction_state: wire::text(one.state.name()),
        ..Listed::default()
    });
    Ok(listed.collect())
}
