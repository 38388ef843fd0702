//! What is printed, against what Kafka's tool prints for the same state.

use expect_test::expect;

use super::*;

fn transaction(id: &str, partitions: &[(&str, i32)]) -> Transaction {
    let partitions = partitions.iter();
    Transaction {
        coordinator_id: 1,
        transactional_id: id.to_owned(),
        producer_id: 0,
        producer_epoch: 0,
        transaction_state: "Ongoing".to_owned(),
        transaction_timeout_ms: 700_000,
        start_time_ms: Some(1_795_898_704_086),
        partitions: partitions
            .map(|(topic, it)| PartitionId::new(*topic, *it))
            .collect(),
    }
}

fn producer(producer_id: i64, coordinator_epoch: Option<i32>) -> Producer {
    Producer {
        producer_id,
        producer_epoch: 0,
        coordinator_epoch,
        last_sequence: 198,
        last_timestamp: 1_795_898_718_398,
        transaction_start_offset: Some(0),
    }
}

/// Recorded from Kafka's tool.
#[test]
fn rows_are_printed_as_kafka_does() {
    let listed = ListedTransaction {
        transactional_id: "my-txn".to_owned(),
        coordinator: 1,
        producer_id: 0,
        transaction_state: "Ongoing".to_owned(),
    };
    assert_eq!(
        render_list(&[listed]),
        "TransactionalId\tCoordinator\tProducerId\tTransactionState\t\n\
         my-txn         \t1          \t0         \tOngoing         \t\n"
    );
    assert_eq!(
        render_transaction(
            &transaction("my-txn", &[("tx", 0), ("tx", 1)]),
            1_795_898_709_533
        ),
        "CoordinatorId\tTransactionalId\tProducerId\tProducerEpoch\tTransactionState\t\
         TransactionTimeoutMs\tCurrentTransactionStartTimeMs\tTransactionDurationMs\t\
         TopicPartitions\t\n\
         1            \tmy-txn         \t0         \t0            \tOngoing         \t\
         700000              \t1795898704086                \t5447                 \t\
         tx-0,tx-1      \t\n"
    );
    assert_eq!(
        render_producers(&[producer(0, None)]),
        "ProducerId\tProducerEpoch\tLatestCoordinatorEpoch\tLastSequence\tLastTimestamp\t\
         CurrentTransactionStartOffset\t\n\
         0         \t0            \t-1                    \t198         \t1795898718398\t\
         0                            \t\n"
    );
    let mut idle = transaction("idle", &[]);
    idle.start_time_ms = None;
    let text = render_transaction(&idle, 0);
    assert!(
        text.contains("\tNone                         \tNone"),
        "{text}"
    );
    assert_eq!(
        render_hanging(&[], 0),
        "Topic\tPartition\tProducerId\tProducerEpoch\tCoordinatorEpoch\tStartOffset\t\
         LastTimestamp\tDuration(min)\t\n"
    );
}

#[test]
fn a_transaction_hangs_when_no_coordinator_is_going_to_end_it() {
    let open = |producer_id, partition| Hanging {
        partition: PartitionId::new("t", partition),
        producer: producer(producer_id, Some(3)),
    };
    let candidates = vec![open(1, 0), open(2, 0), open(3, 0), open(3, 1)];
    let ids = BTreeMap::from([(2, "forgotten".to_owned()), (3, "open".to_owned())]);
    let described = BTreeMap::from([("open".to_owned(), transaction("open", &[("t", 1)]))]);
    let left = hanging(candidates, &ids, &described);
    let text = render_hanging(&left, 1_795_898_718_398 + 17 * MINUTE_MS + 1);
    expect![[r#"
        Topic|Partition|ProducerId|ProducerEpoch|CoordinatorEpoch|StartOffset|LastTimestamp|Duration(min)|
        t    |0        |1         |0            |3               |0          |1795898718398|17           |
        t    |0        |2         |0            |3               |0          |1795898718398|17           |
        t    |0        |3         |0            |3               |0          |1795898718398|17           |
    "#]].assert_eq(&text.replace('\t', "|"));
}
