//! Kafka's wire protocol without I/O: frames, headers, the messages of each API and version, and
//! the encoding of responses.
//!
//! A thin facade over the `kacrab-protocol` codec, whose message structs are used as they are
//! ([`messages`]). What is added here: checks of frame lengths, recognition of peers that do not
//! speak Kafka, one trait that ties a request to its response, decoding whose memory is bounded by
//! the frame, and an encoding of fetch responses that does not copy records.
//!
//! Pure: no tokio, no files, no clock. The crate must not depend on brokers, partitions or
//! metadata.

mod api_key;
pub mod fetch;
pub mod foreign;
pub mod forward;
pub mod frame;
pub mod header;
pub mod inter_broker;
pub mod kinds;
pub mod message;
pub mod newer;
pub mod produce;
mod values;

/// The message structs of every API: generated from the schemas of Apache Kafka 4.3, except for
/// those that have newer versions.
pub mod messages {
    pub use kacrab_protocol::generated::*;
    pub use kacrab_protocol::{KafkaString, KafkaUuid, RawTaggedField};

    pub use crate::api_key::{ApiKey, client_api_info};
    pub use crate::newer::api_versions_request::{self, ApiVersionsRequestData};
    pub use crate::newer::delete_groups_response::{
        self, DeletableGroupResult, DeleteGroupsResponseData,
    };
    pub use crate::newer::streams_group_describe_request::{self, StreamsGroupDescribeRequestData};
    pub use crate::newer::streams_group_describe_response::{
        self, StreamsGroupDescribeResponseData,
    };
    pub use crate::newer::streams_group_heartbeat_response::{
        self, StreamsGroupHeartbeatResponseData,
    };
    pub use crate::newer::streams_group_topology_description_update_request::{
        self, StreamsGroupTopologyDescriptionUpdateRequestData,
    };
    pub use crate::newer::streams_group_topology_description_update_response::{
        self, StreamsGroupTopologyDescriptionUpdateResponseData,
    };
    pub use crate::newer::txn_offset_commit_request::{
        self, TxnOffsetCommitRequestData, TxnOffsetCommitRequestTopic,
    };
    pub use crate::newer::txn_offset_commit_response::{
        self, TxnOffsetCommitResponseData, TxnOffsetCommitResponseTopic,
    };
    pub use crate::newer::unregister_controller_request::{self, UnregisterControllerRequestData};
    pub use crate::newer::unregister_controller_response::{
        self, UnregisterControllerResponseData,
    };
}

pub use api_key::ApiKey;
pub use foreign::Foreign;
pub use forward::Forwarded;
pub use frame::{FrameError, FrameSizes, frame_length};
pub use header::{HeaderError, RequestHeader};
pub use inter_broker::InterBroker;
pub use kacrab_protocol::{KafkaString, KafkaUuid, ProtocolError};
pub use message::{
    DecodeError, EncodeError, Request, Response, decode_response, encode_request, encode_response,
};
pub use values::{TEXT_BYTES_MAX, text, uuid, uuid_bytes};
