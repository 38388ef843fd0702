//! The basic types of Dohle: identifiers, offsets, epochs, names, error codes, access control,
//! metadata records, and the image and delta that records are replayed into.
//!
//! Pure: no tokio, no files, no clock, no randomness. Time and fresh identifiers arrive as
//! arguments.

pub mod acl;
pub mod address;
pub mod address_range;
pub mod batch;
pub mod client_quota;
pub mod compression;
pub mod delegation_token;
pub mod error;
pub mod features;
pub mod ids;
pub mod image;
pub mod names;
pub mod partition;
pub mod record;
pub mod scram;
pub mod space;
pub mod suggest;
mod text_id;

pub use image::delta;

pub use address::HostPort;
pub use compression::CompressionType;
pub use error::{ApiError, ErrorCode};
pub use ids::{
    BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, MetadataOffset, NodeId, Offset,
    PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId, Uuid,
};
pub use names::{METADATA_TOPIC, TopicIdPartition, TopicName, TopicNameError, TopicPartition};
