//! Runs Raft's timers only while they can have an effect.
//!
//! openraft checks all of its timers at each tick, five times in a heartbeat interval, on every
//! voter. But a leader needs only its heartbeats, and a voter that follows one needs no timer until
//! an election may be due. So the ticks stop in both states: here the leader's heartbeats have a
//! timer of their own, and the ticks of a follower begin again shortly before an election.
//!
//! Invariant: openraft decides about elections. Its ticks run whenever one may be due, at the same
//! times as if they had never stopped.

use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::handle::Raft;
use super::types::Types;

/// The times of a voter, which follow from the election timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// openraft's followers wait for this time, the lease of the leader, …
    pub lease: Duration,
    /// … and then for a random time between this and the lease: 1.3 to 1.6 times the election
    /// timeout in all.
    pub random_min: Duration,
    /// `heartbeat_interval` in the configuration of openraft.
    pub heartbeat_interval: Duration,
    /// The interval at which they are sent. openraft would send them at its first tick after
    /// `heartbeat_interval`, which is its sixth of a fifth of that.
    heartbeat: Duration,
    /// How long after a message of the leader no election can be due. Shorter than the lease and
    /// the random time by at least one of openraft's ticks, which then begin again.
    quiet: Duration,
}

impl Times {
    /// Derives the times. `heartbeat_interval` is limited to a third of the election timeout.
    pub(super) fn new(heartbeat_interval: Duration, election: Duration) -> Self {
        let heartbeat_interval = heartbeat_interval.min(election / 3);
        Self {
            lease: election.mul_f64(0.8),
            random_min: election.mul_f64(0.5),
            heartbeat_interval,
            heartbeat: heartbeat_interval.mul_f64(1.2),
            quiet: election.mul_f64(1.2),
        }
    }
}

/// The state of a voter as far as its timers depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Leads other voters.
    Leads,
    /// Leads, and is the only voter.
    LeadsAlone,
    /// Follows the leader of this term.
    Follows { term: u64 },
    /// Knows no leader.
    Searches,
}

impl Role {
    fn of(metrics: &RaftServerMetrics<Types>) -> Self {
        match metrics.current_leader {
            Some(leader) if leader != metrics.id => Self::Follows {
                term: metrics.vote.leader_id.term,
            },
            Some(_) if metrics.state == ServerState::Leader => {
                match metrics.membership_config.membership().nodes().count() {
                    0 | 1 => Self::LeadsAlone,
                    _ => Self::Leads,
                }
            }
            _ => Self::Searches,
        }
    }
}

/// What the timers of a voter have to do until its role changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// Nothing.
    Nothing,
    /// Nothing before this time.
    NothingUntil(Instant),
    /// A heartbeat at this time.
    HeartbeatAt(Instant),
    /// openraft's ticks.
    Ticks,
}

/// Decides what the timers have to do. Pure.
#[derive(Debug)]
struct Timers {
    times: Times,
    /// When the next heartbeat is due; `None` while this voter leads no others.
    heartbeat_at: Option<Instant>,
}

impl Timers {
    fn new(times: Times) -> Self {
        Self {
            times,
            heartbeat_at: None,
        }
    }

    /// Returns what the timers have to do. `heard` is when the leader was last heard from.
    /// `handed_over` is the last term whose leader has asked for another one: then openraft waits
    /// for no lease.
    fn duty(
        &mut self,
        role: Role,
        heard: Option<Instant>,
        handed_over: Option<u64>,
        now: Instant,
    ) -> Duty {
        if role == Role::Leads {
            return Duty::HeartbeatAt(*self.heartbeat_at.get_or_insert(now));
        }
        self.heartbeat_at = None;
        match role {
            Role::LeadsAlone => Duty::Nothing,
            Role::Follows { term } if handed_over != Some(term) => {
                let quiet_until = heard.map(|heard| heard + self.times.quiet);
                match quiet_until {
                    Some(until) if until > now => Duty::NothingUntil(until),
                    _ => Duty::Ticks,
                }
            }
            Role::Leads | Role::Follows { .. } | Role::Searches => Duty::Ticks,
        }
    }

    /// Records that a heartbeat was sent.
    fn on_heartbeat(&mut self, now: Instant) {
        self.heartbeat_at = Some(now + self.times.heartbeat);
    }
}

