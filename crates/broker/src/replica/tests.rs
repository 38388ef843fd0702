//! Traces of the leader core: events and their effects.

use std::fmt::Write as _;
use std::time::Duration;

use dohle_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use expect_test::{Expect, expect};

use super::*;

const REPLICAS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

struct Script {
    leader: Leader,
    now: Duration,
    proposal: Option<IsrProposal>,
    gone: Option<NodeId>,
    trace: String,
}

impl Script {
    fn registration(partition_epoch: i32, isr: &[i32]) -> LeaderRegistration {
        LeaderRegistration {
            leader_epoch: LeaderEpoch(7),
            partition_epoch: PartitionEpoch(partition_epoch),
            replicas: REPLICAS.to_vec(),
            isr: isr.iter().copied().map(NodeId).collect(),
        }
    }

    fn config(min: usize) -> LeaderConfig {
        LeaderConfig {
            min_insync_replicas: min,
            lag_max: Duration::from_millis(1_000),
        }
    }

    fn start(isr: &[i32], min: usize, log_end: i64, high_watermark: i64) -> Self {
        let now = Duration::from_secs(100);
        let registration = Self::registration(0, isr);
        let (leader, effects) = Leader::new(
            NodeId(1),
            Self::config(min),
            &registration,
            Offset(log_end),
            Offset(high_watermark),
            now,
        );
        let mut script = Self {
            leader,
            now,
            proposal: None,
            gone: None,
            trace: String::new(),
        };
        script.note("start", effects);
        script
    }

    fn note(&mut self, event: &str, effects: Effects) {
        write!(self.trace, "{event}:").unwrap();
        if let Some(high_watermark) = effects.high_watermark {
            write!(self.trace, " hw={high_watermark}").unwrap();
        }
        if let Some(proposal) = effects.alter_isr {
            let isr: Vec<i32> = proposal.isr.iter().map(|member| member.id.0).collect();
            write!(
                self.trace,
                " propose {isr:?} at {}",
                proposal.partition_epoch
            )
            .unwrap();
            self.proposal = Some(proposal);
        }
        self.trace.push('\n');
    }

    /// One event a line: `append END`, `subscribe FOLLOWER END`, `paused FOLLOWER END` (subscribes
    /// without space for records), `ack FOLLOWER END`, `disconnect FOLLOWER`, `wait MS`, `tick`,
    /// `isr EPOCH MEMBERS…`, `refused`, `doubtful` (refused after a copy that got no response),
    /// `outdated`, `admit`; `gone FOLLOWER` when its broker is fenced or its directory failed,
    /// until `back`.
    fn run(mut self, script: &str) -> String {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<i64>().unwrap();
            let node = |at: usize| NodeId(number(at) as i32);
            let gone = self.gone;
            let yes = |id: NodeId, _: BrokerEpoch| Some(id) != gone;
            let now = self.now;
            let leader = &mut self.leader;
            let effects = match words[0] {
                "append" => leader.on_append(Offset(number(1)), now),
                "subscribe" | "paused" => {
                    let subscription = Subscription {
                        paused: words[0] == "paused",
                        ..subscription(number(2))
                    };
                    leader.on_subscribe(node(1), subscription, now, yes)
                }
                "ack" => leader.on_ack(node(1), Offset(number(2)), Offset::ZERO, now, yes),
                "disconnect" => leader.on_disconnect(node(1), now),
                "gone" => {
                    self.gone = Some(node(1));
                    Effects::default()
                }
                "back" => {
                    self.gone = None;
                    Effects::default()
                }
                "wait" => {
                    self.now += Duration::from_millis(number(1) as u64);
                    Effects::default()
                }
                "tick" => leader.on_tick(now, yes),
                "isr" => {
                    let isr: Vec<i32> = words[2..].iter().map(|it| it.parse().unwrap()).collect();
                    let registration = Self::registration(number(1) as i32, &isr);
                    leader.on_registration(&registration, now, yes)
                }
                failed @ ("refused" | "doubtful" | "outdated") => {
                    let failure = match failed {
                        "refused" => AlterFailure::Reverted,
                        "doubtful" => AlterFailure::RevertedInDoubt,
                        _ => AlterFailure::Outdated,
                    };
                    let proposal = self.proposal.take().unwrap();
                    leader.on_alter_partition_failure(&proposal, failure, now)
                }
                "admit" => {
                    writeln!(self.trace, "admit: {:?}", leader.admit()).unwrap();
                    continue;
                }
                other => panic!("{other}?"),
            };
            self.note(line, effects);
        }
        self.trace
    }
}

