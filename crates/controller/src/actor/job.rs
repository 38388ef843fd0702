//! A request to the actor: it plans on a draft, possibly several times, and receives its response
//! once the plan is committed.

use dohle_model::MetadataOffset;
use tokio::sync::oneshot;

use crate::plan::Draft;

/// Why a request was refused, or why its outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// This controller is not (or no longer) the active one.
    #[error("this controller is not the active one")]
    NotActive,
    /// The queue of waiting requests is full.
    #[error("the controller has too many waiting requests; try again")]
    Overloaded,
    /// A write of the metadata log waits for disk space.
    #[error("the disk of the active controller is full; try again when it has space")]
    NoSpace,
    /// The plan cannot be committed.
    #[error("{0}")]
    Failed(String),
}

/// A response, and the metadata offset at which it is valid.
pub(crate) type CommittedResponse<R> = Result<(MetadataOffset, R), Refused>;

/// A request that the actor plans and answers; see the module.
pub(crate) trait Job: Send {
    /// Plans on the draft. When it is called again, it replaces the earlier plan.
    fn plan(&mut self, draft: &mut Draft);

    /// Handles that the plan was committed at `offset`, or needed no records.
    fn committed(self: Box<Self>, offset: MetadataOffset);

    /// Handles that the plan will not be committed.
    fn refused(self: Box<Self>, reason: Refused);
}

/// A plan, and the sender of its response.
pub(crate) struct Planned<F, R> {
    plan: F,
    response: Option<R>,
    reply: oneshot::Sender<CommittedResponse<R>>,
}

impl<F, R> Planned<F, R> {
    pub fn new(plan: F) -> (Box<Self>, oneshot::Receiver<CommittedResponse<R>>) {
        let (reply, answer) = oneshot::channel();
        (
            Box::new(Self {
                plan,
                response: None,
                reply,
            }),
            answer,
        )
    }
}

impl<F, R> Job for Planned<F, R>
where
    F: FnMut(&mut Draft) -> R + Send,
    R: Send,
{
    fn plan(&mut self, draft: &mut Draft) {
        self.response = Some((self.plan)(draft));
    }

    fn committed(self: Box<Self>, offset: MetadataOffset) {
        let answer = match self.response {
            Some(response) => Ok((offset, response)),
            None => Err(Refused::Failed("the request was not planned".to_owned())),
        };
        // The requester may have stopped waiting.
        drop(self.reply.send(answer));
    }

    fn refused(self: Box<Self>, reason: Refused) {
        drop(self.reply.send(Err(reason)));
    }
}
