//! Decides which voters may take part in Raft, and when a new cluster forms. Pure.
//!
//! A voter without a log does not remember its votes and acknowledgements, so it must not vote.
//!
//! ```text
//!          a new cluster forms                    a leader replicates
//! Empty ────────────────────────▶ Founding ─────────────────────────────▶ Member
//!   └──────────── the snapshot of a leader that the others elected ─────────▲
//! ```
//!
//! Invariant: a voter that is `Empty` or `Unproven` grants no vote, stands in no election and
//! acknowledges no entry. What is committed meanwhile is held by a majority without it.
//! Invariant: a cluster is founded only where no voter is known to hold metadata.

use std::collections::{BTreeMap, BTreeSet};

/// The condition of a voter's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No log: a new voter, or one whose disk was replaced.
    Empty,
    /// A log that may lack entries which this voter acknowledged: a copy of another directory, or a
    /// snapshot that was not installed to its end.
    Unproven,
    /// It belongs to a new cluster that no leader has written to yet.
    Founding,
    /// It has everything that it ever acknowledged.
    Member,
}

impl Standing {
    /// Whether such a voter votes, stands for election and acknowledges entries.
    pub(super) fn takes_part(self) -> bool {
        matches!(self, Self::Founding | Self::Member)
    }
}

/// A voter's report of its own condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub standing: Standing,
    /// Whether an operator formatted its directory, and thereby stated that this voter is new.
    pub formatted: bool,
    /// Whether it is the leader and has committed an entry in its term.
    pub leads: bool,
}

/// The next action of a voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Vote and stand for election.
    TakePart,
    /// Form a new cluster with the other voters.
    Found,
    /// Ask this leader for the metadata.
    FillFrom(u64),
    /// Wait for other voters.
    Wait(Waiting),
}

/// Why a voter waits: the other voters, grouped by their last reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    /// Voters that do not answer.
    pub silent: BTreeSet<u64>,
    /// Voters that are empty, or whose log may lack entries.
    pub empty: BTreeSet<u64>,
    /// Voters that hold metadata.
    pub holding: BTreeSet<u64>,
    /// Whether no leader can be elected even with the silent voters, although some voter holds
    /// metadata.
    pub majority_lost: bool,
}

/// Decides from a voter's own report and from the answers of the others since it started.
///
/// The caller must not pass answers of an earlier run: a voter whose disk was replaced between two
/// answers could otherwise found a second cluster beside the one whose entries it had acknowledged.
pub(super) fn decide(own: Report, others: &BTreeMap<u64, Option<Report>>) -> Decision {
    if own.standing.takes_part() {
        return Decision::TakePart;
    }
    let leader = others
        .iter()
        .find(|(_, report)| report.is_some_and(|report| report.leads));
    if let Some((leader, _)) = leader {
        return Decision::FillFrom(*leader);
    }
    if may_found(own, others) {
        return Decision::Found;
    }
    Decision::Wait(waiting(own, others))
}

/// Whether this empty voter may begin a new cluster's log.
fn may_found(own: Report, others: &BTreeMap<u64, Option<Report>>) -> bool {
    let is_new = |report: &Report| matches!(report.standing, Standing::Empty | Standing::Founding);
    let answers: Vec<Report> = others.values().copied().flatten().collect();
    if own.standing != Standing::Empty || !answers.iter().all(is_new) {
        return false;
    }
    let formatted = answers.iter().filter(|report| report.formatted).count();
    let majority_formatted = own.formatted && (formatted + 1) * 2 > others.len() + 1;
    answers.len() == others.len() || majority_formatted
}

/// Groups the voters that this one waits for; used for a member without a leader, too.
pub(super) fn waiting(own: Report, others: &BTreeMap<u64, Option<Report>>) -> Waiting {
    let mut waiting = Waiting::default();
    let mut able = usize::from(own.standing.takes_part());
    let holds = |standing| matches!(standing, Standing::Unproven | Standing::Member);
    let mut any_holds = holds(own.standing);
    for (id, report) in others {
        let Some(report) = report else {
            able += 1;
            waiting.silent.insert(*id);
            continue;
        };
        any_holds |= holds(report.standing);
        match report.standing {
            Standing::Empty | Standing::Unproven => {
                waiting.empty.insert(*id);
            }
            Standing::Member => {
                able += 1;
                waiting.holding.insert(*id);
            }
            Standing::Founding => able += 1,
        }
    }
    waiting.majority_lost = any_holds && able * 2 <= others.len() + 1;
    waiting
}

#[cfg(test)]
mod tests;
