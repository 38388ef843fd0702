//! StreamsGroupTopologyDescriptionUpdate, request, version 0 (KIP-1331):
//!
//! ```json
//! { "name": "GroupId", "type": "string", "versions": "0+" },
//! { "name": "MemberId", "type": "string", "versions": "0+" },
//! { "name": "TopologyEpoch", "type": "int32", "versions": "0+" },
//! { "name": "TopologyDescription", "type": "TopologyDescription", "versions": "0+" }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::primitives::{read_i32, write_i32};
use kacrab_protocol::string::{read_compact_string, write_compact_string};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::topology_description::TopologyDescription;
use super::{only_version_0, skip_tagged_fields, write_no_tagged_fields};
use crate::ApiKey;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamsGroupTopologyDescriptionUpdateRequestData {
    /// The group.
    pub group_id: KafkaString,
    /// The member that describes its topology.
    pub member_id: KafkaString,
    /// The epoch of the topology.
    pub topology_epoch: i32,
    /// The topology.
    pub topology_description: TopologyDescription,
}

impl StreamsGroupTopologyDescriptionUpdateRequestData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        only_version_0(ApiKey::StreamsGroupTopologyDescriptionUpdate, version)?;
        let request = Self {
            group_id: read_compact_string(body)?,
            member_id: read_compact_string(body)?,
            topology_epoch: read_i32(body)?,
            topology_description: TopologyDescription::read(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(request)
    }

    /// Encodes the body.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        only_version_0(ApiKey::StreamsGroupTopologyDescriptionUpdate, version)?;
        write_compact_string(out, &self.group_id)?;
        write_compact_string(out, &self.member_id)?;
        write_i32(out, self.topology_epoch);
        self.topology_description.write(out)?;
        write_no_tagged_fields(out)
    }
}
