//! Forward: serves administrative requests that brokers forward as Kafka messages.
//!
//! The table has a row for each API, with the versions that are served and the function that plans
//! the request.

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::{MetadataOffset, Uuid};
use dohle_protocol::forward::encode_body;
use dohle_protocol::messages as kafka;
use dohle_protocol::{ApiKey, Forwarded, Request, Response};
use dohle_rpc::v1;
use dohle_rpc::v1::forward_response::Result as Forwarding;
use tokio::time::Instant;
use tonic::Status;

use super::mutations::MutationAccount;
use super::{Inner, quorum};
use crate::clock;
use crate::plan::delegation_tokens::TokenRequest;
use crate::plan::{self, Draft};

/// A row of the table.
struct Row {
    key: ApiKey,
    versions: RangeInclusive<i16>,
    serve: Serve,
}

type Serving = Pin<Box<dyn Future<Output = Result<v1::ForwardedResponse, Status>> + Send>>;
type Serve = fn(Arc<Inner>, v1::ForwardRequest) -> Serving;

macro_rules! table {
    ($($request:ident: $how:ident($what:expr);)*) => {
        &[$(Row {
            key: kafka::$request::KEY,
            versions: kafka::$request::VERSIONS,
            serve: |inner, request| Box::pin($how::<kafka::$request, _>(inner, request, $what)),
        }),*]
    };
}

/// The administrative APIs. `id` is the id of the request, from which the ids of what it creates
/// derive.
static TABLE: &[Row] = table! {
    CreateTopicsRequestData: planned(plan::create_topics::create);
    DeleteTopicsRequestData:
        planned(|draft, request, _id| plan::delete_topics::delete(draft, request));
    CreatePartitionsRequestData:
        planned(|draft, request, _id| plan::create_partitions::create(draft, request));
    AlterConfigsRequestData: planned(|draft, request, _id| plan::configs::replace(draft, request));
    IncrementalAlterConfigsRequestData:
        planned(|draft, request, _id| plan::configs::alter(draft, request));
    ElectLeadersRequestData: planned(|draft, request, _id| {
        plan::leaders::elect(draft, request).unwrap_or_else(|error| plan::leaders::refused(&error))
    });
    AlterPartitionReassignmentsRequestData:
        planned(|draft, request, _id| plan::reassignments::alter(draft, request));
    UnregisterBrokerRequestData:
        planned(|draft, request, _id| plan::brokers::forget(draft, request));
    UnregisterControllerRequestData:
        planned(|draft, request, _id| plan::controllers::unregister(draft, request));
    UpdateFeaturesRequestData:
        planned(|draft, request, _id| plan::features::update(draft, request));
    CreateAclsRequestData: planned(plan::acls::create);
    DeleteAclsRequestData:
        planned(|draft, request, _id| plan::acls::delete(draft, request));
    AlterUserScramCredentialsRequestData:
        planned(|draft, request, _id| plan::scram::alter(draft, request));
    AlterClientQuotasRequestData:
        planned(|draft, request, _id| plan::client_quotas::alter(draft, request));
    CreateDelegationTokenRequestData: about_tokens(plan::delegation_tokens::create);
    RenewDelegationTokenRequestData: about_tokens(plan::delegation_tokens::renew);
    ExpireDelegationTokenRequestData: about_tokens(plan::delegation_tokens::expire);
    DescribeQuorumRequestData: read(quorum::describe);
};

/// Serves a request.
pub(super) async fn serve(
    inner: &Arc<Inner>,
    request: v1::ForwardRequest,
) -> Result<v1::ForwardResponse, Status> {
    let row = TABLE
        .iter()
        .find(|row| i32::from(row.key as i16) == request.api_key);
    let version = i16::try_from(request.api_version).unwrap_or(-1);
    log(&request);
    let result = match row {
        Some(row) if row.versions.contains(&version) => {
            Forwarding::Response((row.serve)(Arc::clone(inner), request).await?)
        }
        _ => {
            // The active controller may serve other versions, so an inactive one refuses first.
            inner.check_active()?;
            Forwarding::Versions(versions(row))
        }
    };
    Ok(v1::ForwardResponse {
        result: Some(result),
    })
}

