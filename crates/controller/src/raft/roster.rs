//! Keeps the quorum's membership complete while this voter leads: commits the voters' directories,
//! and restores the votes of voters that return after a recovery of the quorum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::DirectoryId;
use openraft::async_runtime::WatchReceiver;
use openraft::{ChangeMembers, RaftMetrics, ServerState};
use tokio::time::timeout;

use super::handle::{NodeAddress, Raft};
use super::peers::Peers;
use super::types::{Types, VoterNode};

/// The pause after a refused change.
const RETRY: Duration = Duration::from_millis(200);
/// The most entries that a voter may lack when its vote is restored.
const LAG_MAX: u64 = 100;

type Change = ChangeMembers<u64, VoterNode>;

/// Keeps the membership complete while this voter leads; runs until Raft ends.
pub(super) async fn keep(
    raft: Raft,
    peers: Arc<Peers>,
    voters: NodeAddress,
    directory: DirectoryId,
) {
    let mut metrics = raft.metrics();
    loop {
        let current = metrics.borrow_watched().clone();
        let directory_of = |id: u64| {
            if id == current.id {
                Some(directory).filter(|directory| !directory.is_zero())
            } else {
                peers.directory(id, current.current_term)
            }
        };
        let change = missing(&current, &voters, directory_of);
        let mut refused = false;
        if let Some(change) = change {
            let shown = describe(&change);
            match raft.change_membership(change, true).await {
                Ok(_) => tracing::info!("metadata quorum committed {shown}"),
                Err(error) => {
                    tracing::debug!(%error, "metadata quorum refused to commit {shown}");
                    refused = true;
                }
            }
        }
        let changed = metrics.changed();
        if refused {
            // A refused change is retried after the pause, even when the metrics change earlier.
            drop(timeout(RETRY, std::future::pending::<()>()).await);
        } else if changed.await.is_err() {
            return;
        }
    }
}

/// Returns the next change that completes the leader's membership, if one is possible now.
///
/// A directory is committed once its voter has acknowledged entries of this leader. A configured
/// voter without a vote, after a recovery, gets its vote back when its log has caught up.
fn missing(
    metrics: &RaftMetrics<Types>,
    voters: &NodeAddress,
    directory_of: impl Fn(u64) -> Option<DirectoryId>,
) -> Option<Change> {
    let own_term = metrics.last_applied?.leader_id.term == metrics.current_term;
    let replication = metrics.replication.as_ref()?;
    if metrics.state != ServerState::Leader || !own_term {
        return None;
    }
    let membership = metrics.membership_config.membership();
    let unnamed: BTreeMap<u64, VoterNode> = membership
        .nodes()
        .filter(|(_, node)| node.directory.is_zero())
        .filter_map(|(id, node)| {
            let directory = directory_of(*id)?;
            let addr = node.addr.clone();
            Some((*id, VoterNode { addr, directory }))
        })
        .collect();
    if !unnamed.is_empty() {
        return Some(Change::SetNodes(unnamed));
    }
    let last = metrics.last_log_index?;
    let caught_up = |id: &u64| {
        let matched = replication.get(id).copied().flatten();
        matched.is_some_and(|matched| matched.index + LAG_MAX > last)
    };
    let back = membership
        .learner_ids()
        .find(|id| voters.contains_key(id) && caught_up(id))?;
    Some(Change::AddVoterIds([back].into()))
}

/// Describes a change for log lines.
fn describe(change: &Change) -> String {
    match change {
        Change::SetNodes(nodes) => {
            let directories = nodes
                .iter()
                .map(|(id, node)| format!("{} of voter {id}", node.directory));
            format!(
                "the directories {}",
                directories.collect::<Vec<_>>().join(", ")
            )
        }
        Change::AddVoterIds(ids) => format!("the votes of voters {ids:?}"),
        other => other.to_string(),
    }
}
