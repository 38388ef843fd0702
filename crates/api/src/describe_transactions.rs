//! DescribeTransactions, version 0: the state of transactional ids that this broker coordinates
//! (KIP-664). Topics that the client may not describe are left out.

use dohle_model::Timestamp;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_transactions_request::DescribeTransactionsRequestData;
use dohle_protocol::messages::describe_transactions_response::{
    DescribeTransactionsResponseData, TopicData, TransactionState,
};
use futures::future::join_all;

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: DescribeTransactionsRequestData,
) -> DescribeTransactionsResponseData {
    let ids = request.transactional_ids.iter();
    let states = join_all(ids.map(|id| describe(&call, id))).await;
    DescribeTransactionsResponseData {
        transaction_states: states,
        ..DescribeTransactionsResponseData::default()
    }
}

async fn describe(call: &Call, id: &KafkaString) -> TransactionState {
    let (kind, name) = (ResourceType::TransactionalId, id.as_str());
    let described = match call.authorize(Operation::Describe, kind, name) {
        Ok(()) => call.context.transactions.describe(name).await,
        Err(code) => Err(code),
    };
    let described = match described {
        Ok(described) => described,
        Err(code) => {
            return TransactionState {
                transactional_id: id.clone(),
                error_code: code.code(),
                ..TransactionState::default()
            };
        }
    };
    let topics = described.partitions.topics().into_iter();
    let topics = topics.filter(|(topic, _)| {
        call.is_visible(Operation::Describe, ResourceType::Topic, topic.as_str())
    });
    let topics = topics.map(|(topic, partitions)| TopicData {
        topic: wire::text(topic.as_str()),
        partitions: partitions.iter().map(|partition| partition.0).collect(),
        ..TopicData::default()
    });
    TransactionState {
        transactional_id: id.clone(),
        transaction_state: wire::text(described.state.name()),
        transaction_timeout_ms: described.timeout_ms,
        transaction_start_time_ms: Timestamp::to_wire(described.started),
        producer_id: described.producer.id.0,
        producer_epoch: described.producer.epoch.0,
        topics: topics.collect(),
        ..TransactionState::default()
    }
}
