//! Random clients, times and failures: the invariants of the group always hold, and in the end no
//! request is left waiting.
//!
//! `DOHLE_FUZZ_CASES` sets the number of cases; proptest prints the script that fails, and
//! `PROPTEST_RNG_SEED` repeats a whole run.

use std::collections::BTreeSet;
use std::time::Duration;

use dohle_machine::{DueReply, Machine as _};
use proptest::prelude::*;

use crate::classic::group::{ClassicGroup, State};
use crate::classic::tests::driver::Driver;
use crate::classic::tests::print;
use crate::ids::{GroupId, MemberId};
use crate::records::Record;
use crate::shard::Shard;
use crate::test_scripts::ScriptDriver as _;
use crate::timers::Timer;

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("DOHLE_FUZZ_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.unwrap_or(default))
    }
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

const CLIENTS: &[&str] = &["a", "b", "c", "d"];

fn join() -> impl Strategy<Value = String> {
    (
        one_of(CLIENTS),
        one_of(&["v9", "v9", "v9", "v8", "v3", "v0"]),
        one_of(&["", "", "", "", "instance=i", "instance=i", "instance=j"]),
        one_of(&[
            "", "", "", "", "", "id=none", "id=none", "id=a-01", "id=c-09",
        ]),
        one_of(&[
            "protocols=range",
            "protocols=range",
            "protocols=range,roundrobin",
            "protocols=roundrobin,range",
            "protocols=range:t,sticky",
            "protocols=sticky",
        ]),
        one_of(&["session=6s", "session=10s", "session=30s", "session=5s"]),
        one_of(&["rebalance=5s", "rebalance=20s", "rebalance=60s"]),
    )
        .prop_map(
            |(client, version, instance, id, protocols, session, rebalance)| {
                format!("join {client} {version} {instance} {id} {protocols} {session} {rebalance}")
            },
        )
}

fn command() -> impl Strategy<Value = String> {
    let client = || one_of(CLIENTS);
    prop_oneof![
        12 => join(),
        8 => client().prop_map(|client| format!("sync {client} assign=a:x,b:y,c:z,d:w")),
        1 => client().prop_map(|client| format!("sync {client} gen=1")),
        3 => client().prop_map(|client| format!("heartbeat {client}")),
        1 => client().prop_map(|client| format!("heartbeat {client} instance=i")),
        2 => client().prop_map(|client| format!("leave {client}")),
        1 => Just("leave none instance=i".to_owned()),
        1 => (client(), client()).prop_map(|(one, two)| format!("leave {one} {two}")),
        6 => one_of(&["0s", "1s", "3s", "3s", "6s", "20s", "70s"])
            .prop_map(|time| format!("tick {time}")),
        1 => Just("hold".to_owned()),
        3 => Just("written".to_owned()),
        1 => one_of(&["NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS"])
            .prop_map(|code| format!("failed {code}")),
        1 => Just("reload".to_owned()),
        1 => Just("delete".to_owned()),
        1 => one_of(&["1", "2", "100"]).prop_map(|max| format!("set group.max.size={max}")),
        1 => one_of(&["0", "3000"])
            .prop_map(|ms| format!("set group.initial.rebalance.delay.ms={ms}")),
    ]
}

fn group(shard: &Shard) -> Option<&ClassicGroup> {
    shard.classic_group("g")
}

/// Checks the invariants that hold between any two steps.
fn check(driver: &Driver) -> Result<(), String> {
    let empty = ClassicGroup::default();
    let group = group(&driver.shard).unwrap_or(&empty);
    group.check()?;
    check_tokens(driver, group)?;
    check_timers(driver, group)
}

/// Checks that every unanswered request waits in exactly one place.
fn check_tokens(driver: &Driver, group: &ClassicGroup) -> Result<(), String> {
    let members = group.members().values();
    let in_members = members
        .flat_map(|member| [member.join.map(|it| it.id()), member.sync.map(|it| it.id())])
        .flatten();
    let in_writes = driver.writes.iter().flat_map(|open| &open.replies);
    let held: Vec<u64> = in_members.chain(in_writes.map(DueReply::id)).collect();
    let distinct: BTreeSet<u64> = held.iter().copied().collect();
    let parked: BTreeSet<u64> = driver.parked.keys().copied().collect();
    match held.len() == distinct.len() && distinct == parked {
        true => Ok(()),
        false => Err(format!(
            "requests {parked:?} are parked, {held:?} are known"
        )),
    }
}

