//! A row of the table of APIs: what the pipeline needs to serve one API.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_model::acl::{Operation, ResourceType};
use dohle_network::connection::ResponseAction;
use dohle_protocol::messages::api_versions_response::ApiVersion;
use dohle_protocol::{ApiKey, DecodeError, Request};

use super::quotas::ThrottleClass;
use super::request::Call;
use super::respond::{IntoResponse, Respond};
use super::usage::Usage;

/// A row of the table of APIs.
#[derive(Debug)]
pub(crate) struct Api {
    /// The API.
    pub key: ApiKey,
    /// The lowest version that is advertised.
    pub version_min: i16,
    /// The highest version that is advertised and served.
    pub version_max: i16,
    /// Whether the version after `version_max` is served where `unstable.api.versions.enable` is
    /// set.
    pub has_unstable_version: bool,
    /// Whether the API may be used before the client is authenticated.
    pub before_authentication: bool,
    /// Whether the client's further requests may begin while this one waits.
    pub pipelined: bool,
    /// The operations that the API's handler asks the authorizer for, by type of resource.
    ///
    /// Source: "Operations and resources on protocols" in Kafka's documentation, and the questions
    /// in `KafkaApis.scala` and `ControllerApis.scala`, which the documentation does not list all.
    pub access: &'static [(ResourceType, Operation)],
    /// The quota that the API's requests count towards.
    pub throttle: ThrottleClass,
    /// Decodes a request and begins to serve it.
    pub handler: Handler,
}

/// The handler in a row of the table: decodes a request, and begins to serve it.
pub(crate) type Handler = fn(Call, Bytes) -> Result<Serving, DecodeError>;

/// A request that is being served.
pub(crate) struct Serving {
    /// The response to come.
    pub answer: Pin<Box<dyn Future<Output = ResponseAction> + Send>>,
    /// Whether the client's further requests wait for this response.
    pub blocks_pipeline: bool,
}

impl Api {
    /// Returns the highest version that a broker advertises and serves; `unstable` is
    /// `unstable.api.versions.enable`.
    #[must_use]
    pub fn newest(&self, unstable: bool) -> i16 {
        self.version_max + i16::from(unstable && self.has_unstable_version)
    }

    /// Decodes a request and begins to serve it.
    ///
    /// # Errors
    /// When the body is not a request of this API and version.
    pub(super) fn serve(&self, call: Call, body: Bytes) -> Result<Serving, DecodeError> {
        (self.handler)(call, body)
    }

    /// Returns the row as ApiVersions lists it.
    pub fn advertised(&self, unstable: bool) -> ApiVersion {
        ApiVersion {
            api_key: self.key as i16,
            min_version: self.version_min,
            max_version: self.newest(unstable),
            ..ApiVersion::default()
        }
    }
}

/// Decodes a request, and begins to serve it with `handler`.
///
/// # Errors
/// When the body is not a request of this type.
pub(crate) fn serve<R, H, B>(call: Call, body: Bytes, handler: H) -> Result<Serving, DecodeError>
where
    R: Request,
    H: FnOnce(Call, R) -> B,
    B: IntoResponse,
{
    let (version, correlation_id) = (call.version, call.request.correlation_id);
    let connection = Arc::clone(&call.connection);
    let usage = Usage::of(&call);
    let began = usage.as_ref().map(|_| Instant::now());
    let request = R::decode(body, version)?;
    let (response, blocks_pipeline) = handler(call, request).into_response();
    let mut spent = began.map(|began| began.elapsed());
    let answer = Box::pin(async move {
        let mut response = pin!(response);
        let mut response = poll_fn(|cx| match &mut spent {
            None => response.as_mut().poll(cx),
            Some(spent) => {
                let began = Instant::now();
                let polled = response.as_mut().poll(cx);
                *spent += began.elapsed();
                polled
            }
        })
        .await;
        let mut throttle_time = Duration::ZERO;
        if let (Some(usage), Some(spent)) = (usage, spent) {
            throttle_time = usage.record(&mut response, spent);
        }
        // The handler, or the active controller, may have set a longer time.
        let reported = response.throttle_time_ms().map_or(0, |field| *field);
        let reported = Duration::from_millis(u64::try_from(reported).unwrap_or(0));
        connection.throttle(R::KEY, throttle_time.max(reported));
        match response.answer(version, correlation_id) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(api = ?R::KEY, version, "{error}");
                ResponseAction::Close(format!("{:?} version {version}: {error}", R::KEY))
            }
        }
    });
    Ok(Serving {
        answer,
        blocks_pipeline,
    })
}
