//! Decides the next step of a replica's move to another log directory of its broker (KIP-113,
//! KIP-858).
//!
//! ```text
//!              behind                caught up             promised, nothing missing
//!   Copying ───────────▶ Copying ─────────────▶ Promising ───────────────────────────▶ swapped
//!      ▲                                            │ new records, a truncation, a new log start
//!      └────────────────────────────────────────────┘
//! ```
//!
//! The copy follows every change of the current log until the swap, like a follower: batches are
//! appended, a truncation is found by comparing leader epochs, and the log start rises. The swap
//! needs the controller's promise: the metadata name the new directory, so that the controller
//! elects another leader if that directory fails, and a restart uses the copy that was swapped in.
//!
//! Invariant: a swap is decided only when the copy begins and ends where the current log does, has
//! nothing that the current log does not have, and the metadata name its directory.

use dohle_model::{LeaderEpoch, Offset};

/// The offsets of a log: from the log start up to the log end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first offset that may be read.
    pub start: Offset,
    /// The offset after the last record.
    pub end: Offset,
}

/// What decides about the next step of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveView {
    /// The log that the replica uses.
    pub current: Extent,
    /// Its copy in the other directory.
    pub copy: Extent,
    /// The end of the part of the copy that the current log has too; the copy's end unless the
    /// current log was truncated.
    pub common_end: Offset,
    /// Whether the metadata name the directory of the copy.
    pub is_promised: bool,
}

/// The next step of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveStep {
    /// Remove all records of the copy, and begin again where the current log begins.
    Begin(Offset),
    /// Remove the records of the copy from this offset on.
    Truncate(Offset),
    /// Raise the log start of the copy.
    AdvanceStart(Offset),
    /// Copy records from this offset on.
    Copy(Offset),
    /// Ask the controller to name the directory of the copy.
    Promise,
    /// Nothing is missing but the controller's promise.
    Wait,
    /// Swap the logs, if [`may_swap`] under the partition's lock.
    Swap,
}

/// The progress of one move.
#[derive(Debug, Clone, Default)]
pub struct DirMove {
    /// Whether the copy has recently reached the end of the current log. The few records that were
    /// appended since do not delay the promise, and the swap copies them under the lock.
    caught_up: bool,
    has_asked: bool,
}

impl DirMove {
    /// Whether the controller was asked to name the directory of the copy. If the move ends without
    /// a swap, the broker must report the directory of the current log to the controller.
    #[must_use]
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// Decides the next step.
    pub fn next(&mut self, view: &MoveView) -> MoveStep {
        if let Some(repair) = repair(view) {
            self.caught_up = false;
            return repair;
        }
        let lags = view.copy.end < view.current.end;
        if !lags {
            self.caught_up = true;
        }
        if !self.caught_up {
            return MoveStep::Copy(view.copy.end);
        }
        if view.is_promised {
            return MoveStep::Swap;
        }
        if !std::mem::replace(&mut self.has_asked, true) {
            return MoveStep::Promise;
        }
        match lags {
            true => MoveStep::Copy(view.copy.end),
            false => MoveStep::Wait,
        }
    }

    /// Notes that records were copied, and whether the copy then reached what was the end of the
    /// current log before they were read.
    pub fn on_copied(&mut self, reached_end: bool) {
        self.caught_up = reached_end;
    }

    /// Notes that a swap was not possible: more is copied before the next attempt.
    pub fn on_not_swapped(&mut self) {
        self.caught_up = false;
    }
}

/// Returns what has to change in the copy before anything is appended to it.
fn repair(view: &MoveView) -> Option<MoveStep> {
    let (current, copy) = (view.current, view.copy);
    let is_apart = copy.end < current.start || copy.start > current.start;
    let has_nothing = view.common_end < copy.end && view.common_end <= copy.start;
    if is_apart || has_nothing {
        return Some(MoveStep::Begin(current.start));
    }
    if view.common_end < copy.end {
        return Some(MoveStep::Truncate(view.common_end));
    }
    (copy.start < current.start).then_some(MoveStep::AdvanceStart(current.start))
}

/// Whether the copy may take the place of the current log.
#[must_use]
pub fn may_swap(view: &MoveView) -> bool {
    view.is_promised && view.copy == view.current && view.common_end == view.copy.end
}

/// Returns the end of the part of a copy that the current log has too. `last_epoch` is the epoch of
/// the copy's last record, `current` returns where an epoch, or the largest one below it, ends in
/// the current log, and `copy` the same of the copy.
///
/// Two logs of a partition that have a record of the same epoch at an offset have the same records
/// up to it (KIP-101, KIP-279).
#[must_use]
pub fn common_end(
    extent: Extent,
    last_epoch: Option<LeaderEpoch>,
    current: impl Fn(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
    copy: impl Fn(LeaderEpoch) -> Option<(LeaderEpoch, Offset)>,
) -> Offset {
    let Some(mut epoch) = last_epoch else {
        return extent.end;
    };
    loop {
        let Some((found, found_end)) = current(epoch) else {
            return extent.start;
        };
        match copy(found) {
            Some((own, own_end)) if own == found => return own_end.min(found_end).min(extent.end),
            // The copy lacks that epoch; an older one of its own is compared next.
            Some((own, _)) if own < epoch => epoch = own,
            _ => return extent.start,
        }
    }
}

#[cfg(test)]
mod tests;
