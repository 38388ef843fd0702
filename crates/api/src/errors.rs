//! Maps the errors of the broker's parts to Kafka's codes and messages, in one place.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;

use super::wire;

/// Returns the code and the message of an outcome. Only an error has a message.
pub(crate) fn to_wire<T>(outcome: &Result<T, ApiError>) -> (i16, Option<KafkaString>) {
    match outcome {
        Ok(_) => (wire::NONE, None),
        Err(error) => (error.code.code(), Some(wire::text(&error.message))),
    }
}

/// Returns the error for a topic name that does not exist.
pub(crate) fn unknown_topic(name: &str) -> ApiError {
    ErrorCode::UnknownTopicOrPartition.because(format!("topic {name:?} does not exist"))
}
