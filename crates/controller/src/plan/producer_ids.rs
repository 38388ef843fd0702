//! Blocks of producer ids (KIP-730).

use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, BrokerEpoch, ErrorCode, NodeId, ProducerId};

use super::{Draft, brokers};

/// The number of producer ids in a block.
pub const BLOCK_LEN: i32 = 1000;

/// Allocates a block of [`BLOCK_LEN`] ids to a broker. Returns the first id.
///
/// # Errors
/// The broker epoch is stale, or all ids are used up.
pub fn allocate(
    draft: &mut Draft,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
) -> Result<ProducerId, ApiError> {
    brokers::check_epoch(draft, broker, broker_epoch)?;
    let first = draft.image.next_producer_id;
    let next = first
        .0
        .checked_add(i64::from(BLOCK_LEN))
        .map(ProducerId)
        .ok_or_else(|| ErrorCode::UnknownServerError.because("all producer ids are used up"))?;
    draft.push(MetadataRecord::ProducerIds {
        broker,
        broker_epoch,
        next,
    });
    let after = draft.image.next_producer_id;
    assert!(
        after > first,
        "producer ids from {first} are handed out, the next block begins at {after}"
    );
    Ok(first)
}