/// Runs the timers until Raft ends.
pub(super) async fn run(
    raft: Raft,
    times: Times,
    mut leader_heard: watch::Receiver<Option<Instant>>,
    mut handed_over: watch::Receiver<Option<u64>>,
) {
    let mut metrics = raft.server_metrics();
    let mut timers = Timers::new(times);
    loop {
        let role = Role::of(&metrics.borrow_watched());
        let heard = *leader_heard.borrow_and_update();
        let term = *handed_over.borrow_and_update();
        let now = Instant::now();
        let duty = timers.duty(role, heard, term, now);
        raft.runtime_config().tick(duty == Duty::Ticks);
        let wakes_at = match duty {
            Duty::HeartbeatAt(at) if at <= now => {
                if raft.trigger().heartbeat().await.is_err() {
                    return;
                }
                timers.on_heartbeat(now);
                continue;
            }
            Duty::HeartbeatAt(at) | Duty::NothingUntil(at) => Some(at),
            Duty::Nothing | Duty::Ticks => None,
        };
        let due = async {
            match wakes_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() {
                return;
            },
            Ok(()) = leader_heard.changed(), if duty == Duty::Ticks => {}
            Ok(()) = handed_over.changed() => {}
            () = due => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: Duration = Duration::from_millis(600);
    const FOLLOWS: Role = Role::Follows { term: 3 };

    fn times() -> Times {
        Times::new(Duration::from_millis(200), ELECTION)
    }

    #[test]
    fn ticks_begin_again_before_an_election_can_be_due() {
        for election in [100, 600, 1_000, 30_000].map(Duration::from_millis) {
            let times = Times::new(Duration::from_millis(200), election);
            // See `Config::tick_interval` of openraft.
            let tick = times.heartbeat_interval * 13 / 64;
            assert!(times.quiet + tick < times.lease + times.random_min);
            // A heartbeat may be lost without a wake-up of the follower.
            assert!(times.heartbeat * 2 < times.quiet);
        }
    }

    #[test]
    fn a_follower_needs_no_ticks_while_it_hears_from_the_leader() {
        let (mut timers, began) = (Timers::new(times()), Instant::now());
        let minute = began + Duration::from_secs(60);
        let (mut now, mut wakes) = (began, 0);
        while now < minute {
            // Heartbeats arrive in each interval, and wake no timer.
            let beats = (now - began).as_millis() / times().heartbeat.as_millis();
            let heard = began + times().heartbeat * u32::try_from(beats).unwrap();
            now = match timers.duty(FOLLOWS, Some(heard), None, now) {
                Duty::NothingUntil(at) => at,
                other => panic!("{other:?}"),
            };
            wakes += 1;
        }
        // openraft's ticks are 1,500 in this time.
        assert!(wakes <= 125, "{wakes} wake-ups in a minute");
    }

    #[test]
    fn a_follower_ticks_when_the_leader_is_silent_unknown_or_leaving() {
        let (mut timers, heard) = (Timers::new(times()), Instant::now());
        let mut duty = |role, heard_at, handed_over, later| {
            let now = heard + Duration::from_millis(later);
            timers.duty(role, heard_at, handed_over, now)
        };
        let quiet_until = heard + times().quiet;
        let heard = Some(heard);
        let quiet = Duty::NothingUntil(quiet_until);
        assert_eq!(duty(FOLLOWS, heard, None, 719), quiet);
        assert_eq!(duty(FOLLOWS, heard, None, 720), Duty::Ticks);
        assert_eq!(duty(FOLLOWS, None, None, 0), Duty::Ticks);
        assert_eq!(duty(Role::Searches, heard, None, 0), Duty::Ticks);
        assert_eq!(duty(FOLLOWS, heard, Some(3), 0), Duty::Ticks);
        assert_eq!(duty(FOLLOWS, heard, Some(2), 0), quiet);
    }

    #[test]
    fn a_leader_needs_only_heartbeats_and_only_for_others() {
        let (mut timers, now) = (Timers::new(times()), Instant::now());
        // The first is due at once.
        let first = timers.duty(Role::Leads, None, None, now);
        assert_eq!(first, Duty::HeartbeatAt(now));
        timers.on_heartbeat(now);
        let later = now + Duration::from_millis(100);
        let next = timers.duty(Role::Leads, None, None, later);
        assert_eq!(next, Duty::HeartbeatAt(now + Duration::from_millis(240)));
        assert_eq!(
            timers.duty(Role::LeadsAlone, None, None, later),
            Duty::Nothing
        );
        // After it has led no others for a while, the first is due at once again.
        let again = timers.duty(Role::Leads, None, None, later);
        assert_eq!(again, Duty::HeartbeatAt(later));
    }
}
