//! Messages of Apache Kafka 4.4 that the codec does not have, one file an API.
//!
//! Each struct covers all versions of its message: it calls the codec for those that the codec has,
//! and encodes and decodes the new one itself, with the codec's primitives. A struct goes when a
//! release of the codec has its version (decision 0210). [`crate::messages`] exports the structs in
//! place of the codec's.

pub mod api_versions_request;
pub mod delete_groups_response;
pub mod streams_group_describe_request;
pub mod streams_group_describe_response;
pub mod streams_group_heartbeat_response;
pub mod streams_group_topology_description_update_request;
pub mod streams_group_topology_description_update_response;
pub mod topology_description;
pub mod txn_offset_commit_request;
pub mod txn_offset_commit_response;
pub mod unregister_controller_request;
pub mod unregister_controller_response;

use bytes::{Bytes, BytesMut};
use kacrab_protocol::primitives::{
    array_read_capacity, read_compact_array_length, write_compact_array_length,
};
use kacrab_protocol::tagged::{read_tagged_fields, write_tagged_fields};
use kacrab_protocol::version::UnsupportedVersion;
use kacrab_protocol::{ProtocolError, version};

use crate::api_key::{ApiKey, client_api_info};

/// Returns the newest version of an API that this crate encodes and decodes.
#[must_use]
pub fn newest_version(key: ApiKey) -> i16 {
    match key {
        ApiKey::ApiVersions => 5,
        ApiKey::DeleteGroups => 3,
        ApiKey::StreamsGroupDescribe | ApiKey::StreamsGroupHeartbeat => 1,
        ApiKey::StreamsGroupTopologyDescriptionUpdate | ApiKey::UnregisterController => 0,
        ApiKey::TxnOffsetCommit => 6,
        key => client_api_info(key).max_version,
    }
}

/// Returns the version in which the codec has a request with the bytes of this version.
pub(crate) fn request_version(key: ApiKey, version: i16) -> i16 {
    match (key, version) {
        // Only the response differs.
        (ApiKey::DeleteGroups, 3) => 2,
        (ApiKey::StreamsGroupHeartbeat, 1) => 0,
        _ => version,
    }
}

/// Returns the version in which the codec has a response with the bytes of this version.
pub(crate) fn response_version(key: ApiKey, version: i16) -> i16 {
    match (key, version) {
        // Only the request differs.
        (ApiKey::ApiVersions, 5) => 4,
        _ => version,
    }
}

/// Returns the version of a request's header. Versions that the codec does not have yet have the
/// header of the newest one that it has.
pub(crate) fn request_header_version(key: ApiKey, version: i16) -> i16 {
    match client_api_info(key).max_version {
        // The codec lacks the API, all of whose versions have compact lengths and tagged fields.
        ..0 => 2,
        _ => version::request_header_version(key as i16, known_to_codec(key, version)),
    }
}

/// Returns the version of a response's header.
pub(crate) fn response_header_version(key: ApiKey, version: i16) -> i16 {
    match client_api_info(key).max_version {
        ..0 => 1,
        _ => version::response_header_version(key as i16, known_to_codec(key, version)),
    }
}

fn known_to_codec(key: ApiKey, version: i16) -> i16 {
    version.min(client_api_info(key).max_version)
}

/// Reads an array of a flexible version.
fn read_array<T>(
    body: &mut Bytes,
    read: impl FnMut(&mut Bytes) -> Result<T, ProtocolError>,
) -> Result<Vec<T>, ProtocolError> {
    Ok(read_nullable_array(body, read)?.unwrap_or_default())
}

/// Writes an array of a flexible version.
fn write_array<T>(
    out: &mut BytesMut,
    items: &[T],
    mut write: impl FnMut(&mut BytesMut, &T) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    write_compact_array_length(out, i32::try_from(items.len()).unwrap_or(i32::MAX));
    items.iter().try_for_each(|item| write(out, item))
}

/// Reads an array of a flexible version that may be null.
fn read_nullable_array<T>(
    body: &mut Bytes,
    mut read: impl FnMut(&mut Bytes) -> Result<T, ProtocolError>,
) -> Result<Option<Vec<T>>, ProtocolError> {
    let length = read_compact_array_length(body)?;
    if length < 0 {
        return Ok(None);
    }
    let mut items = Vec::with_capacity(array_read_capacity(length, body.len()));
    for _ in 0..length {
        items.push(read(body)?);
    }
    Ok(Some(items))
}

/// Writes an array of a flexible version that may be null.
fn write_nullable_array<T>(
    out: &mut BytesMut,
    items: Option<&Vec<T>>,
    write: impl FnMut(&mut BytesMut, &T) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    match items {
        Some(items) => write_array(out, items, write),
        None => {
            write_compact_array_length(out, -1);
            Ok(())
        }
    }
}

/// Refuses versions of an API that has version 0 alone.
fn only_version_0(key: ApiKey, version: i16) -> Result<(), ProtocolError> {
    match version {
        0 => Ok(()),
        _ => Err(UnsupportedVersion::new(key as i16, version).into()),
    }
}

/// Reads tagged fields, none of which is known.
fn skip_tagged_fields(body: &mut Bytes) -> Result<(), ProtocolError> {
    read_tagged_fields(body)?;
    Ok(())
}

fn write_no_tagged_fields(out: &mut BytesMut) -> Result<(), ProtocolError> {
    write_tagged_fields(out, &[])?;
    Ok(())
}

#[cfg(test)]
mod tests;
