//! A request as the actor sees it: something that plans on a draft, perhaps more than once, and is
//! answered when the plan is committed.

use dohle_model::MetadataOffset;
use tokio::sync::oneshot;

use crate::plan::Draft;

/// Why a request was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// This controller is not (or no longer) the active one.
    #[error("this controller is not the active one")]
    NotActive,
    /// Too many requests wait.
    #[error("the controller has too many requests to do; try again")]
    Overloaded,
    /// The metadata log waits for space.
    #[error("the disk of the active controller is full; try again when it has space")]
    NoSpace,
    /// The plan can't be committed.
    #[error("{0}")]
    Failed(String),
}

/// A response and the offset at which it holds.
pub(crate) type CommittedResponse<R> = Result<(MetadataOffset, R), Refused>;

/// See the module.
pub(crate) trait Job: Send {
    /// Plans on the draft; a later call replaces what an earlier one decided.
    fn plan(&mut self, draft: &mut Draft);

    /// The plan is committed at `offset`, or needed no records.
    fn committed(self: Box<Self>, offset: MetadataOffset);

    /// It will not be.
    fn refused(self: Box<Self>, reason: Refused);
}

/// A plan with its asker.
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
        // An asker that went away no longer wants to know.
        drop(self.reply.send(answer));
    }

    fn refused(self: Box<Self>, reason: Refused) {
        drop(self.reply.send(Err(reason)));
    }
}
