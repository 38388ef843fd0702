//! Replies to parked requests, each with a type of its own.

use std::any::Any;
use std::fmt::{self, Debug};
use std::marker::PhantomData;

use dohle_model::ErrorCode;

/// The reply to a parked request.
pub trait Reply: Debug + Send + 'static {
    /// Returns the reply to send instead of this one when the records that it waited for have
    /// failed with `code`. A reply that refuses the request needs no records, and is returned
    /// unchanged.
    #[must_use]
    fn failed(self, code: ErrorCode) -> Self;
}

/// Identifies a parked request until its reply, of type `R`, is sent. The runtime creates tokens;
/// no two tokens of a machine are equal.
pub struct ReplyToken<R> {
    id: u64,
    reply: PhantomData<fn() -> R>,
}

impl<R> ReplyToken<R> {
    /// Creates the token with this id.
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self {
            id,
            reply: PhantomData,
        }
    }

    /// Returns the token's id.
    #[must_use]
    pub const fn id(self) -> u64 {
        self.id
    }
}

impl<R> Clone for ReplyToken<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for ReplyToken<R> {}

impl<R> PartialEq for ReplyToken<R> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<R> Eq for ReplyToken<R> {}

impl<R> Debug for ReplyToken<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyToken({})", self.id)
    }
}

/// A reply that a step returns for a parked request. Its type is the reply type of the token.
#[derive(Debug)]
pub struct DueReply {
    id: u64,
    reply: Box<dyn AnyReply>,
}

impl DueReply {
    /// Creates a reply to the request with this token.
    pub fn new<R: Reply>(token: ReplyToken<R>, reply: R) -> Self {
        Self {
            id: token.id,
            reply: Box::new(reply),
        }
    }

    /// Returns the id of the request's token.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the reply to send instead when the records that this one waited for have failed; see
    /// [`Reply::failed`].
    #[must_use]
    pub fn failed(self, code: ErrorCode) -> Self {
        Self {
            id: self.id,
            reply: self.reply.failed(code),
        }
    }

    /// Returns the reply as its own type.
    ///
    /// # Errors
    /// Returns `self` when the reply has another type.
    pub fn downcast<R: Reply>(self) -> Result<R, Self> {
        let any: &dyn Any = &*self.reply;
        if !any.is::<R>() {
            return Err(self);
        }
        let id = self.id;
        let reply: Box<dyn Any> = self.reply;
        match reply.downcast::<R>() {
            Ok(reply) => Ok(*reply),
            Err(_) => unreachable!("the reply to request {id} has the type that was checked above"),
        }
    }
}

/// A reply of a type that is checked at run time.
trait AnyReply: Any + Debug + Send {
    fn failed(self: Box<Self>, code: ErrorCode) -> Box<dyn AnyReply>;
}

impl<R: Reply> AnyReply for R {
    fn failed(self: Box<Self>, code: ErrorCode) -> Box<dyn AnyReply> {
        Box::new(Reply::failed(*self, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Granted(Result<i32, ErrorCode>);

    #[derive(Debug, PartialEq)]
    struct Counted(i32);

    impl Reply for Granted {
        fn failed(self, code: ErrorCode) -> Self {
            Self(self.0.and(Err(code)))
        }
    }

    impl Reply for Counted {
        fn failed(self, _: ErrorCode) -> Self {
            self
        }
    }

    #[test]
    fn a_reply_has_the_type_of_its_token() {
        let reply = DueReply::new(ReplyToken::new(7), Granted(Ok(1)));
        assert_eq!(reply.id(), 7);
        let reply = reply.downcast::<Counted>().unwrap_err();
        assert_eq!(reply.downcast::<Granted>().unwrap(), Granted(Ok(1)));
    }

    #[test]
    fn a_reply_whose_records_failed_is_a_refusal_of_the_same_type() {
        let code = ErrorCode::NotCoordinator;
        let granted = DueReply::new(ReplyToken::new(1), Granted(Ok(1))).failed(code);
        assert_eq!(granted.downcast::<Granted>().unwrap(), Granted(Err(code)));
        let refused = Granted(Err(ErrorCode::UnknownMemberId));
        let refused = DueReply::new(ReplyToken::new(1), refused).failed(code);
        let kept = Granted(Err(ErrorCode::UnknownMemberId));
        assert_eq!(refused.downcast::<Granted>().unwrap(), kept);
    }
}
