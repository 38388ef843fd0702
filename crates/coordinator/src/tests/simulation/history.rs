//! What clients did, and what readers found: a transaction is all there or not at all.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::TopicPartition;
use dohle_transactions::{ProducerIdAndEpoch, TransactionalId};

/// A transaction of a client.
#[derive(Debug)]
struct Transaction {
    #[expect(dead_code, reason = "shown when a check fails")]
    begun_by: (TransactionalId, ProducerIdAndEpoch),
    /// What the client asked for with EndTxn.
    asked: Option<bool>,
    /// What EndTxn was answered with success for.
    answered: Option<bool>,
    sent: BTreeMap<u64, TopicPartition>,
    acknowledged: BTreeSet<u64>,
    seen: BTreeSet<u64>,
}

/// Values of records are the number of their transaction times this, plus a count.
const VALUES: u64 = 1_000;

#[derive(Debug, Default)]
pub struct History {
    transactions: Vec<Transaction>,
    producers: BTreeMap<ProducerIdAndEpoch, TransactionalId>,
}

impl History {
    /// A producer was handed out.
    pub fn initialize(&mut self, id: &TransactionalId, producer: ProducerIdAndEpoch) {
        let before = self.producers.insert(producer, id.clone());
        assert!(
            before.is_none(),
            "{producer:?} of {before:?} is handed out to {id}"
        );
    }

    pub fn begin(&mut self, id: &TransactionalId, producer: ProducerIdAndEpoch) -> u64 {
        self.transactions.push(Transaction {
            begun_by: (id.clone(), producer),
            asked: None,
            answered: None,
            sent: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            seen: BTreeSet::new(),
        });
        self.transactions.len() as u64 - 1
    }

    fn of(&mut self, value: u64) -> &mut Transaction {
        &mut self.transactions[transaction_of(value) as usize]
    }

    /// New values for records of a transaction.
    pub fn values(&mut self, transaction: u64, partition: &TopicPartition, count: u64) -> Vec<u64> {
        let sent = &mut self.transactions[transaction as usize].sent;
        let first = transaction * VALUES + sent.len() as u64;
        let values: Vec<_> = (first..first + count).collect();
        sent.extend(values.iter().map(|value| (*value, partition.clone())));
        values
    }

    pub fn acknowledge(&mut self, values: &[u64]) {
        for value in values {
            self.of(*value).acknowledged.insert(*value);
        }
    }

    pub fn ask(&mut self, transaction: u64, commit: bool) {
        let transaction = &mut self.transactions[transaction as usize];
        assert_eq!(transaction.asked, None, "{transaction:?}");
        transaction.asked = Some(commit);
    }

    pub fn answer(&mut self, transaction: u64, commit: bool) {
        let transaction = &mut self.transactions[transaction as usize];
        assert_eq!(transaction.asked, Some(commit), "{transaction:?}");
        transaction.answered = Some(commit);
    }

    /// A reader of committed records finds these in a partition.
    pub fn see(&mut self, partition: &TopicPartition, values: &[u64]) {
        let mut found = BTreeSet::new();
        for value in values {
            assert!(found.insert(*value), "{value} is twice in {partition}");
            let transaction = self.of(*value);
            assert_eq!(
                transaction.asked,
                Some(true),
                "a reader of {partition} sees {value}, which nobody committed: {transaction:?}"
            );
            assert_eq!(transaction.sent.get(value), Some(partition));
            transaction.seen.insert(*value);
        }
    }

    /// After all transactions have ended, readers see these.
    pub fn check_end(&self, visible: &BTreeSet<u64>) -> u64 {
        let mut committed = 0;
        for transaction in &self.transactions {
            let sent = transaction.sent.keys().copied();
            let found: BTreeSet<_> = sent.filter(|value| visible.contains(value)).collect();
            assert!(
                transaction.seen.is_subset(&found),
                "a reader has seen what is gone: {transaction:?}, found {found:?}"
            );
            let committed_nothing =
                transaction.answered != Some(true) || transaction.acknowledged.is_empty();
            if found.is_empty() && committed_nothing {
                continue;
            }
            assert_eq!(
                found, transaction.acknowledged,
                "a torn transaction: {transaction:?}"
            );
            assert_eq!(transaction.asked, Some(true), "{transaction:?}");
            committed += 1;
        }
        committed
    }
}

/// The transaction that a record belongs to.
pub fn transaction_of(value: u64) -> u64 {
    value / VALUES
}
