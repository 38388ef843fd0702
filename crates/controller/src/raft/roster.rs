//! What a leader keeps in order among the voters: their directories, and voters that came back
//! after the recovery of a quorum.

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

/// How long to wait after a change that was refused.
const RETRY: Duration = Duration::from_millis(200);
/// Entries that a voter may lack when it is given its vote back.
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
            let shown = change.to_string();
            match raft.change_membership(change, true).await {
                Ok(_) => tracing::info!(change = shown, "voters of the metadata quorum changed"),
                Err(error) => {
                    tracing::debug!(%error, change = shown, "change of the voters was refused");
                    refused = true;
                }
            }
        }
        let changed = metrics.changed();
        if refused {
            // A refused change is tried again later, whatever happens meanwhile.
            drop(timeout(RETRY, std::future::pending::<()>()).await);
        } else if changed.await.is_err() {
            return;
        }
    }
}

/// What the leader's membership lacks, if anything can be done for it now.
///
/// A directory is committed once its voter has acknowledged entries of this leader. A voter of the
/// configuration that has none, after a recovery, gets its vote when it has caught up.
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
