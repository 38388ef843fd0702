//! Removes transactional ids that have not changed for `transactional.id.expiration.ms`.

use std::ops::{Bound, ControlFlow};

use dohle_model::Timestamp;

use super::{Step, TransactionMachine};
use crate::metadata::TransactionMetadata;
use crate::records::{TransactionRecord, ValueVersion};

/// Ids that one step examines.
const EXAMINED_MAX: usize = 10_000;
/// Tombstones that one step writes.
const TOMBSTONES_MAX: usize = 500;

impl TransactionMachine {
    /// Removes ids that have expired. Each step examines a number of ids, from where the step
    /// before ended, and breaks when it has reached the last id.
    pub(crate) fn expire_ids(&mut self, step: &mut Step<'_>) -> ControlFlow<()> {
        let retention = step.config.transactional_id_expiration.as_millis();
        let retention = i64::try_from(retention).unwrap_or(i64::MAX);
        let before = Timestamp(step.wall.0.saturating_sub(retention));
        let after = self.expiry.take();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let candidates = self.transactions.range((after, Bound::Unbounded));
        for (examined, (id, transaction)) in (1..).zip(candidates) {
            if has_expired(&transaction.metadata, before) {
                step.write(TransactionRecord {
                    transactional_id: id.clone(),
                    metadata: None,
                    version: ValueVersion::V1,
                });
            }
            if examined == EXAMINED_MAX || step.effects.records.len() == TOMBSTONES_MAX {
                self.expiry = Some(id.clone());
                return ControlFlow::Continue(());
            }
        }
        let tombstones = step.effects.records.len();
        assert!(
            tombstones < TOMBSTONES_MAX,
            "one step expires {tombstones} transactional ids"
        );
        ControlFlow::Break(())
    }
}

fn has_expired(metadata: &TransactionMetadata, before: Timestamp) -> bool {
    metadata.state.may_expire() && metadata.updated <= before
}
