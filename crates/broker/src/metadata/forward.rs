//! Sends administrative requests to the active controller as Kafka messages.

use std::time::Duration;

use bytes::Bytes;
use dohle_model::{MetadataOffset, NodeId};
use dohle_protocol::forward::{decode_body, encode_request};
use dohle_protocol::{Forwarded, KafkaUuid, uuid_bytes};
use dohle_rpc::v1;
use dohle_rpc::v1::controller_client::ControllerClient as Stub;
use dohle_rpc::v1::forward_response::Result as Forwarding;
use tokio::time::Instant;
use tonic::Response;
use tonic::transport::Channel;

use super::client::{ControllerClient, ControllerError};

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The authenticated principal, such as `User:ANONYMOUS`.
    pub principal: String,
    /// The name of the listener on which the request came in; empty for the broker itself.
    pub listener: String,
    /// Host and port of the client; empty for the broker itself.
    pub client_address: String,
    /// `client.id`; empty for none.
    pub client_id: String,
    /// The version of the request that the client sent; 0 for the broker itself.
    pub api_version: i16,
}

/// The response of the active controller.
#[derive(Debug)]
pub struct ForwardedResponse<R> {
    /// The offset of the change: a broker whose metadata have reached it sees the change.
    pub offset: MetadataOffset,
    /// Kafka's response.
    pub response: R,
}

impl ControllerClient {
    /// Forwards an administrative request to the active controller.
    ///
    /// # Errors
    /// When the deadline comes before an answer, the call itself is refused, or the active
    /// controller serves no version of the API that this broker has.
    pub async fn forward<R: Forwarded>(
        &self,
        request: &R,
        sender: &Sender,
        deadline: Instant,
    ) -> Result<ForwardedResponse<R::Response>, ControllerError> {
        // Fails only when 64 random ids in a row were reserved ones.
        let id =
            KafkaUuid::random().map_err(|error| ControllerError::Refused(error.to_string()))?;
        let mut version = *R::VERSIONS.end();
        loop {
            let body = encode_request(request, version).map_err(|error| {
                let reason = format!("the request cannot be sent in version {version}: {error}");
                unsupported::<R>(&reason)
            })?;
            let message = v1::ForwardRequest {
                api_key: i32::from(R::KEY as i16),
                api_version: i32::from(version),
                body,
                request_id: Bytes::copy_from_slice(&uuid_bytes(id)),
                sender: Some(sender.to_wire()),
                timeout_ms: 0,
            };
            let attempt = |mut stub: Stub<Channel>| {
                let mut message = message.clone();
                message.timeout_ms = millis(deadline.saturating_duration_since(Instant::now()));
                async move { stub.forward(message).await.map(Response::into_inner) }
            };
            match self.call(deadline, attempt).await?.result {
                Some(Forwarding::Response(answer)) => {
                    let response = decode_body(answer.body, version).map_err(|error| {
                        let api = R::KEY;
                        ControllerError::Refused(format!("its {api:?} response: {error}"))
                    })?;
                    return Ok(ForwardedResponse {
                        offset: MetadataOffset(answer.offset),
                        response,
                    });
                }
                Some(Forwarding::Versions(served)) => {
                    version = older_version::<R>(version, &served)?;
                }
                None => return Err(ControllerError::Refused("its response is empty".to_owned())),
            }
        }
    }
}

impl Sender {
    /// Returns the sender of requests that a broker makes for itself.
    #[must_use]
    pub fn broker(node: NodeId) -> Self {
        Self {
            principal: "User:ANONYMOUS".to_owned(),
            listener: String::new(),
            client_address: String::new(),
            client_id: format!("broker-{node}"),
            api_version: 0,
        }
    }

    fn to_wire(&self) -> v1::ForwardSender {
        v1::ForwardSender {
            principal: self.principal.clone(),
            listener: self.listener.clone(),
            client_address: self.client_address.clone(),
            client_id: self.client_id.clone(),
            api_version: i32::from(self.api_version),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the newest version below `refused` that both the broker and the controller have.
fn older_version<R: Forwarded>(
    refused: i16,
    served: &v1::ForwardVersions,
) -> Result<i16, ControllerError> {
    let older = (*R::VERSIONS.start()..refused).rev();
    let mut common = older.filter(|version| (served.min..=served.max).contains(&(*version).into()));
    common.next().ok_or_else(|| {
        let (min, max) = (R::VERSIONS.start(), R::VERSIONS.end());
        unsupported::<R>(&if served.min > served.max {
            "it does not have this API".to_owned()
        } else {
            format!(
                "it serves versions {} to {}, this broker forwards versions {min} to {max}",
                served.min, served.max
            )
        })
    })
}

fn unsupported<R: Forwarded>(reason: &str) -> ControllerError {
    ControllerError::Unsupported(format!(
        "the active controller is of another release and does not serve this {:?} request: \
         {reason}; bring all nodes to the same release",
        R::KEY
    ))
}
