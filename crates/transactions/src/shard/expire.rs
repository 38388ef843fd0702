//! Expiry of transactional ids that nothing has changed for `transactional.id.expiration.ms`.

use std::ops::Bound;

use dohle_model::Timestamp;

use super::{Step, TransactionMachine};
use crate::metadata::TransactionMetadata;
use crate::records::{TransactionRecord, ValueVersion};

/// Tombstones that one step writes at most.
const TOMBSTONES_MAX: usize = 500;

impl TransactionMachine {
    /// Removes ids that have expired, up to a number in each step. A step continues where the one
    /// before ended; the step that reaches the end of all ids writes none, or the last ones.
    pub(crate) fn expire_ids(&mut self, step: &mut Step<'_>) {
        let retention = step.config.transactional_id_expiration.as_millis();
        let retention = i64::try_from(retention).unwrap_or(i64::MAX);
        let before = Timestamp(step.wall.0.saturating_sub(retention));
        let after = self.expiry.take();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let candidates = self.transactions.range((after, Bound::Unbounded));
        for (id, transaction) in candidates {
            if !has_expired(&transaction.metadata, before) {
                continue;
            }
            step.write(TransactionRecord {
                transactional_id: id.clone(),
                metadata: None,
                version: ValueVersion::V1,
            });
            if step.effects.records.len() == TOMBSTONES_MAX {
                self.expiry = Some(id.clone());
                return;
            }
        }
    }
}

fn has_expired(metadata: &TransactionMetadata, before: Timestamp) -> bool {
    metadata.state.may_expire() && metadata.updated <= before
}
