//! Blocks of producer ids (KIP-730).

use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, BrokerEpoch, ErrorCode, NodeId, ProducerId};

use super::{Draft, brokers};

/// How many producer ids a broker gets at a time.
pub const BLOCK_LEN: i32 = 1000;

/// Allocates a block to a broker: its first id. It has [`BLOCK_LEN`] ids.
///
/// # Errors
/// A stale broker epoch; no ids left.
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
    Ok(first)
}
