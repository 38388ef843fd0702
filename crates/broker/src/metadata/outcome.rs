//! What the controller answers for one item of a request.

use dohle_model::{ApiError, ErrorCode};
use dohle_rpc::v1;

/// Returns the error that the controller reports for an item, if it reports one.
///
/// # Errors
/// The controller's; UNKNOWN_SERVER_ERROR for a code that this version does not have.
pub fn outcome(outcome: Option<&v1::Outcome>) -> Result<(), ApiError> {
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
