//! Errors of the API: a status of HTTP, and a sentence with what is wrong and what to do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dohle_admin::ClusterError;
use kacrab_protocol::generated::ErrorCode;
use serde_json::json;

use super::json::json_response;

/// Why a request of the page was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// The request has a mistake.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is nothing of that name.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        let status = match &error {
            ClusterError::Refused(refusal) => of_code(refusal.code),
            ClusterError::NoSuchBroker { .. } => StatusCode::NOT_FOUND,
            ClusterError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

fn of_code(code: ErrorCode) -> StatusCode {
    use ErrorCode as Code;
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopicId | Code::GroupIdNotFound => {
            StatusCode::NOT_FOUND
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => StatusCode::FORBIDDEN,
        Code::InvalidTopicException | Code::InvalidRequest | Code::InvalidConfig => {
            StatusCode::BAD_REQUEST
        }
        Code::RequestTimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "status": self.status.as_u16(), "message": self.message } });
        json_response(self.status, &body)
    }
}
