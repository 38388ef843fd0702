//! The controller's outcome for one item of a forwarded request.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;

/// Returns the error that Kafka's response of the controller reports for an item, if any.
///
/// # Errors
/// The controller's; UNKNOWN_SERVER_ERROR for a code that this version does not have.
pub fn forwarded_outcome(code: i16, message: Option<&KafkaString>) -> Result<(), ApiError> {
    if code == 0 {
        return Ok(());
    }
    let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
    Err(match message {
        Some(message) if !message.as_str().is_empty() => code.because(message.to_string()),
        _ => code.into(),
    })
}
