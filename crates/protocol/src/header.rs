//! The header before every request (versions 1 and 2).

use bytes::{BufMut, Bytes, BytesMut};
use kacrab_protocol::generated::RequestHeaderData;
use kacrab_protocol::tagged::read_tagged_fields;
use kacrab_protocol::{KafkaString, ProtocolError};

use crate::ApiKey;
use crate::newer::request_header_version;

/// A request's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub key: ApiKey,
    /// The version, as sent; brokers may not support it.
    pub version: i16,
    /// The number that the response repeats.
    pub correlation_id: i32,
    /// `client.id`; for logs and quotas, never for authorization.
    pub client_id: Option<KafkaString>,
}

/// A header that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The API does not exist.
    #[error("API key {key} (version {version}) is unknown")]
    UnknownApi {
        /// The key as sent.
        key: i16,
        /// The version as sent.
        version: i16,
    },
    /// The bytes are not a header.
    #[error("its header is malformed: {0}")]
    Malformed(#[from] ProtocolError),
}

impl RequestHeader {
    /// Reads the header and leaves the body in `frame`.
    ///
    /// # Errors
    /// When the API does not exist or the header is malformed.
    pub fn decode(frame: &mut Bytes) -> Result<Self, HeaderError> {
        let (key, version) = match frame.get(..4) {
            Some(start) => (
                i16::from_be_bytes([start[0], start[1]]),
                i16::from_be_bytes([start[2], start[3]]),
            ),
            // Too short for a header: the codec returns the error.
            None => (0, 0),
        };
        let Some(api) = ApiKey::from_i16(key) else {
            return Err(HeaderError::UnknownApi { key, version });
        };
        let header_version = request_header_version(api, version);
        let data = match with_readable_client_id(frame) {
            None => RequestHeaderData::read(frame, header_version)?,
            Some((mut start, mut rest)) => {
                let data = RequestHeaderData::read(&mut start, 1)?;
                if header_version > 1 {
                    read_tagged_fields(&mut rest).map_err(ProtocolError::from)?;
                }
                *frame = rest;
                data
            }
        };
        Ok(Self {
            key: api,
            version,
            correlation_id: data.correlation_id,
            client_id: data.client_id,
        })
    }
}

/// Where the client's id begins, behind its length.
const CLIENT_ID_AT: usize = 10;

/// Replaces what is not UTF-8 in the client's id, as Kafka does: returns the header up to this id,
/// and the rest of the frame. `None` when there is nothing to replace.
fn with_readable_client_id(frame: &Bytes) -> Option<(Bytes, Bytes)> {
    let length = frame.get(CLIENT_ID_AT - 2..CLIENT_ID_AT)?;
    let length = usize::try_from(i16::from_be_bytes([length[0], length[1]])).ok()?;
    let id = frame.get(CLIENT_ID_AT..CLIENT_ID_AT + length)?;
    if std::str::from_utf8(id).is_ok() {
        return None;
    }
    let readable = String::from_utf8_lossy(id);
    let mut start = BytesMut::from(&frame[..CLIENT_ID_AT - 2]);
    start.put_i16(i16::try_from(readable.len()).ok()?);
    start.put_slice(readable.as_bytes());
    Some((start.freeze(), frame.slice(CLIENT_ID_AT + length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flexible_header_is_read_with_its_tagged_fields() {
        // Metadata v9, correlation id 7, client id "c", one tagged field, then the body 0xAA.
        let mut frame =
            Bytes::from_static(&[0, 3, 0, 9, 0, 0, 0, 7, 0, 1, b'c', 1, 5, 2, 1, 2, 0xaa]);
        let header = RequestHeader::decode(&mut frame).unwrap();
        assert_eq!(header.key, ApiKey::Metadata);
        assert_eq!(header.version, 9);
        assert_eq!(header.correlation_id, 7);
        assert_eq!(header.client_id.unwrap().as_str(), "c");
        assert_eq!(&frame[..], [0xaa]);
    }

    #[test]
    fn a_client_id_that_is_not_utf_8_is_made_readable() {
        let mut frame =
            Bytes::from_static(&[0, 3, 0, 9, 0, 0, 0, 7, 0, 2, b'c', 0xef, 1, 5, 1, 1, 0xaa]);
        let header = RequestHeader::decode(&mut frame).unwrap();
        assert_eq!(header.client_id.unwrap().as_str(), "c\u{fffd}");
        assert_eq!(&frame[..], [0xaa]);
        let mut old = Bytes::from_static(&[0, 3, 0, 8, 0, 0, 0, 7, 0, 1, 0xef, 0xaa]);
        let header = RequestHeader::decode(&mut old).unwrap();
        assert_eq!(header.client_id.unwrap().as_str(), "\u{fffd}");
        assert_eq!(&old[..], [0xaa]);
    }

    #[test]
    fn an_unknown_api_is_named() {
        let mut frame = Bytes::from_static(&[0x03, 0xe7, 0, 1, 0, 0, 0, 7, 0xff, 0xff]);
        let error = RequestHeader::decode(&mut frame).unwrap_err();
        assert_eq!(error.to_string(), "API key 999 (version 1) is unknown");
    }
}
