//! How a voter joins the quorum: it asks the other voters for their state, and then either forms a
//! new cluster with them or is filled with a snapshot by their leader. The first elections follow.
//!
//! Invariant: `voter.properties` admits this voter durably before it answers its first vote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use openraft::storage::Snapshot;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Leadership;
use super::admission::{Decision, Report, Waiting, decide, waiting};
use super::files::Files;
use super::fill;
use super::handle::{NodeAddress, Raft};
use super::network::Network;
use super::types::{VoterNode, snapshot_meta_from_proto, vote_from_proto};
use super::voter::Voter;

/// The interval at which the other voters are asked again. A voter that starts asks the others at
/// once, which wakes those that wait.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The timeout of an answer.
const ANSWER: Duration = Duration::from_secs(1);
/// The timeout for a leader to commit this voter's new directory and to send its snapshot.
const FILL: Duration = Duration::from_secs(60);

/// The time between the first campaigns of two voters that start together.
const CAMPAIGN_STEP: Duration = Duration::from_millis(50);

/// The longest time between two campaigns of a voter, without its random part.
const CAMPAIGN_PERIOD_MAX: Duration = Duration::from_secs(3);

/// The number of campaigns before a voter relies on the election timeout: without a quorum more of
/// them are useless.
const CAMPAIGNS: u32 = 20;

/// How long a voter that starts campaigns before it asks the others why there is no leader.
const FIRST_CAMPAIGNS: Duration = Duration::from_secs(3);

/// The task that makes this voter join the quorum; see the module.
pub(super) struct Joining {
    pub raft: Raft,
    pub network: Arc<Network>,
    pub voter: Arc<Voter>,
    pub leadership: watch::Receiver<Leadership>,
    /// The voters that this one waits for, as last logged.
    pub waiting: watch::Sender<Option<Waiting>>,
    /// Notified when another voter that is not admitted asks: its report may have changed.
    pub asked: Arc<Notify>,
}

impl Joining {
    /// Runs until Raft ends.
    pub(super) async fn run(self) {
        while !self.voter.is_admitted() {
            let others = self.ask().await;
            let result = match decide(self.voter.report(false), &others) {
                Decision::TakePart => break,
                Decision::Found => self.found().await,
                Decision::FillFrom(leader) => self.fill_from(leader).await,
                Decision::Wait(waiting) => {
                    self.report(waiting);
                    Ok(())
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, "voter does not take part yet");
            }
            if !self.voter.is_admitted() {
                // The others are asked again after a timeout and after a notification.
                drop(timeout(ASK_AGAIN, self.asked.notified()).await);
            }
        }
        let voters = self.network.addresses.clone();
        let files = Files::new(&self.voter.dir);
        let mut leadership = self.leadership.clone();
        tokio::join!(
            campaign(&self.raft, &voters, &mut leadership, || files.random()),
            self.watch_for_loss(),
        );
    }

    /// Returns the present reports of the other voters. Each one is asked after this call began.
    async fn ask(&self) -> BTreeMap<u64, Option<Report>> {
        let me = *self.raft.node_id();
        let others = self.network.addresses.keys().filter(|id| **id != me);
        let answers = others.map(|id| async move {
            let answer = timeout(ANSWER, self.network.describe(*id)).await;
            (*id, answer.ok().and_then(Result::ok))
        });
        join_all(answers).await.into_iter().collect()
    }