fn log(request: &v1::ForwardRequest) {
    let sender = request.sender.as_ref();
    tracing::debug!(
        api = ?i16::try_from(request.api_key).ok().and_then(ApiKey::from_i16),
        version = request.api_version,
        principal = sender.map(|sender| sender.principal.as_str()),
        listener = sender.map(|sender| sender.listener.as_str()),
        client_address = sender.map(|sender| sender.client_address.as_str()),
        client_id = sender.map(|sender| sender.client_id.as_str()),
        "forwarded request"
    );
}

/// Returns the versions that a row serves: none for an API without a row.
fn versions(row: Option<&Row>) -> v1::ForwardVersions {
    let (min, max) = row.map_or((0, -1), |row| (*row.versions.start(), *row.versions.end()));
    v1::ForwardVersions {
        min: i32::from(min),
        max: i32::from(max),
    }
}

/// Plans a request and commits its records.
async fn planned<R, P>(
    inner: Arc<Inner>,
    request: v1::ForwardRequest,
    mut plan: P,
) -> Result<v1::ForwardedResponse, Status>
where
    R: Forwarded,
    P: FnMut(&mut Draft, &R, Uuid) -> R::Response + Send + 'static,
{
    let version = request.api_version as i16;
    let mut account = MutationAccount::new(&inner.mutations, R::KEY, request.sender.as_ref());
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
    let message = decode::<R>(&request)?;
    let id = <[u8; 16]>::try_from(&request.request_id[..]);
    let id = Uuid(id.map_err(|_| Status::invalid_argument("request_id does not have 16 bytes"))?);
    // A request that waited past its deadline is not planned, as in Kafka: its client no longer
    // waits.
    let plan = move |draft: &mut Draft| {
        (Instant::now() < deadline).then(|| match &mut account {
            None => (plan(draft, &message, id), None),
            Some(account) => account.charge(draft, |draft| plan(draft, &message, id)),
        })
    };
    let (offset, planned) = inner.plan(plan).await?;
    let late = || Status::deadline_exceeded("the request waited until its deadline");
    let (mut response, throttled) = planned.ok_or_else(late)?;
    if let (Some(throttled), Some(field)) = (throttled, response.throttle_time_ms()) {
        *field = throttled.rest_ms();
    }
    respond(offset, &response, version)
}

/// Plans a request about delegation tokens, which depends on its sender and the time.
async fn about_tokens<R, P>(
    inner: Arc<Inner>,
    request: v1::ForwardRequest,
    plan: P,
) -> Result<v1::ForwardedResponse, Status>
where
    R: Forwarded,
    P: Fn(&mut Draft, &R, TokenRequest<'_>) -> R::Response + Send + 'static,
{
    let sender = request.sender.as_ref();
    let sender = sender.ok_or_else(|| Status::invalid_argument("the request has no sender"))?;
    let principal = sender.principal.clone();
    let plan = move |draft: &mut Draft, message: &R, id: Uuid| {
        let by = TokenRequest {
            id,
            principal: &principal,
            now: clock::now(),
        };
        plan(draft, message, by)
    };
    planned(inner, request, plan).await
}

/// Answers a request that changes nothing, from this controller's state.
async fn read<R, F>(
    inner: Arc<Inner>,
    request: v1::ForwardRequest,
    read: fn(Arc<Inner>, R) -> F,
) -> Result<v1::ForwardedResponse, Status>
where
    R: Forwarded,
    F: Future<Output = Result<R::Response, Status>> + Send,
{
    let message = decode::<R>(&request)?;
    let response = read(inner, message).await?;
    respond(MetadataOffset(0), &response, request.api_version as i16)
}

fn decode<R: Request>(request: &v1::ForwardRequest) -> Result<R, Status> {
    R::read(&mut request.body.clone(), request.api_version as i16).map_err(|error| {
        Status::invalid_argument(format!("the body is not a {:?} request: {error}", R::KEY))
    })
}

fn respond<R: Response>(
    offset: MetadataOffset,
    response: &R,
    version: i16,
) -> Result<v1::ForwardedResponse, Status> {
    let body = encode_body(response, version)
        .map_err(|error| Status::internal(format!("{:?}: {error}", R::KEY)))?;
    Ok(v1::ForwardedResponse {
        offset: offset.0,
        body,
    })
}
