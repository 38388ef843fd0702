//! Administrative requests, which brokers forward to the active controller as Kafka messages.
//!
//! A broker decodes the version that its client sent and encodes the request again in one version,
//! the newest that its release has, so that the controller plans one version. Releases that run
//! side by side agree on the newest version that both have: a controller that does not serve a
//! version reports the versions that it serves, and the broker encodes the request in the newest of
//! them.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};

use crate::DecodeError;
use crate::message::{EncodeError, Request, Response};
use crate::messages as wire;

/// A request that brokers forward to the active controller.
pub trait Forwarded: Request {
    /// The versions in which this release forwards and serves the request: from the newest version
    /// of the previous release to the newest of this one.
    const VERSIONS: RangeInclusive<i16>;
}

macro_rules! forwarded {
    ($($request:ident $min:literal..=$max:literal;)*) => {
        $(
            impl Forwarded for wire::$request {
                const VERSIONS: RangeInclusive<i16> = $min..=$max;
            }
        )*
    };
}

forwarded! {
    CreateTopicsRequestData 7..=7;
    CreatePartitionsRequestData 3..=3;
    DeleteTopicsRequestData 6..=6;
    ElectLeadersRequestData 2..=2;
    AlterPartitionReassignmentsRequestData 1..=1;
    UnregisterBrokerRequestData 0..=0;
    AlterConfigsRequestData 2..=2;
    IncrementalAlterConfigsRequestData 1..=1;
    AlterUserScramCredentialsRequestData 0..=0;
    AlterClientQuotasRequestData 1..=1;
    CreateDelegationTokenRequestData 3..=3;
    RenewDelegationTokenRequestData 2..=2;
    ExpireDelegationTokenRequestData 2..=2;
    DescribeQuorumRequestData 2..=2;
    UpdateFeaturesRequestData 2..=2;
    CreateAclsRequestData 3..=3;
    DeleteAclsRequestData 3..=3;
    UnregisterControllerRequestData 0..=0;
}

/// Encodes the body of a request.
///
/// # Errors
/// When a field is set that does not exist in this version.
pub fn encode_request<R: Request>(request: &R, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    request.write(&mut out, version)?;
    Ok(out.freeze())
}

/// Encodes the body of a response.
///
/// # Errors
/// When a field is set that does not exist in this version.
pub fn encode_body<R: Response>(response: &R, version: i16) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::new();
    response.write(&mut out, version)?;
    Ok(out.freeze())
}

/// Decodes the body of a response.
///
/// # Errors
/// When the bytes are not such a response in this version.
pub fn decode_body<R: Response>(mut body: Bytes, version: i16) -> Result<R, DecodeError> {
    Ok(R::read(&mut body, version)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KafkaString;
    use crate::messages::create_partitions_request::CreatePartitionsTopic;

    #[test]
    fn a_forwarded_request_and_its_response_survive_the_way() {
        let request = wire::CreatePartitionsRequestData {
            topics: vec![CreatePartitionsTopic {
                name: KafkaString::from("t".to_owned()),
                count: 7,
                ..CreatePartitionsTopic::default()
            }],
            validate_only: true,
            ..wire::CreatePartitionsRequestData::default()
        };
        for version in wire::CreatePartitionsRequestData::VERSIONS {
            let body = encode_request(&request, version).unwrap();
            let decoded = wire::CreatePartitionsRequestData::decode(body, version).unwrap();
            assert_eq!(decoded, request);
            let response = wire::CreatePartitionsResponseData::default();
            let body = encode_body(&response, version).unwrap();
            assert_eq!(
                decode_body::<wire::CreatePartitionsResponseData>(body, version).unwrap(),
                response
            );
        }
    }
}
