//! What runs beside Raft: the first election, leadership as the controller needs it, and snapshots
//! by size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::{BasicNode, RaftMetrics, ServerState};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::Leadership;
use super::quorum::{Raft, model_id};
use super::store::FatalSender;
use super::types::Types;

/// When each replica last had the leader's whole log.
pub(super) type CaughtUp = Arc<Mutex<BTreeMap<u64, Instant>>>;

/// The time between the first campaigns of two voters that start together.
const CAMPAIGN_STEP: Duration = Duration::from_millis(50);

/// Campaigns before a voter leaves it to the election timeout: without a quorum they are noise.
const CAMPAIGNS: u32 = 20;

/// Publishes leadership until Raft ends; then tells why, unless it was asked to.
pub(super) async fn watch_metrics(
    raft: Raft,
    leadership: watch::Sender<Leadership>,
    leader_heard: watch::Sender<bool>,
    caught_up: CaughtUp,
    fatal: FatalSender,
) {
    let mut metrics = raft.metrics();
    loop {
        let current = metrics.borrow_watched().clone();
        match &current.running_state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return,
            Err(error) => return fatal.send(&format!("metadata quorum failed: {error}")),
        }
        note_caught_up(&current, &caught_up);
        if current.state == ServerState::Leader {
            leader_heard.send_replace(true);
        }
        let next = leadership_of(&current, *leader_heard.borrow());
        let changed = leadership.send_if_modified(|leadership| {
            let changed = *leadership != next;
            *leadership = next;
            changed
        });
        if changed {
            let leader = next.leader.map(|leader| leader.0);
            tracing::info!(
                leader,
                term = next.term,
                is_self = next.is_self,
                "metadata quorum"
            );
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// `leader_heard`: a vote of an earlier run names its leader long after that may have gone.
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

/// Writes a snapshot whenever the state machine saw enough bytes; openraft itself counts entries.
pub(super) async fn take_snapshots(raft: Raft, due: Arc<Notify>) {
    loop {
        due.notified().await;
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

/// Gives an empty log its voters, and starts the first election without waiting for silence.
///
/// Voters take turns, so that those that start together do not split the vote. The campaigns begin
/// with a pre-vote, which disturbs no leader there may be, and end when a leader is heard.
pub(super) async fn bootstrap(
    raft: Raft,
    voters: BTreeMap<u64, BasicNode>,
    mut leadership: watch::Receiver<Leadership>,
) {
    let me = *raft.node_id();
    let rank = u32::try_from(voters.keys().take_while(|id| **id < me).count()).unwrap_or(0);
    let count = u32::try_from(voters.len()).unwrap_or(1);
    if heard_within(&mut leadership, CAMPAIGN_STEP * rank).await {
        return;
    }
    match raft.is_initialized().await {
        // A fresh voter: this also starts an election. It fails when another's vote came between.
        Ok(false) => {
            if let Err(error) = raft.initialize(voters).await {
                tracing::debug!(%error, "log was initialized by another voter");
            }
        }
        Ok(true) => drop(raft.trigger().elect(count > 1).await),
        Err(error) => return tracing::warn!(%error, "start of the first election"),
    }
    // Different periods, so that turns that coincide once drift apart.
    let period = CAMPAIGN_STEP * (count + 1) + Duration::from_millis(7) * rank;
    for _ in 0..CAMPAIGNS {
        if heard_within(&mut leadership, period).await || raft.trigger().elect(true).await.is_err()
        {
            return;
        }
    }
}

async fn heard_within(leadership: &mut watch::Receiver<Leadership>, period: Duration) -> bool {
    // An error means that the quorum is being closed: nothing is left to do then, either.
    timeout(period, leadership.wait_for(|now| now.leader.is_some()))
        .await
        .is_ok()
}
