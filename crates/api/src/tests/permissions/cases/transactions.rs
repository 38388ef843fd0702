//! Requests about transactions.

use dohle_model::ErrorCode as Code;
use dohle_model::acl::{Operation as Op, ResourceType as On};
use dohle_protocol::messages as m;

use super::{CLUSTER_DENIED, Case, GROUP_DENIED, ID_DENIED, SHOWN, TOPIC_DENIED, case, name};
use crate::wire;

type Producer = (i64, i16);

pub(super) fn cases(producer: Producer) -> Vec<Case> {
    let mut cases = listed();
    cases.extend(partitions(producer));
    cases.extend(offsets(producer));
    cases.extend(producers(producer));
    cases
}

pub(super) fn describe() -> m::DescribeTransactionsRequestData {
    m::DescribeTransactionsRequestData {
        transactional_ids: vec![name("tx")],
        ..Default::default()
    }
}

fn listed() -> Vec<Case> {
    vec![
        case!(DescribeTransactions 0, describe(),
            |r: m::DescribeTransactionsResponseData| {
                let topics = r.transaction_states[0].topics.iter().map(|_| SHOWN);
                let code = r.transaction_states[0].error_code;
                std::iter::once(code).chain(topics).collect::<Vec<_>>()
            }, [ID_DENIED])
        .denying(&[(On::Topic, Op::Describe)], &[wire::NONE]),
        case!(ListTransactions 0, m::ListTransactionsRequestData::default(),
            |r: m::ListTransactionsResponseData| {
                let shown = r.transaction_states.iter().map(|_| SHOWN);
                std::iter::once(r.error_code).chain(shown).collect::<Vec<_>>()
            }, [wire::NONE]),
    ]
}

/// A request of a client to add a partition to transaction `tx`.
pub(super) fn add(topic: &str, producer: Producer) -> m::AddPartitionsToTxnRequestData {
    m::AddPartitionsToTxnRequestData {
        v3_and_below_transactional_id: name("tx"),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1,
        v3_and_below_topics: vec![to_add(topic)],
        ..Default::default()
    }
}

fn to_add(topic: &str) -> m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
    m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: name(topic),
        partitions: vec![0],
        ..Default::default()
    }
}

fn partitions(producer: Producer) -> Vec<Case> {
    let for_broker = m::AddPartitionsToTxnRequestData {
        transactions: vec![
            m::add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
                transactional_id: name("tx"),
                producer_id: producer.0,
                producer_epoch: producer.1,
                topics: vec![to_add("t")],
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let codes = |response: &m::AddPartitionsToTxnResponseData| {
        let topics = response.results_by_topic_v3_and_below.iter();
        let partitions = topics.flat_map(|topic| &topic.results_by_partition);
        partitions
            .map(|it| it.partition_error_code)
            .collect::<Vec<_>>()
    };
    vec![
        case!(AddPartitionsToTxn 3, add("t", producer),
            |r: m::AddPartitionsToTxnResponseData| codes(&r), [ID_DENIED])
        .denying(&[(On::Topic, Op::Write)], &[TOPIC_DENIED]),
        case!(AddPartitionsToTxn 3, add("missing", producer),
            |r: m::AddPartitionsToTxnResponseData| codes(&r), [ID_DENIED])
        .denying(&[(On::Topic, Op::Write)], &[TOPIC_DENIED]),
        case!(AddPartitionsToTxn 5, for_broker,
            |r: m::AddPartitionsToTxnResponseData| {
                let shown = r.results_by_transaction.iter().map(|_| SHOWN);
                std::iter::once(r.error_code).chain(shown).collect::<Vec<_>>()
            }, [CLUSTER_DENIED])
        .denying(
            &[(On::TransactionalId, Op::Write), (On::Topic, Op::Write)],
            &[wire::NONE, SHOWN],
        ),
    ]
}

fn offsets((producer_id, producer_epoch): Producer) -> Vec<Case> {
    let add = m::AddOffsetsToTxnRequestData {
        transactional_id: name("tx"),
        producer_id,
        producer_epoch,
        group_id: name("g"),
        ..Default::default()
    };
    let commit = |topic: &str| m::TxnOffsetCommitRequestData {
        transactional_id: name("tx"),
        group_id: name("g"),
        producer_id,
        producer_epoch,
        generation_id_or_member_epoch: -1,
        topics: vec![m::txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name: name(topic),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let read_group = [(On::Group, Op::Read)];
    let read_topic = [(On::Topic, Op::Read)];
    vec![
        case!(TxnOffsetCommit 5, commit("t"),
            |r: m::TxnOffsetCommitResponseData| [r.topics[0].partitions[0].error_code],
            [ID_DENIED])
        .denying(&read_group, &[GROUP_DENIED])
        .denying(&read_topic, &[TOPIC_DENIED]),
        case!(TxnOffsetCommit 5, commit("missing"),
            |r: m::TxnOffsetCommitResponseData| [r.topics[0].partitions[0].error_code],
            [ID_DENIED])
        .denying(&read_group, &[GROUP_DENIED])
        .denying(&read_topic, &[TOPIC_DENIED])
        .denying(&[], &[Code::UnknownTopicOrPartition.code()]),
        case!(AddOffsetsToTxn 4, add,
            |r: m::AddOffsetsToTxnResponseData| [r.error_code], [ID_DENIED])
        .denying(&read_group, &[GROUP_DENIED]),
    ]
}

/// A request for a producer id.
pub(super) fn init(id: Option<&str>, two_phase: bool) -> m::InitProducerIdRequestData {
    m::InitProducerIdRequestData {
        transactional_id: id.map(name),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        enable2_pc: two_phase,
        ..Default::default()
    }
}

fn producers((producer_id, producer_epoch): Producer) -> Vec<Case> {
    let end = m::EndTxnRequestData {
        transactional_id: name("tx"),
        producer_id,
        producer_epoch,
        committed: true,
        ..Default::default()
    };
    let idempotent = (On::Cluster, Op::IdempotentWrite);
    let write_topic = (On::Topic, Op::Write);
    vec![
        case!(EndTxn 4, end,
            |r: m::EndTxnResponseData| [r.error_code], [ID_DENIED]),
        case!(InitProducerId 5, init(None, false),
            |r: m::InitProducerIdResponseData| [r.error_code], [CLUSTER_DENIED])
        .denying(&[idempotent], &[wire::NONE])
        .denying(&[write_topic], &[wire::NONE])
        .denying(&[idempotent, write_topic], &[CLUSTER_DENIED]),
        case!(InitProducerId 6, init(Some("tx"), true),
            |r: m::InitProducerIdResponseData| [r.error_code], [ID_DENIED])
        .denying(&[(On::TransactionalId, Op::TwoPhaseCommit)], &[ID_DENIED]),
        // Allowed, and refused because the transaction is open.
        case!(InitProducerId 5, init(Some("tx"), false),
            |r: m::InitProducerIdResponseData| [r.error_code], [ID_DENIED])
        .denying(
            &[
                idempotent,
                write_topic,
                (On::TransactionalId, Op::TwoPhaseCommit),
            ],
            &[Code::ConcurrentTransactions.code()],
        ),
    ]
}