    /// Writes the first entry of a new cluster's log.
    async fn found(&self) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let initialized = self.raft.is_initialized().await;
        if !initialized.map_err(|error| text(&error))? {
            // Each voter writes the same entry: the first leader commits the voters' directories.
            let voters: BTreeMap<u64, VoterNode> = self
                .network
                .addresses
                .iter()
                .map(|(id, address)| (*id, VoterNode::new(address.clone())))
                .collect();
            let initialize = self.raft.initialize(voters).await;
            initialize.map_err(|error| text(&error))?;
        }
        tracing::info!(
            dir = %self.voter.dir.display(),
            "all voters are new: forming a new metadata quorum"
        );
        self.admit().await
    }

    /// Replaces this voter's log and state by the metadata that a leader has committed.
    async fn fill_from(&self, leader: u64) -> Result<(), String> {
        timeout(FILL, self.fill(leader))
            .await
            .map_err(|_| format!("voter {leader} sent no snapshot within {FILL:?}"))?
    }

    async fn fill(&self, leader: u64) -> Result<(), String> {
        let mut stream = self.network.fill(leader).await?;
        let malformed = || "malformed answer from the leader".to_owned();
        let (header, file) = fill::receive(&self.voter.dir, &mut stream)
            .await
            .map_err(|status| status.message().to_owned())?;
        let vote = vote_from_proto(header.vote).map_err(|_| malformed())?;
        let meta = snapshot_meta_from_proto(header.meta.unwrap_or_default());
        let meta = meta.map_err(|_| malformed())?;
        if file.meta != meta {
            return Err(malformed());
        }
        let last = meta.last_log_id;
        let own = self.voter.last_log_id();
        if own >= last {
            let (own, theirs) = (own.map(|id| id.index), last.map(|id| id.index));
            tracing::error!(
                dir = %self.voter.dir.display(), own, theirs,
                "metadata log of this voter contradicts the leader's: stop the node, move the \
                 directory away, and start the node again"
            );
            return Err("log contradicts the leader's".to_owned());
        }
        let snapshot = Snapshot {
            meta,
            snapshot: file,
        };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.vote != vote {
            return Err(format!("a newer vote than the leader's: {}", answer.vote));
        }
        // A snapshot is reported as applied once it is installed and durable.
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().last_applied < last {
            metrics.changed().await.map_err(|error| error.to_string())?;
        }
        let offset = last.map(|id| id.index);
        tracing::info!(leader, offset, "received the metadata from the leader");
        self.admit().await
    }

    async fn admit(&self) -> Result<(), String> {
        let voter = Arc::clone(&self.voter);
        let written = spawn_blocking(move || voter.admit()).await;
        written
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("cannot write voter.properties: {error}"))?;
        self.raft.runtime_config().elect(true);
        Ok(())
    }

    /// Logs which voters this one waits for, when that has changed.
    fn report(&self, waiting: Waiting) {
        if self.waiting.borrow().as_ref() == Some(&waiting) {
            return;
        }
        let names = |ids: &BTreeSet<u64>| {
            let name = |id: &u64| match self.network.addresses.get(id) {
                Some(address) => format!("{id}@{address}"),
                None => id.to_string(),
            };
            ids.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        let (silent, empty) = (names(&waiting.silent), names(&waiting.empty));
        let holding = names(&waiting.holding);
        if waiting.majority_lost {
            tracing::warn!(
                silent,
                empty,
                holding,
                "a majority of the voters holds no metadata: no leader is elected. If their disks \
                 cannot be restored, stop the node with the newest metadata, run `dohle storage \
                 recover-quorum` on it, and start it again"
            );
        } else if !self.voter.is_admitted() {
            tracing::info!(
                awaited = silent,
                empty,
                holding,
                "this voter holds no metadata: it waits for a leader, or for every voter to report \
                 that it is new"
            );
        }
        self.waiting.send_replace(Some(waiting));
    }

    /// While there is no leader, checks whether a majority of the voters has lost its metadata.
    async fn watch_for_loss(&self) {
        let mut leadership = self.leadership.clone();
        heard_within(&mut leadership, FIRST_CAMPAIGNS).await;
        loop {
            let leaderless = |now: &Leadership| now.leader.is_none();
            if leadership.wait_for(leaderless).await.is_err() {
                return;
            }
            let others = self.ask().await;
            self.report(waiting(self.voter.report(false), &others));
            let led = leadership.wait_for(|now| now.leader.is_some());
            // The voters are asked again as long as there is no leader.
            if timeout(ANSWER, led).await.is_ok_and(|led| led.is_err()) {
                return;
            }
        }
    }
}

/// Starts the first election without waiting for the election timeout.
///
/// Voters take turns, so that voters that start together do not split the vote. The campaigns begin
/// with a pre-vote, which does not disturb an existing leader, and end when this voter hears from a
/// leader.
async fn campaign(
    raft: &Raft,
    voters: &NodeAddress,
    leadership: &mut watch::Receiver<Leadership>,
    random: impl Fn() -> u64,
) {
    let me = *raft.node_id();
    let rank = u32::try_from(voters.keys().take_while(|id| **id < me).count()).unwrap_or(0);
    let count = u32::try_from(voters.len()).unwrap_or(1);
    if heard_within(leadership, CAMPAIGN_STEP * rank).await
        || raft.trigger().elect(count > 1).await.is_err()
    {
        return;
    }
    for number in 0..CAMPAIGNS {
        let period = campaign_period(number, count, random());
        if heard_within(leadership, period).await || raft.trigger().elect(true).await.is_err() {
            return;
        }
    }
}

/// Returns the time between a campaign, counted from 0, and the next one.
///
/// The time grows by half with each campaign, up to [`CAMPAIGN_PERIOD_MAX`]: on slow machines the
/// votes of a campaign take longer than the first periods, and the next campaign makes them void.
/// Up to a quarter of it is added at random, so that turns that coincide once drift apart.
fn campaign_period(number: u32, voters: u32, random: u64) -> Duration {
    let first = CAMPAIGN_STEP * (voters + 1);
    let grown = (0..number).fold(first, |period, _| {
        (period * 3 / 2).min(CAMPAIGN_PERIOD_MAX.max(first))
    });
    let part = u32::try_from(random % 256).expect("it is below 256");
    grown + grown / 1024 * part
}

async fn heard_within(leadership: &mut watch::Receiver<Leadership>, period: Duration) -> bool {
    // An error means that the quorum is being closed: the campaigns end in that case, too.
    timeout(period, leadership.wait_for(|now| now.leader.is_some()))
        .await
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_of_a_voter_that_hears_from_no_leader_become_rarer() {
        let millis = |number, random| campaign_period(number, 3, random).as_millis();
        let periods: Vec<_> = [0, 1, 2, 3, 7, 19].map(|number| millis(number, 0)).into();
        assert_eq!(periods, [200, 300, 450, 675, 3_000, 3_000]);
        // A slow machine has time for a whole election, several times.
        let all: u128 = (0..CAMPAIGNS).map(|number| millis(number, 0)).sum();
        assert!((30_000..60_000).contains(&all), "{all}");
    }

    #[test]
    fn a_period_has_a_random_part_of_at_most_a_quarter() {
        for number in 0..CAMPAIGNS {
            let [least, most] = [0, 255].map(|random| campaign_period(number, 5, random));
            assert!(most > least && most <= least + least / 4);
            let other = campaign_period(number, 5, u64::MAX - 100);
            assert!((least..=most).contains(&other));
        }
    }

    #[test]
    fn the_first_period_of_many_voters_is_not_cut() {
        assert_eq!(campaign_period(0, 99, 0), Duration::from_secs(5));
        assert_eq!(campaign_period(9, 99, 0), Duration::from_secs(5));
    }
}
