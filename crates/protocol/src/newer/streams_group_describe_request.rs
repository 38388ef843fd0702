//! StreamsGroupDescribe, request. Version 1 adds (KIP-1331):
//!
//! ```json
//! { "name": "IncludeTopologyDescription", "type": "bool", "versions": "1+", "default": "false" }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::streams_group_describe_request as codec;
use kacrab_protocol::primitives::{read_bool, write_bool};
use kacrab_protocol::string::{read_compact_string, write_compact_string};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

const DESCRIPTIONS: i16 = 1;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsGroupDescribeRequestData {
    /// The groups.
    pub group_ids: Vec<KafkaString>,
    /// Whether the answer lists the operations that the client may perform on each group.
    pub include_authorized_operations: bool,
    /// Whether the answer has the description of each topology.
    pub include_topology_description: bool,
}

impl StreamsGroupDescribeRequestData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != DESCRIPTIONS {
            let older = codec::StreamsGroupDescribeRequestData::read(body, version)?;
            return Ok(Self {
                group_ids: older.group_ids,
                include_authorized_operations: older.include_authorized_operations,
                include_topology_description: false,
            });
        }
        let request = Self {
            group_ids: read_array(body, |body| Ok(read_compact_string(body)?))?,
            include_authorized_operations: read_bool(body)?,
            include_topology_description: read_bool(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(request)
    }

    /// Encodes the body. Version 0 does not ask for descriptions.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != DESCRIPTIONS {
            let older = codec::StreamsGroupDescribeRequestData {
                group_ids: self.group_ids.clone(),
                include_authorized_operations: self.include_authorized_operations,
                ..codec::StreamsGroupDescribeRequestData::default()
            };
            return older.write(out, version);
        }
        write_array(out, &self.group_ids, |out, group| {
            Ok(write_compact_string(out, group)?)
        })?;
        write_bool(out, self.include_authorized_operations);
        write_bool(out, self.include_topology_description);
        write_no_tagged_fields(out)
    }
}
