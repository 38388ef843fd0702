//! Tasks beside Raft: one publishes leadership to the controller, one triggers snapshots by size
//! and age.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{RaftMetrics, ServerState};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::Leadership;
use super::handle::{Raft, model_id};
use super::network::Network;
use super::store::FatalSender;
use super::types::Types;

/// When the log of each replica was last equal to the leader's.
pub(super) type CaughtUp = Arc<Mutex<BTreeMap<u64, Instant>>>;

/// State that is derived from Raft's metrics, and the limit for judging them.
pub(super) struct Observed {
    pub caught_up: CaughtUp,
    pub network: Arc<Network>,
    /// A leader from which nothing was received for this time no longer counts as the leader.
    pub silence_max: Duration,
}

/// Publishes leadership until Raft ends; then reports the reason as fatal, unless Raft was stopped
/// on request.
pub(super) async fn watch_metrics(
    raft: Raft,
    leadership: watch::Sender<Leadership>,
    leader_heard: watch::Sender<Option<Instant>>,
    observed: Observed,
    fatal: FatalSender,
) {
    let mut metrics = raft.metrics();
    let mut heard = leader_heard.subscribe();
    loop {
        let current = metrics.borrow_watched().clone();
        match &current.running_state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return,
            Err(error) => return fatal.send(&format!("metadata quorum failed: {error}")),
        }
        note_caught_up(&current, &observed.caught_up);
        if let Some(id) = current.membership_config.log_id() {
            observed.network.set_membership_index(id.index);
        }
        if current.state == ServerState::Leader {
            leader_heard.send_replace(Some(Instant::now()));
        }
        let silent_at = heard
            .borrow_and_update()
            .map(|at| at + observed.silence_max)
            .filter(|at| *at > Instant::now());
        let next = leadership_of(&current, silent_at.is_some());
        let changed = leadership.send_if_modified(|leadership| {
            assert!(
                next.term >= leadership.term,
                "term {} after {}",
                next.term,
                leadership.term
            );
            let changed = *leadership != next;
            *leadership = next;
            changed
        });
        if changed {
            let leader = next.leader.map(|leader| leader.0);
            let other = current.current_leader.filter(|id| *id != current.id);
            let other = other.filter(|_| leader.is_some());
            observed.network.peers.on_leader(other);
            if other.is_some() {
                // A voter that follows sends no requests to the others.
                observed.network.disconnect();
            }
            tracing::info!(
                node = current.id,
                leader,
                term = next.term,
                is_self = next.is_self,
                "leadership of the metadata quorum changed"
            );
        }
        // Nothing changes in the metrics when a leader falls silent, nor when it is heard again.
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() {
                return;
            },
            () = sleep_until(silent_at.unwrap_or_else(Instant::now)), if silent_at.is_some() => {}
            Ok(()) = heard.changed(), if silent_at.is_none() => {}
        }
    }
}

/// Derives the leadership from Raft's metrics. `leader_heard` is whether the leader was heard from
/// recently: a vote of an earlier run can name a leader that has stopped long ago.
fn leadership_of(metrics: &RaftMetrics<Types>, leader_heard: bool) -> Leadership {
    let leader = metrics
        .current_leader
        .filter(|_| leader_heard)
        .and_then(model_id);
    let own_term_applied = metrics
        .last_applied
        .is_some_and(|applied| applied.leader_id.term == metrics.current_term);
    Leadership {
        leader,
        term: metrics.current_term,
        is_self: metrics.state == ServerState::Leader
            && metrics.current_leader == Some(metrics.id)
            && own_term_applied,
    }
}

fn note_caught_up(metrics: &RaftMetrics<Types>, caught_up: &CaughtUp) {
    let mut caught_up = caught_up.lock();
    let Some(replication) = &metrics.replication else {
        return caught_up.clear();
    };
    let now = Instant::now();
    for (id, matched) in replication {
        if matched.map(|id| id.index) >= metrics.last_log_index {
            caught_up.insert(*id, now);
        }
    }
}

/// Writes a snapshot whenever the state machine has applied enough bytes, and when the last
/// snapshot is older than `interval` and does not cover everything. openraft itself counts entries.
pub(super) async fn take_snapshots(raft: Raft, due: Arc<Notify>, interval: Option<Duration>) {
    loop {
        match interval {
            None => due.notified().await,
            Some(interval) => {
                let is_due = timeout(interval, due.notified()).await.is_ok();
                let covered = {
                    let metrics = raft.metrics();
                    let metrics = metrics.borrow_watched();
                    metrics.last_applied == metrics.snapshot
                };
                if covered && !is_due {
                    continue;
                }
            }
        }
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}
