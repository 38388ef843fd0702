//! The paths, and what is answered.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dohle_telemetry::text::Format;

use crate::{Check, Node};

const TEXT: &str = "text/plain; charset=utf-8";

type Shared = State<Arc<dyn Node>>;

/// Returns the routes of a node, without those of its console.
pub(crate) fn routes(node: Arc<dyn Node>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(nothing)
        .with_state(node)
}

async fn metrics(State(node): Shared, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(ACCEPT).iter();
    let accepted: Vec<&str> = accepted.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accepted.join(","));
    let text = node.metrics(format).await;
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

async fn live(State(node): Shared) -> Response {
    health(node.check(Check::Live).await)
}

async fn ready(State(node): Shared) -> Response {
    health(node.check(Check::Ready).await)
}

fn health(result: Result<String, String>) -> Response {
    let (status, text) = match result {
        Ok(text) => (StatusCode::OK, text),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    };
    let headers = [(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-store")];
    (status, headers, format!("{text}\n")).into_response()
}

async fn nothing() -> Response {
    let text = "There is nothing here. This node serves /, /metrics, /health/live, /health/ready \
                and /debug.\n";
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], text).into_response()
}
