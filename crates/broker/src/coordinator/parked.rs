//! A request that waits for its answer: from a timer, from other members, or from a commit.

use std::sync::Arc;

use dohle_groups::{Reply, Token};
use dohle_model::ErrorCode;
use tokio::sync::oneshot;

use super::slot::Slot;

/// A parked request. Dropping it, as happens when its connection goes, forgets the request: the
/// shard's answer is then sent to nobody.
#[derive(Debug)]
pub struct Parked {
    slot: Arc<Slot>,
    token: Token,
    receiver: oneshot::Receiver<Reply>,
}

impl Parked {
    pub(super) fn new(slot: Arc<Slot>, token: Token, receiver: oneshot::Receiver<Reply>) -> Self {
        Self {
            slot,
            token,
            receiver,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR when this broker ceases to be the group's coordinator first.
    pub async fn reply(mut self) -> Result<Reply, ErrorCode> {
        (&mut self.receiver)
            .await
            .map_err(|_| ErrorCode::NotCoordinator)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.slot.forget(self.token);
    }
}
