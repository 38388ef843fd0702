//! UnregisterController, request, version 0:
//!
//! ```json
//! { "name": "ControllerId", "type": "int32", "versions": "0+" }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::ProtocolError;
use kacrab_protocol::primitives::{read_i32, write_i32};

use super::{only_version_0, skip_tagged_fields, write_no_tagged_fields};
use crate::ApiKey;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnregisterControllerRequestData {
    /// The controller.
    pub controller_id: i32,
}

impl UnregisterControllerRequestData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        only_version_0(ApiKey::UnregisterController, version)?;
        let request = Self {
            controller_id: read_i32(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(request)
    }

    /// Encodes the body.
    ///
    /// # Errors
    /// When the version does not exist.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        only_version_0(ApiKey::UnregisterController, version)?;
        write_i32(out, self.controller_id);
        write_no_tagged_fields(out)
    }
}
