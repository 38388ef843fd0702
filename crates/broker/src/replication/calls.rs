//! Serves Kafka requests of other brokers (`Replication.Call`). The crates above provide the
//! handlers, since they have the state that the requests are about.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_auth::NodePeer;
use dohle_model::{BrokerEpoch, NodeId};
use dohle_protocol::InterBroker;
use dohle_protocol::forward::encode_body;
use dohle_rpc::replication_transport::{EndStatus, Framed, Messages};
use dohle_rpc::v1;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use prost::Message;
use tokio::time::timeout;

use super::hello::{check_hello, code};
use crate::partitions::Partitions;

/// The largest request: markers for a million partitions.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

type Handler =
    Box<dyn Fn(NodeId, Call) -> BoxFuture<'static, Result<Bytes, EndStatus>> + Send + Sync>;

struct Call {
    version: i16,
    body: Bytes,
}

struct Registered {
    versions: RangeInclusive<i16>,
    handle: Handler,
}

/// The requests of other brokers that this broker serves, each with its handler.
#[derive(Default)]
pub struct BrokerRequestHandlers {
    by_key: HashMap<i16, Registered>,
}

impl fmt::Debug for BrokerRequestHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_key.keys()).finish()
    }
}

impl BrokerRequestHandlers {
    /// Serves requests of type `R` with `handle`, which gets the broker that sent a request.
    #[must_use]
    pub fn on<R, F>(mut self, handle: impl Fn(NodeId, R) -> F + Send + Sync + 'static) -> Self
    where
        R: InterBroker,
        F: Future<Output = R::Response> + Send + 'static,
    {
        let handle: Handler = Box::new(move |from, call| {
            let version = call.version;
            let request = match R::decode(call.body, version) {
                Ok(request) => request,
                Err(error) => {
                    let refused = status(code::INVALID_ARGUMENT, error.to_string());
                    return Box::pin(std::future::ready(Err(refused)));
                }
            };
            let response = handle(from, request);
            Box::pin(async move {
                let body = encode_body(&response.await, version);
                body.map_err(|error| status(code::UNIMPLEMENTED, error.to_string()))
            })
        });
        let versions = R::VERSIONS;
        let registered = Registered { versions, handle };
        self.by_key.insert(R::KEY as i16, registered);
        self
    }
}

fn status(code: u16, message: impl Into<String>) -> EndStatus {
    EndStatus {
        code,
        message: message.into(),
    }
}

/// Reads the request of a call and answers it.
pub(super) async fn serve(
    partitions: &Arc<Partitions>,
    handlers: &BrokerRequestHandlers,
    peer: &NodePeer,
    body: Incoming,
) -> Result<Framed, EndStatus> {
    let invalid = |text: String| status(code::INVALID_ARGUMENT, text);
    let mut messages = Messages::new(body, REQUEST_BYTES_MAX);
    let message = timeout(REQUEST_TIMEOUT, messages.message()).await;
    let message = message.map_err(|_| invalid("no request arrived".to_owned()))?;
    let message = message.map_err(|error| invalid(error.to_string()))?;
    let message = message.ok_or_else(|| invalid("no request arrived".to_owned()))?;
    let request = v1::CallRequest::decode(message).map_err(|error| invalid(error.to_string()))?;
    let hello = request.hello.unwrap_or_default();
    let from = NodeId(hello.broker_id);
    let epoch = BrokerEpoch::from_wire(hello.broker_epoch);
    check_hello(partitions, peer, &hello.cluster_id, from, epoch)?;
    let (key, version) = (request.api_key, request.api_version);
    let handler = i16::try_from(key)
        .ok()
        .and_then(|key| handlers.by_key.get(&key));
    let handler = handler.ok_or_else(|| {
        let message = format!("requests of API {key} are not served between brokers");
        status(code::UNIMPLEMENTED, message)
    })?;
    let result = match i16::try_from(version) {
        Ok(version) if handler.versions.contains(&version) => {
            let body = request.body;
            let body = (handler.handle)(from, Call { version, body }).await?;
            v1::call_response::Result::Body(body)
        }
        _ => v1::call_response::Result::Versions(v1::CallVersions {
            min: i32::from(*handler.versions.start()),
            max: i32::from(*handler.versions.end()),
        }),
    };
    let response = v1::CallResponse {
        result: Some(result),
    };
    Ok(Framed::message(&response))
}
