//! SaslHandshake, versions 0–1: a client that is authenticated, or that is on a listener without
//! SASL, gets ILLEGAL_SASL_STATE. `pipeline/sasl.rs` handles the requests that begin an
//! authentication.

use dohle_model::ErrorCode;
use dohle_protocol::messages::sasl_handshake_request::SaslHandshakeRequestData;
use dohle_protocol::messages::sasl_handshake_response::SaslHandshakeResponseData;

use super::Call;

pub(super) async fn handle(_: Call, _: SaslHandshakeRequestData) -> SaslHandshakeResponseData {
    SaslHandshakeResponseData {
        error_code: ErrorCode::IllegalSaslState.code(),
        ..SaslHandshakeResponseData::default()
    }
}
