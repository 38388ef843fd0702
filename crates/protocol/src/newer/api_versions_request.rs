//! ApiVersions, request. Version 5 adds (KIP-1242):
//!
//! ```json
//! { "name": "ClusterId", "type": "string", "versions": "5+", "nullableVersions": "5+",
//!   "default": "null", "ignorable": true },
//! { "name": "NodeId", "type": "int32", "versions": "5+", "default": -1, "ignorable": true }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::api_versions_request as codec;
use kacrab_protocol::primitives::{read_i32, write_i32};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{skip_tagged_fields, write_no_tagged_fields};

const NODE: i16 = 5;

/// The request.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiVersionsRequestData {
    /// The name of the client.
    pub client_software_name: KafkaString,
    /// The version of the client.
    pub client_software_version: KafkaString,
    /// The cluster that the client intends to connect to.
    pub cluster_id: Option<KafkaString>,
    /// The node that the client intends to connect to; -1 for any node.
    pub node_id: i32,
}

impl Default for ApiVersionsRequestData {
    fn default() -> Self {
        Self {
            client_software_name: KafkaString::default(),
            client_software_version: KafkaString::default(),
            cluster_id: None,
            node_id: -1,
        }
    }
}

impl ApiVersionsRequestData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != NODE {
            let older = codec::ApiVersionsRequestData::read(body, version)?;
            return Ok(Self {
                client_software_name: older.client_software_name,
                client_software_version: older.client_software_version,
                ..Self::default()
            });
        }
        let request = Self {
            client_software_name: read_compact_string(body)?,
            client_software_version: read_compact_string(body)?,
            cluster_id: read_compact_nullable_string(body)?,
            node_id: read_i32(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(request)
    }

    /// Encodes the body. Versions before 5 do not have the ids.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != NODE {
            let older = codec::ApiVersionsRequestData {
                client_software_name: self.client_software_name.clone(),
                client_software_version: self.client_software_version.clone(),
                ..codec::ApiVersionsRequestData::default()
            };
            return older.write(out, version);
        }
        write_compact_string(out, &self.client_software_name)?;
        write_compact_string(out, &self.client_software_version)?;
        write_compact_nullable_string(out, self.cluster_id.as_ref())?;
        write_i32(out, self.node_id);
        write_no_tagged_fields(out)
    }
}
