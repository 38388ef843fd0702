//! The header before every request (versions 1 and 2).

use bytes::Bytes;
use kacrab_protocol::generated::{ApiKey, RequestHeaderData};
use kacrab_protocol::version::request_header_version;
use kacrab_protocol::{KafkaString, ProtocolError};

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
        let data = RequestHeaderData::read(frame, request_header_version(key, version))?;
        Ok(Self {
            key: api,
            version,
            correlation_id: data.correlation_id,
            client_id: data.client_id,
        })
    }
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
    fn an_unknown_api_is_named() {
        let mut frame = Bytes::from_static(&[0x03, 0xe7, 0, 1, 0, 0, 0, 7, 0xff, 0xff]);
        let error = RequestHeader::decode(&mut frame).unwrap_err();
        assert_eq!(error.to_string(), "API key 999 (version 1) is unknown");
    }
}
