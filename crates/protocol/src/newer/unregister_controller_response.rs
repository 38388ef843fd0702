//! UnregisterController, response, version 0:
//!
//! ```json
//! { "name": "ThrottleTimeMs", "type": "int32", "versions": "0+" },
//! { "name": "ErrorCode", "type": "int16", "versions": "0+" },
//! { "name": "ErrorMessage", "type": "string", "versions": "0+", "nullableVersions": "0+" }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::primitives::{read_i16, read_i32, write_i16, write_i32};
use kacrab_protocol::string::{read_compact_nullable_string, write_compact_nullable_string};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{only_version_0, skip_tagged_fields, write_no_tagged_fields};
use crate::ApiKey;

/// The response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnregisterControllerResponseData {
    /// How long the request was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<KafkaString>,
}

impl UnregisterControllerResponseData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        only_version_0(ApiKey::UnregisterController, version)?;
        let response = Self {
            throttle_time_ms: read_i32(body)?,
            error_code: read_i16(body)?,
            error_message: read_compact_nullable_string(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(response)
    }

    /// Encodes the body.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        only_version_0(ApiKey::UnregisterController, version)?;
        write_i32(out, self.throttle_time_ms);
        write_i16(out, self.error_code);
        write_compact_nullable_string(out, self.error_message.as_ref())?;
        write_no_tagged_fields(out)
    }
}
