//! One story of a consumer group, with members of every client family: two members share six
//! partitions, one is killed, the coordinator is killed, everything is restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::member::{Flavour, Member, Read};
use dohle_tests::cluster::text;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually, until};
use kacrab_protocol::generated as kafka;

use crate::faults::allow_lost_connections;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITIONS: i32 = 6;

/// How long a group may take to settle, including a member's session timeout and a failover.
const SETTLED: Duration = Duration::from_secs(90);

fn cluster() -> Result<Cluster> {
    let mut cluster = Cluster::of(3)
        .property("group.min.session.timeout.ms", "1000")
        .property("group.initial.rebalance.delay.ms", "500")
        .property("group.consumer.min.session.timeout.ms", "1000")
        .property("group.consumer.session.timeout.ms", "3000")
        .property("group.consumer.min.heartbeat.interval.ms", "300")
        .property("group.consumer.heartbeat.interval.ms", "300")
        .property("offsets.topic.num.partitions", "6")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")])?;
    Ok(cluster)
}

/// Produces the numbers of a range as values, spread over the partitions by their keys.
fn produce(bootstrap: &str, numbers: Range<u32>) -> Result<()> {
    let lines: String = numbers.map(|n| format!("{n}:{n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", TOPIC, "-K:", "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

fn all_partitions() -> BTreeSet<i32> {
    (0..PARTITIONS).collect()
}

/// Checks that both own partitions, together all of them, and no partition twice.
fn share(a: &mut Member, b: &mut Member, each: usize) -> Result<bool> {
    let (a, b) = (a.assigned()?, b.assigned()?);
    let all: BTreeSet<i32> = a.union(b).copied().collect();
    Ok(a.len() == each && b.len() == each && all == all_partitions())
}

fn values(reads: &[Read]) -> BTreeSet<u32> {
    reads
        .iter()
        .filter_map(|read| read.value.parse().ok())
        .collect()
}

/// Returns the ends of the partitions, from the records that were read; fails when an offset was
/// skipped.
fn ends(reads: &[Read]) -> Result<BTreeMap<i32, i64>> {
    let mut offsets: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for read in reads {
        offsets
            .entry(read.partition)
            .or_default()
            .insert(read.offset);
    }
    offsets
        .into_iter()
        .map(|(partition, offsets)| {
            let end = offsets.last().context("an offset")? + 1;
            ensure!(
                offsets.len() as i64 == end && offsets.first() == Some(&0),
                "partition {partition}: {} of {end} offsets were read",
                offsets.len()
            );
            Ok((partition, end))
        })
        .collect()
}

/// Returns the first offset of each partition that a member read.
fn firsts(reads: &[Read]) -> BTreeMap<i32, i64> {
    let mut firsts = BTreeMap::new();
    for read in reads {
        firsts.entry(read.partition).or_insert(read.offset);
    }
    firsts
}

/// Returns the broker that coordinates the group.
fn coordinator(cluster: &Cluster) -> Result<i32> {
    let request = kafka::FindCoordinatorRequestData {
        key: text(GROUP),
        key_type: 0,
        ..Default::default()
    };
    eventually(DEADLINE, "the group has a coordinator", || {
        let answer = cluster.connect()?.call(&request, 3)?;
        Ok((answer.error_code == 0).then_some(answer.node_id))
    })
}

fn start(cluster: &Cluster, flavour: Flavour, group: &str) -> Result<Member> {
    Member::start(flavour, &cluster.bootstrap(), TOPIC, group)
}

fn story(flavour: Flavour) -> Result<()> {
    let mut cluster = cluster()?;
    let bootstrap = cluster.bootstrap();

    // A queue: two members share the work.
    let mut a = start(&cluster, flavour, GROUP)?;
    let mut b = start(&cluster, flavour, GROUP)?;
    until(SETTLED, "two members share six partitions", || {
        share(&mut a, &mut b, 3)
    })?;
    produce(&bootstrap, 0..600)?;
    until(SETTLED, "both read all there is", || {
        let both = [a.reads()?, b.reads()?].concat();
        Ok(values(&both).len() == 600)
    })?;

    // A member is killed: the other continues from its committed offsets.
    let of_a = a.assigned()?.clone();
    produce(&bootstrap, 600..900)?;
    a.kill()?;
    let (read_by_a, committed_by_a) = (a.reads()?.to_vec(), a.committed()?.clone());
    produce(&bootstrap, 900..1200)?;
    until(SETTLED, "the member that is left owns everything", || {
        Ok(*b.assigned()? == all_partitions())
    })?;
    until(SETTLED, "it reads all there is", || {
        let both = [&read_by_a, b.reads()?].concat();
        Ok(values(&both).len() == 1200)
    })?;
    for (partition, first) in firsts(b.reads()?) {
        let of_partition = read_by_a.iter().filter(|it| it.partition == partition);
        let read_end = of_partition.map(|it| it.offset + 1).max().unwrap_or(0);
        let committed = committed_by_a.get(&partition).copied().unwrap_or(0);
        ensure!(
            !of_a.contains(&partition) || (committed <= first && first <= read_end),
            "partition {partition}: read up to {read_end}, committed {committed}, taken over at \
             {first}"
        );
    }
    let end = ends(&[&read_by_a, b.reads()?].concat())?;

    // The coordinator is killed: no committed offset is lost, and the group continues.
    until(SETTLED, "everything is committed", || {
        Ok(*b.committed()? == end)
    })?;
    let killed = coordinator(&cluster)?;
    cluster.broker(killed).kill()?;
    produce(&bootstrap, 1200..1500)?;
    until(SETTLED, "it reads on, with another coordinator", || {
        let both = [&read_by_a, b.reads()?].concat();
        Ok(values(&both).len() == 1500)
    })?;
    let end = ends(&[&read_by_a, b.reads()?].concat())?;
    until(SETTLED, "everything is committed again", || {
        Ok(*b.committed()? == end)
    })?;
    cluster.broker(killed).start()?;
    cluster.wait_in_sync(TOPIC)?;
    b.leave()?;

    // Everything is restarted: the group's next member continues from the committed offsets.
    cluster.wait_in_sync("__consumer_offsets")?;
    cluster.stop()?;
    cluster.start()?;
    cluster.wait_in_sync(TOPIC)?;
    produce(&bootstrap, 1500..1560)?;
    let mut c = start(&cluster, flavour, GROUP)?;
    until(SETTLED, "the new member reads what is new", || {
        Ok(values(c.reads()?).len() == 60)
    })?;
    for (partition, first) in firsts(c.reads()?) {
        ensure!(
            end[&partition] == first,
            "partition {partition}: began at {first}"
        );
    }
    // Publish and subscribe: another group reads everything.
    let mut d = start(&cluster, flavour, "audit")?;
    until(SETTLED, "another group reads everything", || {
        Ok(values(d.reads()?).len() == 1560)
    })?;
    ends(d.reads()?)?;
    for member in [c, d] {
        let output = member.leave()?;
        // Warnings about an offsets topic that is being loaded, and about commits during a member's
        // own end.
        ensure!(output.stderr.trim().is_empty(), "not a clean run: {output}");
    }
    Ok(())
}

macro_rules! stories {
    ($($name:ident: $flavour:ident,)*) => {
        $(
            #[test]
            fn $name() -> Result<()> {
                story(Flavour::$flavour)
            }
        )*
    };
}

stories! {
    kafkajs_shares_work_and_survives_its_coordinator: Kafkajs,
    aiokafka_shares_work_and_survives_its_coordinator: Aiokafka,
    librdkafka_with_range_shares_work_and_survives_its_coordinator: ConfluentRange,
    librdkafka_cooperative_shares_work_and_survives_its_coordinator: ConfluentCooperative,
    librdkafka_with_the_consumer_protocol_survives_its_coordinator: ConfluentConsumer,
    franz_go_cooperative_shares_work_and_survives_its_coordinator: FranzGoCooperative,
    franz_go_with_range_shares_work_and_survives_its_coordinator: FranzGoRange,
    java_with_range_shares_work_and_survives_its_coordinator: JavaRange,
    java_cooperative_shares_work_and_survives_its_coordinator: JavaCooperative,
    java_with_the_consumer_protocol_survives_its_coordinator: JavaConsumer,
}
