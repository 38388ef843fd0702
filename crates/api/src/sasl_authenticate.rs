//! SaslAuthenticate, versions 0–2: a client that is authenticated, or that is on a listener without
//! SASL, gets ILLEGAL_SASL_STATE. `pipeline/sasl.rs` handles the requests of an authentication.

use dohle_model::ErrorCode;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::sasl_authenticate_request::SaslAuthenticateRequestData;
use dohle_protocol::messages::sasl_authenticate_response::SaslAuthenticateResponseData;

use super::Call;

pub(super) async fn handle(
    _: Call,
    _: SaslAuthenticateRequestData,
) -> SaslAuthenticateResponseData {
    SaslAuthenticateResponseData {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(KafkaString::from_static(
            "SaslAuthenticate request received after successful authentication",
        )),
        ..SaslAuthenticateResponseData::default()
    }
}
