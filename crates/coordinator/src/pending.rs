//! Parked requests. Each waits for a reply from a timer, another request or a commit.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use dohle_machine::{DueReply, Reply, ReplyToken};
use dohle_model::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The parked requests of one shard, by the ids of their tokens.
#[derive(Debug, Default)]
pub(super) struct PendingReplies {
    senders: Mutex<HashMap<u64, oneshot::Sender<DueReply>>>,
}

impl PendingReplies {
    /// Parks a request.
    pub(super) fn park<R: Reply>(self: &Arc<Self>, token: ReplyToken<R>) -> PendingReply<R> {
        let (sender, receiver) = oneshot::channel();
        let before = self.senders.lock().insert(token.id(), sender);
        assert!(
            before.is_none(),
            "two requests are parked as {}",
            token.id()
        );
        PendingReply {
            replies: Arc::clone(self),
            id: token.id(),
            receiver,
            reply: PhantomData,
        }
    }

    /// Sends the reply to a parked request, if the request still waits.
    pub(super) fn send(&self, reply: DueReply) {
        let sender = self.senders.lock().remove(&reply.id());
        if let Some(sender) = sender {
            // The request may have been dropped meanwhile.
            let _ = sender.send(reply);
        }
    }

    /// Ends all parked requests with NOT_COORDINATOR.
    pub(super) fn clear(&self) {
        self.senders.lock().clear();
    }

    /// Returns the number of parked requests.
    pub(super) fn len(&self) -> usize {
        self.senders.lock().len()
    }
}

/// A parked request. Dropping it, as happens when its connection closes, removes the request, and a
/// later reply is discarded.
#[derive(Debug)]
pub struct PendingReply<R> {
    replies: Arc<PendingReplies>,
    id: u64,
    receiver: oneshot::Receiver<DueReply>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Reply> PendingReply<R> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// NOT_COORDINATOR when this broker stops coordinating the partition first.
    pub async fn reply(mut self) -> Result<R, ErrorCode> {
        let reply = (&mut self.receiver).await;
        let reply = reply.map_err(|_| ErrorCode::NotCoordinator)?;
        // The token determines the type of the reply.
        reply.downcast().map_err(|_| ErrorCode::UnknownServerError)
    }
}

impl<R> Drop for PendingReply<R> {
    fn drop(&mut self) {
        self.replies.senders.lock().remove(&self.id);
    }
}
