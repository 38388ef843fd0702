//! Errors of the broker's parts as Kafka's codes, in one place, and the words that go with them.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_rpc::v1;

use super::wire;
use crate::partition::{AppendError, CommitError, ReadError, RoleError};

/// An outcome as the wire has it: code and text. A text goes only with an error.
pub(crate) fn to_wire<T>(outcome: &Result<T, ApiError>) -> (i16, Option<KafkaString>) {
    match outcome {
        Ok(_) => (wire::NONE, None),
        Err(error) => (error.code.code(), Some(wire::text(&error.message))),
    }
}

/// What the controller said of one item.
pub(crate) fn outcome(outcome: Option<&v1::Outcome>) -> Result<(), ApiError> {
    let Some(outcome) = outcome else {
        return Ok(());
    };
    if outcome.code == 0 {
        return Ok(());
    }
    let code = i16::try_from(outcome.code)
        .ok()
        .and_then(ErrorCode::from_code);
    let code = code.unwrap_or(ErrorCode::UnknownServerError);
    Err(if outcome.message.is_empty() {
        code.into()
    } else {
        code.because(outcome.message.clone())
    })
}

impl From<RoleError> for ApiError {
    fn from(error: RoleError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        error.code().because(error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        error.code().because(error.to_string())
    }
}

/// The topic is not known by this name.
pub(crate) fn unknown_topic(name: &str) -> ApiError {
    ErrorCode::UnknownTopicOrPartition.because(format!("topic {name:?} does not exist"))
}
