//! Tests of assignors: their guarantees for random groups, and Kafka's own results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};
use proptest::prelude::*;

use super::{Assignor, GroupAssignment, GroupSpec, MemberSpec};
use crate::ids::{InstanceId, MemberId};
use crate::modern::member::Assignment;

const KAFKA: &str = include_str!("testdata/kafka-4.3.1.txt");

fn topic(number: u8) -> TopicId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    TopicId::from_bytes(bytes)
}

/// A group of Kafka's results, and what its assignor made of it.
struct Case {
    assignor: Assignor,
    spec: GroupSpec,
    result: GroupAssignment,
    text: String,
}

fn parse_assignment(text: &str) -> Arc<Assignment> {
    let topics = text.split(';').filter(|topic| *topic != "-");
    let topics = topics.map(|text| {
        let (id, partitions) = text.split_once(':').expect("topic:partitions");
        let partitions = partitions
            .split(',')
            .map(|p| PartitionIndex(p.parse().expect("a number")));
        (topic(id.parse().expect("a number")), partitions.collect())
    });
    Arc::new(topics.collect())
}

fn kafkas_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in KAFKA.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["case", assignor, kind] => cases.push(Case {
                assignor: Assignor::of(assignor).expect("an assignor"),
                spec: GroupSpec {
                    homogeneous: *kind == "homogeneous",
                    ..GroupSpec::default()
                },
                result: GroupAssignment::new(),
                text: String::new(),
            }),
            ["topic", id, partitions] => {
                let spec = &mut cases.last_mut().expect("a case").spec;
                let id = topic(id.parse().expect("a number"));
                spec.partitions
                    .insert(id, partitions.parse().expect("a number"));
            }
            ["member", id, instance, topics, had, "->", gets] => {
                let topics = topics.split(',').filter(|topic| *topic != "-");
                let topics = topics.map(|id| topic(id.parse().expect("a number")));
                let member = MemberSpec {
                    instance_id: (*instance != "-").then(|| InstanceId::new(instance)),
                    topics: Arc::new(topics.collect()),
                    assignment: parse_assignment(had),
                };
                let case = cases.last_mut().expect("a case");
                case.spec.members.insert(MemberId::new(id), member);
                case.result
                    .insert(MemberId::new(id), parse_assignment(gets));
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
        if let Some(case) = cases.last_mut() {
            case.text.push_str(line);
            case.text.push('\n');
        }
    }
    cases
}

