//! Tests of offsets that are committed in transactions (KIP-98, KIP-447).
//!
//! `DOHLE_FUZZ_CASES` sets the number of random cases; proptest prints the script that fails, and
//! `PROPTEST_RNG_SEED` repeats a whole run.

use std::collections::BTreeMap;

use dohle_model::PartitionIndex;
use expect_test::expect;
use proptest::prelude::*;

use super::driver::{Driver, check};
use crate::shard::Shard;
use crate::test_scripts::ScriptDriver as _;

#[test]
fn offsets_take_effect_with_the_commit_of_their_transaction() {
    check(
        "
        commit g pid=7 t:0=5
        fetch g t:0
        fetch g stable= t:0,1
        fetch g stable=
        list
        committed 7
        fetch g stable= t:0
        commit g pid=7 t:0=6 t:1=1
        fetch g
        fetch g stable=
        aborted 7
        fetch g stable=
        reload
        fetch g stable=
        ",
        expect![[r#"
            > commit g pid=7 t:0=5
              g t-0 = 5 at 1000000
            > fetch g t:0
              -> when committed up to 1
              -> t-0 -1@-1
            > fetch g stable= t:0,1
              -> when committed up to 1
              -> t-0 -1@-1 UNSTABLE_OFFSET_COMMIT
              -> t-1 -1@-1
            > fetch g stable=
              -> when committed up to 1
            > list
              -> when committed up to 1
              -> g classic Empty ""
            > committed 7
            > fetch g stable= t:0
              -> when committed up to 2
              -> t-0 5@-1
            > commit g pid=7 t:0=6 t:1=1
              g t-0 = 6 at 1000000
              g t-1 = 1 at 1000000
            > fetch g
              -> when committed up to 4
              -> t-0 5@-1
            > fetch g stable=
              -> when committed up to 4
              -> t-0 -1@-1 UNSTABLE_OFFSET_COMMIT
            > aborted 7
            > fetch g stable=
              -> when committed up to 5
              -> t-0 5@-1
            > reload
            > fetch g stable=
              -> when committed up to 0
              -> t-0 5@-1
        "#]],
    );
}

#[test]
fn offsets_that_kafka_wrote_in_transactions_take_effect_with_their_markers() {
    check(
        "
        kafka-transactions 1
        fetch billing stable=
        kafka-transactions 1
        fetch billing stable=
        kafka-transactions 1
        fetch billing
        kafka-transactions 2
        fetch billing
        fetch billing stable=
        kafka-transactions 3
        fetch g-franz stable=
        kafka-transactions 1
        fetch billing stable=
        kafka-transactions 6
        fetch g-py stable=
        kafka-transactions 1
        reload
        fetch billing stable=
        fetch g-franz stable=
        fetch g-py stable=
        ",
        expect![[r#"
            > kafka-transactions 1
              producer 0: billing orders-0 = 5 at 1795936949274
            > fetch billing stable=
              -> when committed up to 1
            > kafka-transactions 1
              producer 0: committed
            > fetch billing stable=
              -> when committed up to 2
              -> orders-0 5@-1
            > kafka-transactions 1
              producer 0: billing orders-0 = 10 at 1795936949328
            > fetch billing
              -> when committed up to 3
              -> orders-0 5@-1
            > kafka-transactions 2
              producer 0: aborted
              producer 0: billing orders-0 = 15 at 1795936949346
            > fetch billing
              -> when committed up to 5
              -> orders-0 5@-1
            > fetch billing stable=
              -> when committed up to 5
              -> orders-0 -1@-1 UNSTABLE_OFFSET_COMMIT
            > kafka-transactions 3
              producer 1: g-franz orders-0 = 5 at 1795936972951 epoch 0 "dohle-compat-franz-go-0a0277cd-86b9-487f-b003-a95acab035f0"
              producer 1: committed
              producer 1: g-franz orders-0 = 10 at 1795936972985 epoch 0 "dohle-compat-franz-go-0a0277cd-86b9-487f-b003-a95acab035f0"
            > fetch g-franz stable=
              -> when committed up to 8
              -> orders-0 -1@-1 UNSTABLE_OFFSET_COMMIT
            > kafka-transactions 1
              producer 0: aborted
            > fetch billing stable=
              -> when committed up to 9
              -> orders-0 5@-1
            > kafka-transactions 6
              producer 2: g-py orders-0 = 5 at 1795937034308
              producer 2: committed
              producer 2: g-py orders-0 = 10 at 1795937034395
              producer 2: aborted
              producer 2: g-py orders-0 = 15 at 1795937034441
              producer 2: committed
            > fetch g-py stable=
              -> when committed up to 15
              -> orders-0 15@-1
            > kafka-transactions 1
              producer 1: aborted
            > reload
            > fetch billing stable=
              -> when committed up to 0
              -> orders-0 5@-1
            > fetch g-franz stable=
              -> when committed up to 0
              -> orders-0 5@0 dohle-compat-franz-go-0a0277cd-86b9-487f-b003-a95acab035f0
            > fetch g-py stable=
              -> when committed up to 0
              -> orders-0 15@-1
        "#]],
    );
}

#[test]
fn of_two_commits_the_later_one_in_the_log_counts() {
    check(
        "
        commit g pid=7 t:0=5
        commit g t:0=6
        fetch g stable=
        committed 7
        fetch g stable=
        commit g pid=7 t:0=7
        commit g pid=8 t:0=8
        committed 8
        fetch g
        fetch g stable=
        committed 7
        fetch g stable=
        commit g pid=7 t:0=9
        commit g pid=8 t:0=10
        aborted 8
        committed 7
        fetch g stable=
        ",
        expect![[r#"
            > commit g pid=7 t:0=5
              g t-0 = 5 at 1000000
            > commit g t:0=6
              g t-0 = 6 at 1000000
            > fetch g stable=
              -> when committed up to 2
              -> t-0 -1@-1 UNSTABLE_OFFSET_COMMIT
            > committed 7
            > fetch g stable=
              -> when committed up to 3
              -> t-0 6@-1
            > commit g pid=7 t:0=7
              g t-0 = 7 at 1000000
            > commit g pid=8 t:0=8
              g t-0 = 8 at 1000000
            > committed 8
            > fetch g
              -> when committed up to 6
              -> t-0 8@-1
            > fetch g stable=
              -> when committed up to 6
              -> t-0 -1@-1 UNSTABLE_OFFSET_COMMIT
            > committed 7
            > fetch g stable=
              -> when committed up to 7
              -> t-0 8@-1
            > commit g pid=7 t:0=9
              g t-0 = 9 at 1000000
            > commit g pid=8 t:0=10
              g t-0 = 10 at 1000000
            > aborted 8
            > committed 7
            > fetch g stable=
              -> when committed up to 11
              -> t-0 9@-1
        "#]],
    );
}

#[test]
fn deleted_offsets_do_not_come_back_with_a_marker() {
    check(
        "
        commit g pid=7 t:0=5 t:1=6
        commit h pid=7 t:0=7 u:0=1
        delete-offsets g t:0
        topics-deleted u
        delete h
        list
        committed 7
        list
        fetch g
        fetch h
        ",
        expect![[r#"
            > commit g pid=7 t:0=5 t:1=6
              g t-0 = 5 at 1000000
              g t-1 = 6 at 1000000
            > commit h pid=7 t:0=7 u:0=1
              h t-0 = 7 at 1000000
              h u-0 = 1 at 1000000
            > delete-offsets g t:0
              tombstone g t-0
              -> t-0 ok
            > topics-deleted u
              tombstone h u-0
            > delete h
              tombstone h t-0
              Classic("h", None)
              -> deleted
            > list
              -> when committed up to 8
              -> g classic Empty ""
            > committed 7
            > list
              -> when committed up to 9
              -> g classic Empty ""
            > fetch g
              -> when committed up to 9
              -> t-1 6@-1
            > fetch h
              -> when committed up to 9
        "#]],
    );
}

#[test]
fn offsets_and_groups_with_open_transactions_do_not_expire() {
    check(
        "
        commit g t:0=5
        commit g pid=7 t:0=6
        commit h pid=8 t:0=7
        tick 8d
        expire
        aborted 7
        aborted 8
        expire
        list
        ",
        expect![[r#"
            > commit g t:0=5
              g t-0 = 5 at 1000000
            > commit g pid=7 t:0=6
              g t-0 = 6 at 1000000
            > commit h pid=8 t:0=7
              h t-0 = 7 at 1000000
            > tick 8d
            > expire
            > aborted 7
            > aborted 8
            > expire
              Classic("g", None)
              Classic("h", None)
              tombstone g t-0
            > list
              -> when committed up to 8
        "#]],
    );
}

#[test]
fn members_of_groups_are_fenced() {
    check(
        "
        classic g gen=3 a:t
        consumer h a:5
        ---
        commit g pid=7 t:0=5 gen=3 id=a
        commit g pid=7 t:0=5 gen=2 id=a
        commit g pid=7 t:0=5 gen=3 id=b
        commit g pid=7 t:0=5 gen=3 id=a instance=i
        commit g pid=7 t:0=5
        commit h pid=7 t:0=5 gen=5 id=a
        commit h pid=7 t:0=5 gen=4 id=a
        commit h pid=7 t:0=5 gen=5 id=b
        commit h pid=7 t:0=5
        commit nobody pid=7 t:0=5 gen=1 id=a
        commit nobody pid=7 t:0=5
        ",
        expect![[r#"
            > commit g pid=7 t:0=5 gen=3 id=a
              g t-0 = 5 at 1000000
            > commit g pid=7 t:0=5 gen=2 id=a
              -> ILLEGAL_GENERATION
            > commit g pid=7 t:0=5 gen=3 id=b
              -> UNKNOWN_MEMBER_ID
            > commit g pid=7 t:0=5 gen=3 id=a instance=i
              -> UNKNOWN_MEMBER_ID
            > commit g pid=7 t:0=5
              g t-0 = 5 at 1000000
            > commit h pid=7 t:0=5 gen=5 id=a
              h t-0 = 5 at 1000000
            > commit h pid=7 t:0=5 gen=4 id=a
              -> STALE_MEMBER_EPOCH
            > commit h pid=7 t:0=5 gen=5 id=b
              -> UNKNOWN_MEMBER_ID
            > commit h pid=7 t:0=5
              h t-0 = 5 at 1000000
            > commit nobody pid=7 t:0=5 gen=1 id=a
              -> GROUP_ID_NOT_FOUND
            > commit nobody pid=7 t:0=5
              nobody t-0 = 5 at 1000000
        "#]],
    );
}

type Partition = (&'static str, i32);

const PARTITIONS: [Partition; 3] = [("t", 0), ("t", 1), ("u", 0)];

#[derive(Debug, Clone)]
enum Op {
    Commit(Partition, i64),
    InTransaction(i64, Partition, i64),
    End(i64, bool),
    Delete(Partition),
}

fn op() -> impl Strategy<Value = Op> {
    let partition = || prop::sample::select(&PARTITIONS[..]);
    let producer = || 0..3_i64;
    prop_oneof![
        2 => (partition(), 0..1000_i64).prop_map(|(at, offset)| Op::Commit(at, offset)),
        5 => (producer(), partition(), 0..1000_i64)
            .prop_map(|(id, at, offset)| Op::InTransaction(id, at, offset)),
        3 => (producer(), any::<bool>()).prop_map(|(id, committed)| Op::End(id, committed)),
        1 => partition().prop_map(Op::Delete),
    ]
}

/// Kafka's rules as a model: each offset with the offset of its record, which decides between two.
#[derive(Debug, Default)]
struct Model {
    records: usize,
    committed: BTreeMap<Partition, (usize, i64)>,
    pending: BTreeMap<i64, BTreeMap<Partition, (usize, i64)>>,
}

impl Model {
    fn run(&mut self, op: &Op) {
        self.records += 1;
        let at = self.records;
        match *op {
            Op::Commit(partition, offset) => {
                self.committed.insert(partition, (at, offset));
            }
            Op::InTransaction(producer, partition, offset) => {
                let pending = self.pending.entry(producer).or_default();
                pending.insert(partition, (at, offset));
            }
            Op::End(producer, committed) => {
                let ended = self.pending.remove(&producer).unwrap_or_default();
                for (partition, value) in ended.into_iter().filter(|_| committed) {
                    let current = self.committed.entry(partition).or_insert(value);
                    *current = value.max(*current);
                }
            }
            Op::Delete(partition) => {
                self.committed.remove(&partition);
                for pending in self.pending.values_mut() {
                    pending.remove(&partition);
                }
            }
        }
    }

    /// Returns each partition's offset, and whether it is stable.
    fn offsets(&self) -> Vec<(Option<i64>, bool)> {
        let of = |partition: &Partition| {
            let mut pending = self.pending.values();
            let committed = self.committed.get(partition);
            (
                committed.map(|(_, offset)| *offset),
                !pending.any(|pending| pending.contains_key(partition)),
            )
        };
        PARTITIONS.iter().map(of).collect()
    }
}

fn offsets_of(shard: &Shard) -> Vec<(Option<i64>, bool)> {
    let group = shard.groups.get("g");
    let of = |(topic, index): &Partition| {
        let Some(group) = group else {
            return (None, true);
        };
        let index = PartitionIndex(*index);
        let committed = group.offsets.get(topic, index);
        (
            committed.map(|value| value.offset.0),
            !group.offsets.pending().contains(topic, index),
        )
    };
    PARTITIONS.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(
            std::env::var("DOHLE_FUZZ_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(300),
        )
    })]

    /// After every step the offsets are those that Kafka would have, and a shard that is loaded
    /// from the log has the same.
    #[test]
    fn transactions_in_any_order_end_as_in_kafka(ops in prop::collection::vec(op(), 1..40)) {
        let mut driver = Driver::default();
        let mut model = Model::default();
        for op in &ops {
            match op {
                Op::Commit((topic, index), offset) => {
                    driver.run(&format!("commit g {topic}:{index}={offset}"));
                }
                Op::InTransaction(producer, (topic, index), offset) => {
                    driver.run(&format!("commit g pid={producer} {topic}:{index}={offset}"));
                }
                Op::End(producer, true) => driver.run(&format!("committed {producer}")),
                Op::End(producer, false) => driver.run(&format!("aborted {producer}")),
                Op::Delete((topic, index)) if driver.shard.groups.contains_key("g") => {
                    driver.run(&format!("delete-offsets g {topic}:{index}"));
                }
                Op::Delete(_) => {}
            }
            model.run(op);
            prop_assert_eq!(offsets_of(&driver.shard), model.offsets(), "{}", driver.out);
            let loaded = driver.loaded();
            prop_assert_eq!(offsets_of(&loaded), model.offsets(), "loaded: {}", driver.out);
            let open: Vec<_> = driver.shard.transactions.iter().collect();
            let loaded: Vec<_> = loaded.transactions.iter().collect();
            prop_assert_eq!(open, loaded);
        }
    }
}