/// Checks that the timers that run are exactly those that are needed.
fn check_timers(driver: &Driver, group: &ClassicGroup) -> Result<(), String> {
    let is_preparing = matches!(group.state(), State::PreparingRebalance { .. });
    let mut sessions = BTreeSet::new();
    let (mut joins, mut syncs) = (false, false);
    for (_, timer) in driver.shard.timers.iter() {
        match timer {
            Timer::ClassicJoin(_) => joins = true,
            Timer::ClassicSync(_) => syncs = true,
            Timer::ClassicSession(_, member_id) => drop(sessions.insert(member_id.clone())),
            other => return Err(format!("{other:?} runs")),
        }
    }
    if joins != is_preparing {
        return Err(format!("join timer: {joins}, in {}", group.state().name()));
    }
    if syncs == group.pending_syncs.is_empty() {
        let left = &group.pending_syncs;
        return Err(format!(
            "sync timer: {syncs}, while {left:?} have yet to sync"
        ));
    }
    let known = |id: &MemberId| {
        group.member(id.as_str()).is_some() || group.pending_members().contains(id.as_str())
    };
    if let Some(stranger) = sessions.iter().find(|id| !known(id)) {
        return Err(format!("a session of {stranger} runs"));
    }
    for member_id in group.pending_members() {
        if !sessions.contains(member_id) {
            return Err(format!("no session of {member_id} runs, who is pending"));
        }
    }
    for (member_id, member) in group.members() {
        if !sessions.contains(member_id) && !member.has_satisfied_heartbeat() {
            return Err(format!("no session of {member_id} runs"));
        }
    }
    Ok(())
}

/// Checks that another broker would load the same state from the log.
fn check_replay(driver: &Driver) -> Result<(), String> {
    let mut replayed = Shard::default();
    for record in &driver.log {
        replayed.replay(record.clone());
    }
    let words = |shard: &Shard| {
        let group = group(shard)?;
        let Record::Classic(group_id, Some(mut value)) = group.record(&GroupId::new("g")) else {
            return None;
        };
        if *group.state() == State::Stable {
            // The state began once its record was written.
            value.current_state_timestamp = None;
        }
        Some(Record::Classic(group_id, Some(value)))
    };
    let (there, read) = (words(&driver.shard), words(&replayed));
    match there == read {
        true => Ok(()),
        false => Err(format!("the group is {there:?}, its log says {read:?}")),
    }
}

/// Runs a script, with all checks after each line.
fn run(script: &[String]) -> Result<(), String> {
    let mut driver = Driver::default();
    let mut generation = 0;
    // Whether the log contains the whole state, which is not so after a failed write.
    let mut is_logged = true;
    for line in script {
        let needs_write = line == "written" || line.starts_with("failed");
        let needs_none = line == "delete";
        let is_open = !driver.writes.is_empty();
        if needs_write && !is_open || needs_none && is_open {
            continue;
        }
        driver.run(line);
        let explain = |reason| format!("{reason}\n{}", driver.out);
        check(&driver).map_err(explain)?;
        if line.starts_with("failed") {
            is_logged = false;
        } else if line == "reload" || driver.wrote {
            is_logged = true;
        }
        let Some(group) = group(&driver.shard) else {
            generation = 0;
            continue;
        };
        if group.generation() < generation && line != "reload" {
            return Err(explain(format!("the generation fell from {generation}")));
        }
        generation = group.generation();
        let rests = matches!(group.state(), State::Stable | State::Empty);
        if rests && is_logged && driver.writes.is_empty() {
            check_replay(&driver).map_err(explain)?;
        }
    }
    end(driver)
}

/// Lets writes succeed again and time pass without clients: no request waits, and no member is
/// left.
fn end(mut driver: Driver) -> Result<(), String> {
    driver.holds = false;
    while !driver.writes.is_empty() {
        driver.run("written");
    }
    driver.tick(Duration::from_secs(1000));
    check(&driver).map_err(|reason| format!("{reason}\n{}", driver.out))?;
    let left = group(&driver.shard).map_or(0, |group| group.members().len());
    let timers = driver.shard.timers.len();
    match driver.parked.is_empty() && left == 0 && timers == 0 {
        true => Ok(()),
        false => Err(format!(
            "{} requests, {left} members and {timers} timers are left: {}\n{}",
            driver.parked.len(),
            group(&driver.shard).map(print::state).unwrap_or_default(),
            driver.out
        )),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn whatever_members_do_every_request_is_answered_and_the_group_is_sound(
        script in prop::collection::vec(command(), 1..60),
    ) {
        if let Err(reason) = run(&script) {
            return Err(TestCaseError::fail(reason));
        }
    }
}
