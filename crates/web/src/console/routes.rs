//! The paths of the console, and what is answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use dohle_model::TopicName;
use serde::Serialize;
use serde_json::json;

use super::error::ApiError;
use super::guard::guard;
use super::json::json_response;
use super::{Client, ConsoleNode, assets, view};

/// What the handlers share.
#[derive(Clone)]
struct Console {
    node: Arc<dyn ConsoleNode>,
    client: Arc<Client>,
}

type Shared = State<Console>;
type Answer = Result<Response, ApiError>;

/// Returns the routes of the console.
pub(crate) fn routes(node: Arc<dyn ConsoleNode>, client: Client) -> Router {
    let client = Arc::new(client);
    let api = Router::new()
        .route("/api/v1/node", get(node_settings))
        .route("/api/v1/traffic", get(traffic))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/topics", get(topics))
        .route("/api/v1/topics/{topic}", get(topic))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/groups/{group}", get(group))
        .route("/api/v1/brokers", get(brokers))
        .route("/api/v1/brokers/{broker}", get(broker))
        .route("/api/{*path}", get(nothing))
        .method_not_allowed_fallback(only_reads);
    assets::serve(api)
        .layer(from_fn(guard))
        .with_state(Console { node, client })
}

fn ok(body: &impl Serialize) -> Answer {
    Ok(json_response(StatusCode::OK, body))
}

async fn node_settings(State(console): Shared) -> Answer {
    let settings = console.client.settings();
    ok(&json!({
        "node": settings.node_id,
        "version": settings.version,
        "authorizer": settings.authorizer,
        "unavailable": settings.bootstrap.as_ref().err(),
    }))
}

async fn traffic(State(console): Shared) -> Answer {
    match console.node.traffic().await {
        Some(traffic) => ok(&traffic),
        None => Err(ApiError::not_found(
            "This node is only a controller: it has no traffic of clients.",
        )),
    }
}

async fn overview(State(console): Shared) -> Answer {
    ok(&console.client.run(view::overview).await?)
}

async fn topics(State(console): Shared) -> Answer {
    ok(&console.client.run(view::topics).await?)
}

async fn topic(State(console): Shared, Path(name): Path<String>) -> Answer {
    TopicName::new(&name).map_err(|error| {
        ApiError::bad_request(format!("{name:?} is not the name of a topic: {error}"))
    })?;
    let work = async move |cluster: &dohle_admin::Cluster| view::topic(cluster, &name).await;
    ok(&console.client.run(work).await?)
}

async fn groups(State(console): Shared) -> Answer {
    ok(&console.client.run(view::groups).await?)
}

async fn group(State(console): Shared, Path(id): Path<String>) -> Answer {
    let work = async move |cluster: &dohle_admin::Cluster| view::group(cluster, &id).await;
    ok(&console.client.run(work).await?)
}

async fn brokers(State(console): Shared) -> Answer {
    ok(&console.client.run(view::brokers).await?)
}

async fn broker(State(console): Shared, Path(id): Path<String>) -> Answer {
    let id = id.parse::<i32>().ok().filter(|id| *id >= 0);
    let id =
        id.ok_or_else(|| ApiError::bad_request("The id of a broker is a number from 0 on."))?;
    let work = async move |cluster: &dohle_admin::Cluster| view::broker(cluster, id).await;
    ok(&console.client.run(work).await?)
}

async fn nothing() -> ApiError {
    ApiError::not_found("The API has no such path; docs/observability.md lists all of them.")
}

async fn only_reads() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "The console only reads: its API answers GET.",
    )
}
