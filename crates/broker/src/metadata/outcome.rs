//! What the controller answers for one item of a request.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_rpc::v1;

/// Returns the error that the controller reports for an item, if it reports one.
///
/// # Errors
/// The controller's; UNKNOWN_SERVER_ERROR for a code that this version does not have.
pub fn outcome(outcome: Option<&v1::Outcome>) -> Result<(), ApiError> {
    let Some(outcome) = outcome else {
        return Ok(());
    };
    to_result(outcome.code, &outcome.message)
}

/// Returns the error that Kafka's response of the controller reports for an item, if it reports
/// one.
///
/// # Errors
/// The controller's; UNKNOWN_SERVER_ERROR for a code that this version does not have.
pub fn forwarded_outcome(code: i16, message: Option<&KafkaString>) -> Result<(), ApiError> {
    to_result(code.into(), message.map_or("", KafkaString::as_str))
}

fn to_result(code: i32, message: &str) -> Result<(), ApiError> {
    if code == 0 {
        return Ok(());
    }
    let code = i16::try_from(code).ok().and_then(ErrorCode::from_code);
    let code = code.unwrap_or(ErrorCode::UnknownServerError);
    Err(if message.is_empty() {
        code.into()
    } else {
        code.because(message.to_owned())
    })
}