/// The subscription of a follower whose log ends at `end`.
fn subscription(end: i64) -> Subscription {
    Subscription {
        broker_epoch: BrokerEpoch(5),
        number: 1,
        end: Offset(end),
        log_start: Offset::ZERO,
        paused: false,
    }
}

#[track_caller]
fn check(start: Script, script: &str, expected: Expect) {
    expected.assert_eq(&start.run(script));
}

#[test]
fn the_watermark_is_the_smallest_log_end_of_the_isr() {
    check(
        Script::start(&[1, 2, 3], 2, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         ack 2 5
         ack 3 3
         ack 3 5",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            ack 2 5:
            ack 3 3: hw=3
            ack 3 5: hw=5
        "#]],
    );
}

#[test]
fn a_leader_alone_in_a_sufficient_isr_commits_at_once() {
    check(
        Script::start(&[1], 1, 4, 2),
        "append 6",
        expect![[r#"
            start: hw=4
            append 6: hw=6
        "#]],
    );
}

#[test]
fn a_new_leader_commits_nothing_before_it_has_heard_of_its_followers() {
    check(
        Script::start(&[1, 2], 1, 10, 4),
        "append 11
         subscribe 2 8
         ack 2 11",
        expect![[r#"
            start:
            append 11:
            subscribe 2 8: hw=8
            ack 2 11: hw=11
        "#]],
    );
}

#[test]
fn a_follower_that_lags_is_proposed_to_go_and_counts_until_it_is_gone() {
    check(
        Script::start(&[1, 2, 3], 2, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         ack 2 5
         wait 900
         tick
         wait 200
         tick
         append 6
         ack 2 6
         isr 1 1 2",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            ack 2 5:
            wait 900:
            tick:
            wait 200:
            tick: propose [1, 2] at 0
            append 6:
            ack 2 6:
            isr 1 1 2: hw=6
        "#]],
    );
}

#[test]
fn a_follower_whose_directory_failed_holds_up_nothing_once_it_is_out_of_the_isr() {
    check(
        Script::start(&[1, 2, 3], 2, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         ack 2 5
         gone 3
         isr 1 1 2
         append 6
         ack 2 6
         back
         ack 3 6
         append 7
         ack 2 7",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            ack 2 5:
            gone 3:
            isr 1 1 2: hw=5
            append 6:
            ack 2 6: hw=6
            back:
            ack 3 6: propose [1, 2, 3] at 1
            append 7:
            ack 2 7:
        "#]],
    );
}

#[test]
fn a_follower_that_is_found_ineligible_later_holds_up_nothing_any_more() {
    check(
        Script::start(&[1, 2, 3], 2, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         ack 2 5
         isr 1 1 2
         gone 3
         refused
         tick",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            ack 2 5:
            isr 1 1 2: propose [1, 2, 3] at 1
            gone 3:
            refused:
            tick: hw=5
        "#]],
    );
}

#[test]
fn a_follower_that_has_caught_up_is_proposed_and_counts_at_once() {
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 3
         ack 2 5
         append 7
         isr 1 1 2
         ack 2 7",
        expect![[r#"
            start:
            subscribe 2 3:
            ack 2 5: propose [1, 2] at 0
            append 7:
            isr 1 1 2:
            ack 2 7: hw=7
        "#]],
    );
}

#[test]
fn a_follower_that_is_about_to_join_counts_even_when_it_goes_away() {
    // The controller may have added the replica already.
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         append 6
         disconnect 2
         wait 1500
         append 7
         tick
         outdated
         append 8
         tick
         isr 1 1 2
         tick
         isr 2 1",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            append 6:
            disconnect 2:
            wait 1500:
            append 7:
            tick:
            outdated:
            append 8:
            tick:
            isr 1 1 2:
            tick: propose [1] at 1
            isr 2 1: hw=8
        "#]],
    );
}

#[test]
fn a_follower_that_is_about_to_join_counts_even_when_it_lags() {
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         append 6
         wait 1500
         append 7
         ack 2 6
         refused
         wait 1500
         append 8",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            append 6:
            wait 1500:
            append 7:
            ack 2 6: hw=6
            refused: hw=7
            wait 1500:
            append 8: hw=8
        "#]],
    );
}

#[test]
fn a_follower_that_is_about_to_go_counts_while_the_controller_may_keep_it() {
    check(
        Script::start(&[1, 2, 3], 1, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         disconnect 3
         ack 2 5
         wait 1100
         tick
         append 6
         ack 2 6
         outdated
         append 7
         ack 2 7
         tick
         subscribe 3 4
         isr 1 1 2",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            disconnect 3:
            ack 2 5:
            wait 1100:
            tick: propose [1, 2] at 0
            append 6:
            ack 2 6:
            outdated:
            append 7:
            ack 2 7:
            tick:
            subscribe 3 4: hw=4
            isr 1 1 2: hw=7
        "#]],
    );
}

#[test]
fn the_next_follower_is_proposed_when_the_one_before_has_joined() {
    check(
        Script::start(&[1], 2, 5, 5),
        "subscribe 2 5
         subscribe 3 5
         isr 1 1 2
         isr 2 1 2 3",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            subscribe 3 5:
            isr 1 1 2: propose [1, 2, 3] at 1
            isr 2 1 2 3:
        "#]],
    );
}

#[test]
fn a_follower_that_was_removed_joins_again_once_it_is_heard_of() {
    check(
        Script::start(&[1, 2], 2, 0, 0),
        "subscribe 2 0
         append 5
         wait 1100
         tick
         isr 1 1
         wait 500
         tick
         ack 2 3",
        expect![[r#"
            start:
            subscribe 2 0:
            append 5:
            wait 1100:
            tick: propose [1] at 0
            isr 1 1:
            wait 500:
            tick:
            ack 2 3: propose [1, 2] at 1
        "#]],
    );
}

#[test]
fn a_refused_expansion_is_proposed_again_after_a_while() {
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         refused
         ack 2 5
         wait 500
         tick",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            refused:
            ack 2 5:
            wait 500:
            tick: propose [1, 2] at 0
        "#]],
    );
}

#[test]
fn an_outdated_proposal_stays_pending_until_the_newer_registration() {
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         outdated
         append 6
         isr 2 1
         ack 2 6",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            outdated:
            append 6:
            isr 2 1: propose [1, 2] at 2
            ack 2 6: hw=6
        "#]],
    );
}

#[test]
fn nothing_is_committed_under_min_insync_replicas() {
    check(
        Script::start(&[1, 2], 2, 0, 0),
        "subscribe 2 0
         admit
         isr 1 1
         admit
         append 3
         ack 2 3
         isr 2 1 2",
        expect![[r#"
            start:
            subscribe 2 0:
            admit: Ok(())
            isr 1 1: propose [1, 2] at 1
            admit: Err(NotEnoughReplicas { isr: 1, min: 2 })
            append 3:
            ack 2 3:
            isr 2 1 2: hw=3
        "#]],
    );
}

#[test]
fn a_follower_without_space_leaves_at_the_next_tick_and_joins_when_it_has_space() {
    check(
        Script::start(&[1, 2, 3], 2, 0, 0),
        "subscribe 2 0
         subscribe 3 0
         append 5
         ack 2 5
         ack 3 5
         paused 3 5
         tick
         append 6
         ack 2 6
         tick
         isr 1 1 2
         append 7
         ack 2 7
         ack 3 5
         tick
         subscribe 3 5
         ack 3 7",
        expect![[r#"
            start:
            subscribe 2 0:
            subscribe 3 0:
            append 5:
            ack 2 5:
            ack 3 5: hw=5
            paused 3 5:
            tick:
            append 6:
            ack 2 6:
            tick: propose [1, 2] at 0
            isr 1 1 2: hw=6
            append 7:
            ack 2 7: hw=7
            ack 3 5:
            tick:
            subscribe 3 5:
            ack 3 7: propose [1, 2, 3] at 1
        "#]],
    );
}

#[test]
fn a_follower_without_space_does_not_join_although_it_has_all_records() {
    check(
        Script::start(&[1, 2], 1, 5, 5),
        "subscribe 2 5
         paused 3 5
         tick
         subscribe 3 5",
        expect![[r#"
            start:
            subscribe 2 5:
            paused 3 5:
            tick:
            subscribe 3 5: propose [1, 2, 3] at 0
        "#]],
    );
}

#[test]
fn a_follower_is_cut_where_the_epochs_part() {
    let local = |epoch: i32, end: i64| Some((LeaderEpoch(epoch), Offset(end)));
    let cut = |leader: (i32, i64), local, end: i64| {
        truncation_offset(LeaderEpoch(leader.0), Offset(leader.1), local, Offset(end)).0
    };
    assert_eq!(
        cut((3, 10), local(3, 14), 14),
        10,
        "the leader's epoch is shorter"
    );
    assert_eq!(cut((3, 20), local(3, 14), 18), 14, "this one's is");
    assert_eq!(
        cut((3, 10), local(2, 8), 14),
        8,
        "the epoch is not known here: ask again"
    );
    assert_eq!(cut((3, 10), None, 14), 10, "no epoch is known here");
}

#[test]
fn a_replica_counts_while_a_late_copy_of_its_refused_expansion_may_be_accepted() {
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         doubtful
         wait 1500
         append 6
         disconnect 2
         tick
         isr 1 1 2
         isr 2 1",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            doubtful:
            wait 1500:
            append 6:
            disconnect 2:
            tick:
            isr 1 1 2:
            isr 2 1: hw=6
        "#]],
    );
    // No copy of a proposal can be in flight for so long.
    check(
        Script::start(&[1], 1, 5, 5),
        "subscribe 2 5
         doubtful
         append 6
         disconnect 2
         wait 14000
         tick
         wait 2000
         tick",
        expect![[r#"
            start:
            subscribe 2 5: propose [1, 2] at 0
            doubtful:
            append 6:
            disconnect 2:
            wait 14000:
            tick:
            wait 2000:
            tick: hw=6
        "#]],
    );
}

#[test]
fn a_proposed_removal_names_how_far_the_replica_lags() {
    let mut script = Script::start(&[1, 2, 3], 2, 0, 0);
    let _ = script.leader.on_config(Script::config(1), script.now);
    let yes = |_: NodeId, _: BrokerEpoch| true;
    let start = Offset::ZERO;
    let _ = script
        .leader
        .on_subscribe(NodeId(2), subscription(0), script.now, yes);
    let _ = script.leader.on_append(Offset(5), script.now);
    let _ = script
        .leader
        .on_ack(NodeId(2), Offset(3), start, script.now, yes);
    let later = script.now + Duration::from_millis(1_500);
    assert!(script.leader.on_tick(later, yes).alter_isr.is_some());
    let lags: Vec<String> = script.leader.lags().iter().map(Lag::to_string).collect();
    assert_eq!(
        lags,
        [
            "not caught up for 1500 ms (log end 3 of 5, it is connected)",
            "not caught up for 1500 ms (log end unknown, the leader's is 5, it is not connected)",
        ]
    );
}

#[test]
fn the_low_watermark_counts_every_live_replica_connected_or_not() {
    let mut script = Script::start(&[1, 2, 3], 1, 9, 0);
    let yes = |_: NodeId, _: BrokerEpoch| true;
    let now = script.now;
    let mut subscribe = |id: i32, log_start: i64| {
        let subscription = Subscription {
            log_start: Offset(log_start),
            ..subscription(9)
        };
        let _ = script
            .leader
            .on_subscribe(NodeId(id), subscription, now, yes);
    };
    subscribe(2, 4);
    subscribe(3, 6);
    let _ = script.leader.on_disconnect(NodeId(2), now);
    let low = |alive: &[i32]| {
        let alive: Vec<NodeId> = alive.iter().copied().map(NodeId).collect();
        script
            .leader
            .low_watermark(Offset(8), |id| alive.contains(&id))
            .0
    };
    assert_eq!(low(&[1, 2, 3]), 4, "2 is not connected, and alive");
    assert_eq!(low(&[1, 3]), 6);
    assert_eq!(low(&[1]), 8);
    let unheard = Script::start(&[1, 2, 3], 1, 9, 0).leader;
    assert_eq!(unheard.low_watermark(Offset(8), |id| id == NodeId(2)).0, 0);
}

#[test]
#[should_panic(expected = "subscription 4 follows Some(5)")]
fn a_subscription_with_an_older_number_is_noticed() {
    let mut follower = Follower::new(LeaderEpoch(1), Some(NodeId(2)));
    follower.subscribe(5, Offset(0), None);
    follower.subscribe(4, Offset(0), None);
}
