//! Conversions between the messages of `proto/dohle/v1` and the types of `dohle-model`.
//!
//! Conversions to messages are infallible; the errors of conversions from messages name the wrong
//! field.

mod record;
mod snapshot;

use dohle_model::ids::Uuid;
use dohle_model::{
    ApiError, DirectoryId, ErrorCode, MetadataOffset, NodeId, PartitionIndex, TopicId,
    TopicIdPartition,
};

use crate::v1;

pub use record::{
    batch_from_wire, batch_to_wire, committed_from_wire, partition_from_wire, partition_to_wire,
    record_from_wire, record_to_wire, registration_from_wire, registration_to_wire,
    resource_from_wire, resource_to_wire,
};
pub use snapshot::{SnapshotBuilder, snapshot_chunks};

/// A message from another node, or from the disk, that this version cannot decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A required field is missing; or a oneof has a kind that is unknown to this version.
    #[error("{0} is missing, or of a kind that is unknown to this version")]
    Missing(&'static str),
    /// A field has a value outside its range.
    #[error("{field} is {value}, which is not allowed")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A snapshot's records do not form an image.
    #[error("snapshot cannot be replayed: {0}")]
    Replay(#[from] dohle_model::image::ReplayError),
}

pub(crate) fn invalid(field: &'static str, value: impl ToString) -> ConvertError {
    ConvertError::Invalid {
        field,
        value: value.to_string(),
    }
}

/// Converts 16 bytes to an id.
///
/// # Errors
/// When there are not 16 bytes.
pub fn uuid_from_wire(field: &'static str, bytes: &[u8]) -> Result<Uuid, ConvertError> {
    bytes
        .try_into()
        .map(Uuid)
        .map_err(|_| invalid(field, format!("{} bytes", bytes.len())))
}

/// Converts 16 bytes to a topic's id.
///
/// # Errors
/// When there are not 16 bytes.
pub fn topic_id_from_wire(bytes: &[u8]) -> Result<TopicId, ConvertError> {
    uuid_from_wire("topic_id", bytes).map(TopicId)
}

/// Converts a topic's id and a partition's number.
///
/// # Errors
/// When the id does not have 16 bytes or the number is negative.
pub fn partition_id_from_wire(
    topic_id: &[u8],
    partition: i32,
) -> Result<TopicIdPartition, ConvertError> {
    let index =
        PartitionIndex::from_wire(partition).ok_or_else(|| invalid("partition", partition))?;
    Ok(TopicIdPartition {
        topic_id: topic_id_from_wire(topic_id)?,
        partition: index,
    })
}

/// Returns an id's bytes.
#[must_use]
pub fn uuid_to_wire(id: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&id.0)
}

pub(crate) fn nodes_to_wire(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

pub(crate) fn nodes_from_wire(nodes: &[i32]) -> Vec<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

pub(crate) fn directories_to_wire(ids: &[DirectoryId]) -> Vec<bytes::Bytes> {
    ids.iter().map(|id| uuid_to_wire(id.0)).collect()
}

pub(crate) fn directories_from_wire(
    ids: &[bytes::Bytes],
) -> Result<Vec<DirectoryId>, ConvertError> {
    ids.iter()
        .map(|id| uuid_from_wire("directory", id).map(DirectoryId))
        .collect()
}

/// Converts an outcome; `None` means success.
#[must_use]
pub fn outcome_to_wire(error: Option<&ApiError>) -> v1::Outcome {
    error.map_or_else(v1::Outcome::default, |error| v1::Outcome {
        code: i32::from(error.code.code()),
        message: error.message.clone(),
    })
}

/// Converts an outcome; a missing one means success, an unknown code becomes UNKNOWN_SERVER_ERROR
/// with its text.
///
/// # Errors
/// The error of the outcome.
pub fn outcome_from_wire(outcome: Option<&v1::Outcome>) -> Result<(), ApiError> {
    match outcome {
        Some(outcome) if outcome.code != 0 => {
            let code = i16::try_from(outcome.code)
                .ok()
                .and_then(ErrorCode::from_code);
            let code = code.unwrap_or(ErrorCode::UnknownServerError);
            Err(code.because(outcome.message.clone()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn offset_from_wire(offset: u64) -> MetadataOffset {
    MetadataOffset(offset)
}
