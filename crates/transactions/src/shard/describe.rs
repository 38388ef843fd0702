//! DescribeTransactions and ListTransactions.

use dohle_model::{ErrorCode, Timestamp};

use super::{Step, TransactionMachine, check_id};
use crate::markers::Ending;
use crate::metadata::TransactionMetadata;
use crate::requests::{DescribedTransaction, ListedTransaction, TransactionFilter};

impl TransactionMachine {
    /// Describes a transactional id.
    pub(crate) fn describe(
        &mut self,
        transactional_id: &str,
        step: &mut Step<'_>,
    ) -> Result<DescribedTransaction, ErrorCode> {
        check_id(transactional_id)?;
        let found = self.read(transactional_id, step);
        let (id, metadata) = found.ok_or(ErrorCode::TransactionalIdNotFound)?;
        let ending = self.ending.get(id);
        Ok(DescribedTransaction {
            state: metadata.state,
            producer: metadata.producer(),
            timeout_ms: metadata.timeout_ms.unwrap_or(i32::MAX),
            started: metadata.started,
            partitions: ending.map_or_else(|| metadata.partitions.clone(), Ending::remaining),
        })
    }

    /// Lists the transactional ids that a filter matches, in the order of their ids.
    pub(crate) fn list(
        &mut self,
        filter: &TransactionFilter,
        step: &mut Step<'_>,
    ) -> Vec<ListedTransaction> {
        step.read_up_to(self.end);
        let listed = self.iter().filter(|(id, metadata)| {
            matches(filter, metadata, step.wall)
                && filter
                    .pattern
                    .as_ref()
                    .is_none_or(|it| it.is_match(id.as_str()))
        });
        let listed = listed.map(|(id, metadata)| ListedTransaction {
            transactional_id: id.clone(),
            producer_id: metadata.producer_id,
            state: metadata.state,
        });
        listed.collect()
    }
}

fn matches(filter: &TransactionFilter, metadata: &TransactionMetadata, wall: Timestamp) -> bool {
    let ids = &filter.producer_ids;
    if !ids.is_empty() && !ids.contains(&metadata.producer_id) {
        return false;
    }
    let states = filter.states.as_ref();
    if states.is_some_and(|states| !states.contains(&metadata.state)) {
        return false;
    }
    // As in Kafka, an id without a transaction counts as if its transaction began at -1.
    let lasted = wall.0.saturating_sub(Timestamp::to_wire(metadata.started));
    filter.duration_ms.is_none_or(|duration| lasted > duration)
}
