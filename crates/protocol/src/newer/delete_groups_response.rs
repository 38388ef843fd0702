//! DeleteGroups, response. Version 3 adds to each result:
//!
//! ```json
//! { "name": "ErrorMessage", "type": "string", "versions": "3+", "nullableVersions": "3+",
//!   "ignorable": true, "default": "null" }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::delete_groups_response as codec;
use kacrab_protocol::primitives::{read_i16, read_i32, write_i16, write_i32};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

const MESSAGES: i16 = 3;

/// The response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeleteGroupsResponseData {
    /// How long the request was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The outcome for each group.
    pub results: Vec<DeletableGroupResult>,
}

/// The outcome for a group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeletableGroupResult {
    /// The group.
    pub group_id: KafkaString,
    /// The error, or 0.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<KafkaString>,
}

impl DeleteGroupsResponseData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != MESSAGES {
            let older = codec::DeleteGroupsResponseData::read(body, version)?;
            let results = older
                .results
                .into_iter()
                .map(|result| DeletableGroupResult {
                    group_id: result.group_id,
                    error_code: result.error_code,
                    error_message: None,
                });
            return Ok(Self {
                throttle_time_ms: older.throttle_time_ms,
                results: results.collect(),
            });
        }
        let response = Self {
            throttle_time_ms: read_i32(body)?,
            results: read_array(body, |body| {
                let result = DeletableGroupResult {
                    group_id: read_compact_string(body)?,
                    error_code: read_i16(body)?,
                    error_message: read_compact_nullable_string(body)?,
                };
                skip_tagged_fields(body)?;
                Ok(result)
            })?,
        };
        skip_tagged_fields(body)?;
        Ok(response)
    }

    /// Encodes the body. Versions before 3 do not have the messages.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != MESSAGES {
            let results = self
                .results
                .iter()
                .map(|result| codec::DeletableGroupResult {
                    group_id: result.group_id.clone(),
                    error_code: result.error_code,
                    ..codec::DeletableGroupResult::default()
                });
            let older = codec::DeleteGroupsResponseData {
                throttle_time_ms: self.throttle_time_ms,
                results: results.collect(),
                ..codec::DeleteGroupsResponseData::default()
            };
            return older.write(out, version);
        }
        write_i32(out, self.throttle_time_ms);
        write_array(out, &self.results, |out, result| {
            write_compact_string(out, &result.group_id)?;
            write_i16(out, result.error_code);
            write_compact_nullable_string(out, result.error_message.as_ref())?;
            write_no_tagged_fields(out)
        })?;
        write_no_tagged_fields(out)
    }
}
