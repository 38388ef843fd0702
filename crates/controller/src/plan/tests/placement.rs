//! Tests of the placement of replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use dohle_model::NodeId;
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::list;
use crate::plan::placement::{UsableBroker, place};

/// Parses brokers: `id`, `id@rack`, or `!id` for a fenced one.
fn brokers(text: &str) -> Vec<UsableBroker> {
    text.split_whitespace()
        .map(|word| {
            let fenced = word.starts_with('!');
            let word = word.trim_start_matches('!');
            let (id, rack) = word
                .split_once('@')
                .map_or((word, None), |(id, rack)| (id, Some(rack)));
            let id = NodeId(id.parse().unwrap());
            UsableBroker {
                id,
                rack: rack.map(str::to_owned),
                fenced,
            }
        })
        .collect()
}

#[track_caller]
fn check(text: &str, partitions: usize, replication_factor: usize, expected: Expect) {
    let mut output = String::new();
    match place(&brokers(text), partitions, replication_factor, 1) {
        Ok(placement) => {
            for replicas in placement {
                writeln!(output, "{}", list(&replicas)).unwrap();
            }
        }
        Err(reason) => writeln!(output, "{reason}").unwrap(),
    }
    expected.assert_eq(&output);
}

#[test]
fn leaders_and_replicas_are_striped_over_brokers() {
    check(
        "0 1 2 3",
        8,
        3,
        expect![[r#"
        1,2,3
        2,3,0
        3,0,1
        0,1,2
        2,0,3
        0,3,1
        3,1,2
        1,2,0
    "#]],
    );
}

#[test]
fn replicas_are_spread_over_racks() {
    check(
        "0@a 1@a 2@b 3@b 4@c 5@c",
        6,
        3,
        expect![[r#"
        1,2,5
        3,4,0
        5,1,2
        0,3,4
        2,5,1
        4,0,3
    "#]],
    );
}

#[test]
fn fenced_brokers_come_last_and_never_lead() {
    check(
        "0 1 !2",
        3,
        2,
        expect![[r#"
        1,0
        0,1
        1,0
    "#]],
    );
    check(
        "0 !1 !2",
        3,
        3,
        expect![[r#"
        0,2,1
        0,1,2
        0,2,1
    "#]],
    );
}

#[test]
fn a_replication_factor_that_cannot_be_had_says_how_many_brokers_there_are() {
    check(
        "0 1 !2",
        1,
        4,
        expect![[r#"
        a replication factor of 4 needs as many brokers, but 3 are registered (2 of them running)
    "#]],
    );
    check(
        "!0 !1",
        1,
        1,
        expect![[r#"
        none of the 2 registered brokers is running
    "#]],
    );
    check(
        "",
        1,
        1,
        expect![[r#"
        a replication factor of 1 needs as many brokers, but 0 are registered (0 of them running)
    "#]],
    );
    check(
        "1",
        1,
        0,
        expect![[r#"
        the replication factor must be at least 1
    "#]],
    );
}

proptest! {
    #[test]
    fn every_placement_is_valid_and_balanced(
        racks in prop::collection::vec((0u8..3, prop::bool::weighted(0.2)), 1..9),
        partitions in 1usize..40,
        replication_factor in 1usize..5,
        seed: u64,
    ) {
        let brokers: Vec<UsableBroker> = (0..)
            .zip(&racks)
            .map(|(id, (rack, fenced))| UsableBroker {
                id: NodeId(id),
                rack: Some(rack.to_string()),
                fenced: *fenced,
            })
            .collect();
        let active = brokers.iter().filter(|broker| !broker.fenced).count();
        let placed = place(&brokers, partitions, replication_factor, seed);
        prop_assert_eq!(placed.is_ok(), active > 0 && replication_factor <= brokers.len());
        let Ok(placed) = placed else { return Ok(()) };
        prop_assert_eq!(&placed, &place(&brokers, partitions, replication_factor, seed).unwrap());
        prop_assert_eq!(placed.len(), partitions);
        let mut leaders: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for replicas in &placed {
            prop_assert_eq!(replicas.len(), replication_factor);
            let mut distinct = replicas.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), replication_factor);
            prop_assert!(!brokers[usize::try_from(replicas[0].0).unwrap()].fenced);
            let rack = brokers[usize::try_from(replicas[0].0).unwrap()].rack.clone();
            *leaders.entry(rack).or_default() += 1;
        }
        let leading: BTreeSet<_> =
            brokers.iter().filter(|broker| !broker.fenced).map(|broker| &broker.rack).collect();
        let most = leaders.values().max().copied().unwrap_or(0);
        prop_assert!(most <= 2 * partitions.div_ceil(leading.len()), "{leaders:?}");
    }
}
