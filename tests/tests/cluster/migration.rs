//! A live group moves from the classic to the consumer protocol (KIP-848) and back, with members of
//! several client families: no record is skipped, and no member stops.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::member::{Flavour, Member};
use dohle_tests::{Cluster, until};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITIONS: i32 = 6;

/// How long a group may take to settle.
const SETTLED: Duration = Duration::from_secs(90);

fn produce(cluster: &Cluster, numbers: std::ops::Range<u32>) -> Result<()> {
    let lines: String = numbers.map(|n| format!("{n}:{n}\n")).collect();
    let arguments = ["-P", "-t", TOPIC, "-K:", "-X", "acks=all"];
    kcat(&cluster.bootstrap(), &arguments)
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

fn start(cluster: &Cluster, flavour: Flavour) -> Result<Member> {
    Member::start(flavour, &cluster.bootstrap(), TOPIC, GROUP)
}

fn read_by(members: &mut [&mut Member]) -> Result<BTreeSet<u32>> {
    let mut values = BTreeSet::new();
    for member in members {
        values.extend(
            member
                .reads()?
                .iter()
                .filter_map(|read| read.value.parse::<u32>().ok()),
        );
    }
    Ok(values)
}

fn shares(a: &mut Member, b: &mut Member) -> Result<bool> {
    let (a, b) = (a.assigned()?, b.assigned()?);
    let all: BTreeSet<i32> = (0..PARTITIONS).collect();
    Ok(a.len() == 3 && b.len() == 3 && a.union(b).copied().collect::<BTreeSet<_>>() == all)
}

fn owns_all(member: &mut Member) -> Result<bool> {
    Ok(member.assigned()?.len() == PARTITIONS as usize)
}

#[test]
fn a_live_group_moves_to_the_consumer_protocol_and_back() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "500")
        .property("group.min.session.timeout.ms", "1000")
        .property("group.consumer.min.heartbeat.interval.ms", "300")
        .property("group.consumer.heartbeat.interval.ms", "300")
        .property("offsets.topic.num.partitions", "6")
        .start()?;
    crate::faults::allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")])?;
    produce(&cluster, 0..300)?;

    let mut classic = start(&cluster, Flavour::JavaCooperative)?;
    until(SETTLED, "a classic group reads", || {
        Ok(owns_all(&mut classic)? && read_by(&mut [&mut classic])?.len() == 300)
    })?;

    // The first member of the consumer protocol makes the group a consumer group; the other member
    // continues in it.
    let mut new = start(&cluster, Flavour::JavaConsumer)?;
    until(SETTLED, "members of both protocols share", || {
        shares(&mut classic, &mut new)
    })?;
    produce(&cluster, 300..600)?;
    until(SETTLED, "both read all there is", || {
        Ok(read_by(&mut [&mut classic, &mut new])?.len() == 600)
    })?;

    // The last member of the classic protocol leaves: the upgrade is complete.
    let mut reads = read_by(&mut [&mut classic])?;
    classic.leave()?;
    until(SETTLED, "the other has everything", || owns_all(&mut new))?;

    // A member of another family joins with the classic protocol, and then remains alone: the group
    // is a classic group again.
    let mut last = start(&cluster, Flavour::ConfluentCooperative)?;
    until(SETTLED, "members of both protocols share again", || {
        shares(&mut last, &mut new)
    })?;
    produce(&cluster, 600..900)?;
    until(SETTLED, "all of it is read", || {
        reads.extend(read_by(&mut [&mut new, &mut last])?);
        Ok(reads.len() == 900)
    })?;
    new.leave()?;
    until(SETTLED, "the last one has everything", || {
        owns_all(&mut last)
    })?;
    produce(&cluster, 900..1000)?;
    until(SETTLED, "it reads what comes", || {
        reads.extend(read_by(&mut [&mut last])?);
        Ok(reads.len() == 1000)
    })?;
    last.leave()?;
    Ok(())
}