fn size(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

/// Returns the number of partitions that were given to a new member although another one had them.
fn moved(spec: &GroupSpec, result: &GroupAssignment) -> usize {
    let owners = spec.owners();
    let mut moved = 0;
    for (member_id, member) in &spec.members {
        for (topic_id, partitions) in result[member_id].iter() {
            let had = member.assignment.get(topic_id);
            let is_new = |p: &&PartitionIndex| !had.is_some_and(|had| had.contains(*p));
            let of_another = partitions.iter().filter(is_new);
            moved += of_another
                .filter(|p| owners.contains(&(*topic_id, **p)))
                .count();
        }
    }
    moved
}

fn loads(result: &GroupAssignment) -> Vec<usize> {
    let mut loads: Vec<usize> = result.values().map(|assignment| size(assignment)).collect();
    loads.sort_unstable();
    loads
}

fn assigned(spec: &GroupSpec, assignor: Assignor) -> GroupAssignment {
    let mut result = assignor.assign(spec);
    for member_id in spec.members.keys() {
        result.entry(member_id.clone()).or_default();
    }
    result
}

#[test]
fn range_assigns_as_kafka_does() {
    let cases = kafkas_cases().into_iter();
    for case in cases.filter(|case| case.assignor == Assignor::Range) {
        assert_eq!(
            assigned(&case.spec, case.assignor),
            case.result,
            "{}",
            case.text
        );
    }
}

#[test]
fn uniform_assigns_different_subscriptions_as_kafka_does() {
    let cases = kafkas_cases().into_iter();
    let cases = cases.filter(|case| case.assignor == Assignor::Uniform);
    for case in cases.filter(|case| !case.spec.homogeneous) {
        assert_eq!(
            assigned(&case.spec, case.assignor),
            case.result,
            "{}",
            case.text
        );
    }
}

#[test]
fn uniform_balances_as_kafka_does_and_moves_no_more() {
    let cases = kafkas_cases().into_iter();
    let cases = cases.filter(|case| case.assignor == Assignor::Uniform);
    for case in cases.filter(|case| case.spec.homogeneous) {
        let result = assigned(&case.spec, case.assignor);
        assert_eq!(loads(&result), loads(&case.result), "{}", case.text);
        let (ours, kafkas) = (moved(&case.spec, &result), moved(&case.spec, &case.result));
        assert!(
            ours <= kafkas,
            "moves {ours}, Kafka {kafkas}\n{}",
            case.text
        );
    }
}

/// Generates random groups: topics, members with their subscriptions, and present targets.
fn specs(homogeneous: bool) -> impl Strategy<Value = GroupSpec> {
    let topics = prop::collection::vec(0..12_i32, 1..6);
    let members = prop::collection::vec((any::<u8>(), any::<bool>()), 1..8);
    let had = prop::collection::vec(any::<u8>(), 72);
    (topics, members, had).prop_map(move |(topics, members, had)| {
        let mut spec = GroupSpec {
            homogeneous,
            ..GroupSpec::default()
        };
        for (number, partitions) in (1..).zip(&topics) {
            spec.partitions.insert(topic(number), *partitions);
        }
        let everyone = members[0].0;
        for (number, (mask, is_static)) in members.iter().enumerate() {
            let mask = if homogeneous { everyone } else { *mask };
            let subscribed = spec.partitions.keys().enumerate();
            let subscribed = subscribed.filter(|(bit, _)| mask & (1 << bit) != 0);
            let member = MemberSpec {
                instance_id: is_static.then(|| InstanceId::new(&format!("i{}", 9 - number))),
                topics: Arc::new(subscribed.map(|(_, id)| *id).collect()),
                assignment: Arc::default(),
            };
            spec.members
                .insert(MemberId::new(&format!("m{number}")), member);
        }
        give(&mut spec, &had);
        spec
    })
}

/// Gives partitions to members at random; some stay unassigned.
fn give(spec: &mut GroupSpec, had: &[u8]) {
    let mut had = had.iter();
    let mut assignments: BTreeMap<MemberId, Assignment> = BTreeMap::new();
    let member_ids: Vec<MemberId> = spec.members.keys().cloned().collect();
    for (topic_id, partitions) in &spec.partitions {
        for partition in (0..*partitions).map(PartitionIndex) {
            let owner = usize::from(*had.next().unwrap_or(&0)) % (member_ids.len() + 2);
            if let Some(member_id) = member_ids.get(owner) {
                let assignment = assignments.entry(member_id.clone()).or_default();
                assignment.entry(*topic_id).or_default().insert(partition);
            }
        }
    }
    for (member_id, assignment) in assignments {
        if let Some(member) = spec.members.get_mut(&member_id) {
            member.assignment = Arc::new(assignment);
        }
    }
}

/// Checks that every partition of a subscribed topic has one owner, which subscribes to the topic.
fn check_complete(spec: &GroupSpec, result: &GroupAssignment) {
    let mut given = BTreeSet::new();
    for (member_id, assignment) in result {
        for (topic_id, partitions) in assignment.iter() {
            let topics = &spec.members[member_id].topics;
            assert!(
                topics.contains(topic_id),
                "{member_id} does not subscribe to {topic_id}"
            );
            for partition in partitions {
                assert!(
                    given.insert((*topic_id, *partition)),
                    "{topic_id}-{partition} twice"
                );
            }
        }
    }
    let subscribed: BTreeSet<TopicId> = spec
        .members
        .values()
        .flat_map(|m| m.topics.iter().copied())
        .collect();
    let expected = subscribed
        .iter()
        .flat_map(|id| (0..spec.partitions[id]).map(|p| (*id, PartitionIndex(p))));
    assert_eq!(given, expected.collect());
}

/// Returns the group with the result as its present target.
fn next(spec: &GroupSpec, result: &GroupAssignment) -> GroupSpec {
    let mut spec = spec.clone();
    for (member_id, member) in &mut spec.members {
        member.assignment = result[member_id].clone();
    }
    spec
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uniform_shares_differ_by_one_at_most_and_as_little_moves_as_can(spec in specs(true)) {
        let result = assigned(&spec, Assignor::Uniform);
        check_complete(&spec, &result);
        let loads = loads(&result);
        let (least, most) = (loads[0], loads[loads.len() - 1]);
        prop_assert!(most - least <= 1, "{loads:?}");
        // The partitions that must move are those above the members' shares; members that had more
        // keep one more.
        let topics = spec.members.values().next().map(|m| m.topics.clone()).unwrap_or_default();
        let had = |member: &MemberSpec| {
            let kept = member.assignment.iter().filter(|(id, _)| topics.contains(*id));
            kept.map(|(_, partitions)| partitions.len()).sum::<usize>()
        };
        let total: usize = loads.iter().sum();
        let (share, extra) = (total / loads.len(), total % loads.len());
        let over: usize = spec.members.values().map(|m| had(m).saturating_sub(share)).sum();
        let holders = spec.members.values().filter(|m| had(m) > share).count();
        prop_assert_eq!(moved(&spec, &result), over - holders.min(extra));
    }

    #[test]
    fn an_assignment_that_stands_is_left_alone(spec in specs(true)) {
        let result = assigned(&spec, Assignor::Uniform);
        let again = next(&spec, &result);
        prop_assert_eq!(assigned(&again, Assignor::Uniform), result);
    }

    #[test]
    fn uniform_gives_everything_to_subscribers(spec in specs(false)) {
        let result = assigned(&spec, Assignor::Uniform);
        check_complete(&spec, &result);
        // The result is stable: after some repetitions, the assignor does not change its own
        // result.
        let mut spec = next(&spec, &result);
        for _ in 0..8 {
            let result = assigned(&spec, Assignor::Uniform);
            check_complete(&spec, &result);
            if moved(&spec, &result) == 0 {
                break;
            }
            spec = next(&spec, &result);
        }
        let result = assigned(&spec, Assignor::Uniform);
        prop_assert_eq!(moved(&spec, &result), 0);
    }

    #[test]
    fn range_gives_each_member_a_run_of_each_topic(
        spec in prop::bool::ANY.prop_flat_map(specs),
    ) {
        let result = assigned(&spec, Assignor::Range);
        check_complete(&spec, &result);
        for (topic_id, partitions) in &spec.partitions {
            let subscribers = spec.members.values().filter(|m| m.topics.contains(topic_id)).count();
            for assignment in result.values() {
                let Some(run) = assignment.get(topic_id) else { continue };
                let (first, last) = (run.first().expect("one"), run.last().expect("one"));
                prop_assert_eq!((last.0 - first.0 + 1).cast_unsigned() as usize, run.len());
                prop_assert!(run.len() <= partitions.cast_unsigned() as usize / subscribers + 1);
            }
        }
    }

    #[test]
    fn range_cuts_topics_with_as_many_partitions_alike(
        members in 1..8_usize,
        partitions in 1..20_i32,
    ) {
        let topics: Arc<BTreeSet<TopicId>> = Arc::new([topic(1), topic(2)].into());
        let member = MemberSpec { instance_id: None, topics, assignment: Arc::default() };
        let members = (0..members).map(|n| (MemberId::new(&format!("m{n}")), member.clone()));
        let spec = GroupSpec {
            members: members.collect(),
            partitions: [(topic(1), partitions), (topic(2), partitions)].into(),
            homogeneous: true,
        };
        for assignment in Assignor::Range.assign(&spec).values() {
            prop_assert_eq!(assignment.get(&topic(1)), assignment.get(&topic(2)));
        }
    }
}
