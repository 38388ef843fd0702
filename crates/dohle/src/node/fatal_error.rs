//! Errors that require a node to stop.

use std::future::pending;
use std::sync::Arc;

use dohle_broker::metadata::{FeedError, SessionError};

use super::broker::Broker;
use super::controller::ControllerRole;

/// Why a running node has to stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FatalError {
    /// This node's part of the metadata quorum failed: its disk, or its log.
    #[error("the controller failed: {0}")]
    Controller(Arc<str>),
    /// The active controller refused this broker.
    #[error(transparent)]
    Refused(#[from] SessionError),
    /// Following the metadata failed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// All log directories have failed.
    #[error("all log directories have failed; see the errors above")]
    LogDirs,
}

/// Waits for a fatal error of the broker's role; forever if the node has no such role.
pub(super) async fn of_broker(broker: Option<&Broker>) -> FatalError {
    let Some(broker) = broker else {
        return pending().await;
    };
    tokio::select! {
        error = broker.refused() => error.into(),
        error = broker.feed_failed() => error.into(),
        () = broker.dirs_failed() => FatalError::LogDirs,
    }
}

/// Waits for a fatal error of the controller's role; forever if the node has no such role.
pub(super) async fn of_controller(controller: Option<&ControllerRole>) -> FatalError {
    let Some(controller) = controller else {
        return pending().await;
    };
    let mut fatal = controller.fatal();
    let reason = match fatal.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone(),
        Err(_) => Some("its tasks ended".into()),
    };
    FatalError::Controller(reason.unwrap_or_else(|| "unknown reason".into()))
}
