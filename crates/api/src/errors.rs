//! Errors of the broker's parts as Kafka's codes, in one place, and the words that go with them.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;

use super::wire;

/// An outcome as the wire has it: code and text. A text goes only with an error.
pub(crate) fn to_wire<T>(outcome: &Result<T, ApiError>) -> (i16, Option<KafkaString>) {
    match outcome {
        Ok(_) => (wire::NONE, None),
        Err(error) => (error.code.code(), Some(wire::text(&error.message))),
    }
}

/// The topic is not known by this name.
pub(crate) fn unknown_topic(name: &str) -> ApiError {
    ErrorCode::UnknownTopicOrPartition.because(format!("topic {name:?} does not exist"))
}
