//! What handlers return, and how it becomes a response.

use dohle_network::connection::{Frame, ResponseAction};
use dohle_protocol::{EncodeError, encode_response};

/// What answers a request: a message, or something that encodes itself.
pub(crate) trait Respond {
    /// Encodes the response.
    ///
    /// # Errors
    /// When a field does not exist in this version: a fault of the broker.
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError>;
}

impl<R: dohle_protocol::Response> Respond for R {
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError> {
        Ok(ResponseAction::Send(Frame::One(encode_response(
            &self,
            version,
            correlation_id,
        )?)))
    }
}

/// What a handler returns: the response to come.
pub(crate) trait IntoResponse {
    /// Returns the response to come, and whether the client's further requests wait for it even
    /// where the table lets them begin before.
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool);
}

impl<F: Future<Output: Respond> + Send + 'static> IntoResponse for F {
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self, false)
    }
}

/// A response to come that further requests may have to wait for.
pub(crate) struct Ordered<F> {
    /// The response.
    pub response: F,
    /// Whether they have to.
    pub blocks_pipeline: bool,
}

impl<F: Future<Output: Respond> + Send + 'static> IntoResponse for Ordered<F> {
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self.response, self.blocks_pipeline)
    }
}
