//! The return types of handlers, and their conversion to responses.

use dohle_network::connection::{Frame, ResponseAction};
use dohle_protocol::{EncodeError, encode_response};

/// A response that can be encoded: a message, or a type with an encoding of its own.
pub(crate) trait Respond {
    /// Encodes the response.
    ///
    /// # Errors
    /// When a field does not exist in this version, which is a bug of the broker.
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError>;

    /// Returns for how long the client is throttled, in milliseconds, as the response will report
    /// it; `None` for a response that does not report it.
    fn throttle_time_ms(&mut self) -> Option<&mut i32>;

    /// Returns whether the time that the request took does not count towards a quota.
    fn is_exempt(&self) -> bool {
        false
    }
}

impl<R: dohle_protocol::Response> Respond for R {
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError> {
        Ok(ResponseAction::Send(Frame::One(encode_response(
            &self,
            version,
            correlation_id,
        )?)))
    }

    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        dohle_protocol::Response::throttle_time_ms(self)
    }
}

/// The return type of a handler: a future response.
pub(crate) trait IntoResponse {
    /// Returns the future response, and whether the client's further requests wait for it even if
    /// the table allows them to begin earlier.
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool);
}

impl<F: Future<Output: Respond> + Send + 'static> IntoResponse for F {
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self, false)
    }
}

/// A future response that may make the connection's further requests wait.
pub(crate) struct Ordered<F> {
    /// The response.
    pub response: F,
    /// Whether further requests wait for it.
    pub blocks_pipeline: bool,
}

impl<F: Future<Output: Respond> + Send + 'static> IntoResponse for Ordered<F> {
    fn into_response(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self.response, self.blocks_pipeline)
    }
}
