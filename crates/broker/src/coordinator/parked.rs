//! A request that waits for its answer: from a timer, from other members, or from a commit.

use std::sync::Arc;

use dohle_machine::{DueReply, Reply, ReplyToken};
use dohle_model::ErrorCode;
use tokio::sync::oneshot;

use super::slot::Slot;

/// A parked request. Dropping it, as happens when its connection goes, forgets the request: the
/// shard's answer is then sent to nobody.
#[derive(Debug)]
pub struct Parked<R: Reply> {
    slot: Arc<Slot>,
    token: ReplyToken<R>,
    receiver: oneshot::Receiver<DueReply>,
}

impl<R: Reply> Parked<R> {
    pub(super) fn new(
        slot: Arc<Slot>,
        token: ReplyToken<R>,
        receiver: oneshot::Receiver<DueReply>,
    ) -> Self {
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
    pub async fn reply(mut self) -> Result<R, ErrorCode> {
        let reply = (&mut self.receiver).await;
        let reply = reply.map_err(|_| ErrorCode::NotCoordinator)?;
        // The token fixes the type of the reply.
        reply.downcast().map_err(|_| ErrorCode::UnknownServerError)
    }
}

impl<R: Reply> Drop for Parked<R> {
    fn drop(&mut self) {
        self.slot.forget(self.token.id());
    }
}
