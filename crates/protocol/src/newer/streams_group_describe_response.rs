//! StreamsGroupDescribe, response. Version 1 adds to each group (KIP-1331, KIP-1357):
//!
//! ```json
//! { "name": "TopologyDescription", "type": "TopologyDescription", "versions": "1+",
//!   "nullableVersions": "1+", "default": "null" },
//! { "name": "TopologyDescriptionStatus", "type": "int8", "versions": "1+", "default": "0" },
//! { "name": "AssignorName", "type": "string", "versions": "1+", "nullableVersions": "1+",
//!   "default": "null", "ignorable": true }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::streams_group_describe_response as codec;
use kacrab_protocol::primitives::{read_i8, read_i16, read_i32, write_i8, write_i16, write_i32};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::topology_description::TopologyDescription;
use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

pub use codec::DescribedGroup as Group;

const DESCRIPTIONS: i16 = 1;

/// The version in which the codec has the structures, whose bytes are the same in all versions.
const STRUCTURES: i16 = 0;

/// The response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamsGroupDescribeResponseData {
    /// How long the request was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DescribedGroup {
    /// What version 0 has, too.
    pub group: Group,
    /// The description of the topology.
    pub topology_description: Option<TopologyDescription>,
    /// Why there is a description or none: 0 when it was not asked for.
    pub topology_description_status: i8,
    /// The assignor that the group will use.
    pub assignor_name: Option<KafkaString>,
}

impl StreamsGroupDescribeResponseData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != DESCRIPTIONS {
            let older = codec::StreamsGroupDescribeResponseData::read(body, version)?;
            let groups = older.groups.into_iter().map(|group| DescribedGroup {
                group,
                ..DescribedGroup::default()
            });
            return Ok(Self {
                throttle_time_ms: older.throttle_time_ms,
                groups: groups.collect(),
            });
        }
        let response = Self {
            throttle_time_ms: read_i32(body)?,
            groups: read_array(body, DescribedGroup::read)?,
        };
        skip_tagged_fields(body)?;
        Ok(response)
    }

    /// Encodes the body. Version 0 has no descriptions.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != DESCRIPTIONS {
            let older = codec::StreamsGroupDescribeResponseData {
                throttle_time_ms: self.throttle_time_ms,
                groups: self.groups.iter().map(|it| it.group.clone()).collect(),
                ..codec::StreamsGroupDescribeResponseData::default()
            };
            return older.write(out, version);
        }
        write_i32(out, self.throttle_time_ms);
        write_array(out, &self.groups, |out, group| group.write(out))?;
        write_no_tagged_fields(out)
    }
}

impl DescribedGroup {
    fn read(body: &mut Bytes) -> Result<Self, ProtocolError> {
        let group = Group {
            error_code: read_i16(body)?,
            error_message: read_compact_nullable_string(body)?,
            group_id: read_compact_string(body)?,
            group_state: read_compact_string(body)?,
            group_epoch: read_i32(body)?,
            assignment_epoch: read_i32(body)?,
            topology: match read_i8(body)? {
                ..0 => None,
                _ => Some(Box::new(codec::Topology::read(body, STRUCTURES)?)),
            },
            members: read_array(body, |body| codec::Member::read(body, STRUCTURES))?,
            authorized_operations: read_i32(body)?,
            ..Group::default()
        };
        let described = Self {
            group,
            topology_description: match read_i8(body)? {
                ..0 => None,
                _ => Some(TopologyDescription::read(body)?),
            },
            topology_description_status: read_i8(body)?,
            assignor_name: read_compact_nullable_string(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(described)
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError> {
        const ABSENT: i8 = -1;
        const PRESENT: i8 = 1;
        let group = &self.group;
        write_i16(out, group.error_code);
        write_compact_nullable_string(out, group.error_message.as_ref())?;
        write_compact_string(out, &group.group_id)?;
        write_compact_string(out, &group.group_state)?;
        write_i32(out, group.group_epoch);
        write_i32(out, group.assignment_epoch);
        match &group.topology {
            None => write_i8(out, ABSENT),
            Some(topology) => {
                write_i8(out, PRESENT);
                topology.write(out, STRUCTURES)?;
            }
        }
        write_array(out, &group.members, |out, member| {
            member.write(out, STRUCTURES)
        })?;
        write_i32(out, group.authorized_operations);
        match &self.topology_description {
            None => write_i8(out, ABSENT),
            Some(topology) => {
                write_i8(out, PRESENT);
                topology.write(out)?;
            }
        }
        write_i8(out, self.topology_description_status);
        write_compact_nullable_string(out, self.assignor_name.as_ref())?;
        write_no_tagged_fields(out)
    }
}
