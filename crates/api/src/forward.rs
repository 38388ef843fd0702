//! Forwards administrative requests to the active controller.

use std::sync::Arc;

use dohle_broker::metadata::Sender;
use dohle_model::ApiError;
use dohle_model::image::MetadataImage;
use dohle_protocol::{Forwarded, KafkaString};
use tokio::time::Instant;

use super::Call;
use super::context::REQUEST_TIMEOUT;

impl Call {
    /// Forwards a request to the active controller. Returns the controller's response together with
    /// this broker's metadata, once these include the change, so that a client reads what it wrote.
    ///
    /// # Errors
    /// REQUEST_TIMED_OUT at the deadline: the change may have been made nevertheless.
    pub(crate) async fn forward<R: Forwarded>(
        &self,
        request: &R,
        deadline: Instant,
    ) -> Result<(R::Response, Arc<MetadataImage>), ApiError> {
        let controller = &self.context.controller;
        let answer = controller
            .forward(request, &self.sender(), deadline)
            .await?;
        let image = self.context.reached(answer.offset.0, deadline).await?;
        Ok((answer.response, image))
    }

    /// Forwards a request that its sender is `allowed` to make. Returns the controller's response,
    /// or else the one that `refused` makes of the reason.
    pub(crate) async fn forward_if<R: Forwarded>(
        &self,
        allowed: Result<(), impl Into<ApiError>>,
        request: &R,
        refused: impl FnOnce(&ApiError) -> R::Response,
    ) -> R::Response {
        let deadline = self.request.received + REQUEST_TIMEOUT;
        let forwarded = match allowed {
            Ok(()) => self.forward(request, deadline).await,
            Err(reason) => Err(reason.into()),
        };
        match forwarded {
            Ok((response, _)) => response,
            Err(error) => refused(&error),
        }
    }

    /// Returns who sent the request, for the controller.
    pub(crate) fn sender(&self) -> Sender {
        let request = &self.request;
        let client_id = request.client_id.as_ref();
        Sender {
            principal: request.principal.to_string(),
            listener: request.listener.to_string(),
            client_address: request.client_address.to_string(),
            client_id: client_id.map_or_else(String::new, KafkaString::to_string),
            api_version: self.version,
        }
    }
}
