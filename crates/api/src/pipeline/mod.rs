//! The pipeline that every request passes: authenticate, throttle, measure, authorize, serve.
//!
//! [`KafkaConnection::serve`] is the whole of it. Each stage decides from the API's row in the
//! table and the request's context; the handler authorizes, since what is asked, and which field of
//! the response has the refusal, depend on the resources that the request names (`authorize.rs`).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_auth::{Authorizer, Principal};
use dohle_model::ErrorCode;
use dohle_network::connection::{
    self, Authenticated, Client, Malformed, MemoryPermit, Pending, RequestTag, ResponseAction,
    StageTimes,
};
use dohle_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponseData};
use dohle_protocol::{ApiKey, FrameSizes, HeaderError, RequestHeader};
use dohle_telemetry::{Collect, Sample};
use tokio::time::Instant;

use crate::context::Context;

mod api;
mod authorize;
mod meter;
mod node_authentication;
mod quotas;
mod request;
mod respond;
mod sasl;
mod usage;

pub(crate) use api::{Api, serve};
pub(crate) use authorize::{CLUSTER, denial};
pub use node_authentication::NodeAuthentication;
#[cfg(test)]
pub(crate) use quotas::Unlimited;
pub(crate) use quotas::{QuotaClient, Quotas, ThrottleClass};
pub(crate) use request::{Authentication, Call, ClientSoftware, RequestContext};
pub(crate) use respond::{Ordered, Respond};
pub use sasl::{SaslConfig, SaslListener, TokenKeys};

use meter::RequestMeter;
use request::Connection;
use sasl::{Accounts, Sasl, SaslStage};

/// Serves Kafka's protocol.
#[derive(Debug)]
pub struct KafkaService {
    node: Arc<Node>,
}

/// The state that all sessions of a node share.
#[derive(Debug)]
struct Node {
    table: &'static [Api],
    /// The APIs of the table, as ApiVersions lists them.
    advertised: Arc<[ApiVersion]>,
    context: Arc<Context>,
    authorizer: Arc<dyn Authorizer>,
    quotas: Arc<dyn Quotas>,
    sasl: Arc<Sasl>,
    meter: Arc<RequestMeter>,
}

impl KafkaService {
    /// Creates a service for the APIs of `table`.
    pub(crate) fn with(
        table: &'static [Api],
        context: Arc<Context>,
        authorizer: Arc<dyn Authorizer>,
        quotas: Arc<dyn Quotas>,
        sasl: Arc<SaslConfig>,
    ) -> Arc<Self> {
        let apis = table.iter();
        let apis = apis.map(|api| (api.key, api.version_min..=api.newest(true)));
        Arc::new(Self {
            node: Arc::new(Node {
                table,
                advertised: {
                    let unstable = context.config.unstable_api_versions_enable;
                    table.iter().map(|api| api.advertised(unstable)).collect()
                },
                context,
                authorizer,
                quotas,
                sasl: Sasl::new(sasl),
                meter: Arc::new(RequestMeter::new(apis)),
            }),
        })
    }
}

impl Collect for KafkaService {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        self.node.meter.collect(out);
        self.node.context.client_telemetry.collect(out);
    }
}

impl Node {
    fn accounts(&self) -> Accounts<'_> {
        Accounts {
            image: self.context.image(),
            delegation_tokens: &self.context.delegation_tokens,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for (api, version, requests) in self.meter.counts() {
            tracing::debug!(?api, version, requests, "requests served");
        }
    }
}

impl connection::Service for KafkaService {
    fn connect(&self, client: &Client) -> Box<dyn connection::ConnectionHandler> {
        let sasl = SaslStage::new(&self.node.sasl, client);
        let identified = || client.principal().cloned();
        let principal = match &sasl {
            Some(_) => None,
            None => Some(identified().unwrap_or_else(Principal::anonymous)),
        };
        Box::new(KafkaConnection {
            node: Arc::clone(&self.node),
            client: client.clone(),
            principal,
            sasl,
            connection: Arc::new(Connection::new(&self.node.meter)),
        })
    }
}

/// The requests of one connection.
struct KafkaConnection {
    node: Arc<Node>,
    client: Client,
    /// `None` until the client has authenticated.
    principal: Option<Principal>,
    /// The authentication of the connection; `None` on a listener without SASL.
    sasl: Option<SaslStage>,
    connection: Arc<Connection>,
}

impl connection::ConnectionHandler for KafkaConnection {
    fn call(&mut self, mut frame: Bytes, permit: MemoryPermit) -> Result<Pending, Malformed> {
        if let Some(sasl) = self.sasl.as_mut().filter(|sasl| sasl.expects_bare_token()) {
            let answer = sasl.on_bare_token(&frame, &self.node.accounts());
            self.principal = sasl.principal();
            return Ok(answer);
        }
        let header = decode_header(&mut frame)?;
        let (key, version) = (header.key, header.version);
        self.serve(header, frame, permit)
            .map_err(|reason| Malformed {
                api: format!("{key:?}"),
                version,
                reason,
            })
    }

    fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        let sasl = self.sasl.as_ref();
        sasl.map_or(configured, |sasl| sasl.frame_sizes(configured))
    }

    fn may_become_node(&self) -> Option<Authenticated> {
        self.sasl.as_ref()?.node()
    }

    fn on_sent(&mut self, row: usize, times: &StageTimes) {
        self.node.meter.sent(row, times);
    }

    fn take_throttle_time(&mut self) -> Duration {
        self.connection.take_throttle_time()
    }
}

fn decode_header(frame: &mut Bytes) -> Result<RequestHeader, Malformed> {
    RequestHeader::decode(frame).map_err(|error| {
        let (api, version) = match &error {
            HeaderError::UnknownApi { key, version } => (key.to_string(), *version),
            HeaderError::Malformed(_) => ("a request".into(), -1),
        };
        Malformed {
            api,
            version,
            reason: error.to_string(),
        }
    })
}

impl KafkaConnection {
    /// Takes a request through the pipeline.
    ///
    /// # Errors
    /// The reason for which the connection is closed instead.
    fn serve(
        &mut self,
        header: RequestHeader,
        body: Bytes,
        permit: MemoryPermit,
    ) -> Result<Pending, String> {
        let mut rows = self.node.table.iter().enumerate();
        let Some((row, api)) = rows.find(|(_, api)| api.key == header.key) else {
            return Err("the API is not served here".into());
        };
        let newest = api.newest(self.node.context.config.unstable_api_versions_enable);
        if !(api.version_min..=newest).contains(&header.version) {
            return unsupported(api, newest, &header);
        }
        if let Some(sasl) = &mut self.sasl {
            let answer = sasl.on_request(&header, &body, || self.node.accounts())?;
            self.principal = sasl.principal();
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        let request = self.authenticate(api, &header)?;
        self.node.meter.count(row, header.version, permit.bytes());
        let tag = RequestTag {
            number: row,
            received: request.received,
        };
        let call = Call {
            advertised: Arc::clone(&self.node.advertised),
            context: Arc::clone(&self.node.context),
            connection: Arc::clone(&self.connection),
            request,
            version: header.version,
            frame_bytes: permit.bytes(),
            permit: Some(permit),
            throttle_class: api.throttle,
            quotas: Arc::clone(&self.node.quotas),
            authorizer: Arc::clone(&self.node.authorizer),
            access: api.access,
        };
        let serving = api.serve(call, body).map_err(|error| error.to_string())?;
        Ok(Pending {
            answer: self.after_appends(api, serving.answer),
            pipelined: api.pipelined && !serving.blocks_pipeline,
            tag: Some(tag),
        })
    }

    /// Returns the sender of a request.
    fn authenticate(&self, api: &Api, header: &RequestHeader) -> Result<RequestContext, String> {
        let principal = match &self.principal {
            Some(principal) => principal.clone(),
            None if api.before_authentication => Principal::anonymous(),
            None => return Err("the client has not authenticated".into()),
        };
        let authentication = match &self.sasl {
            Some(sasl) if sasl.is_delegated() => Authentication::DelegationToken,
            Some(_) => Authentication::Sasl,
            None if principal == Principal::anonymous() => Authentication::None,
            None => Authentication::Certificate,
        };
        Ok(RequestContext {
            principal,
            authentication,
            listener: Arc::clone(&self.client.listener),
            client_address: self.client.peer,
            client_id: header.client_id.clone(),
            software: self.connection.software.get().cloned(),
            correlation_id: header.correlation_id,
            received: Instant::now(),
        })
    }

    /// Serves a request after the appends of the earlier produce requests of its connection.
    fn after_appends(&self, api: &Api, answer: PendingAnswer) -> PendingAnswer {
        if api.key == ApiKey::Produce || self.connection.appends.try_lock().is_ok() {
            return answer;
        }
        let connection = Arc::clone(&self.connection);
        let key = api.key;
        Box::pin(async move {
            let began = Instant::now();
            drop(connection.appends.lock().await);
            connection.meter.queued(key, began.elapsed());
            answer.await
        })
    }
}

type PendingAnswer = Pin<Box<dyn Future<Output = ResponseAction> + Send>>;

/// Answers a request of a version that is not served. Clients that are newer than the broker learn
/// its versions from an ApiVersions response of version 0 (KIP-511).
fn unsupported(api: &Api, newest: i16, header: &RequestHeader) -> Result<Pending, String> {
    if api.key != ApiKey::ApiVersions {
        let min = api.version_min;
        return Err(format!(
            "the version is not served here; versions {min} to {newest} are"
        ));
    }
    let response = ApiVersionsResponseData {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![api.advertised(false)],
        ..ApiVersionsResponseData::default()
    };
    let answer = response.answer(0, header.correlation_id);
    let answer = answer.map_err(|error| error.to_string())?;
    Ok(Pending {
        answer: Box::pin(std::future::ready(answer)),
        pipelined: false,
        tag: None,
    })
}

#[cfg(test)]
mod tests;
