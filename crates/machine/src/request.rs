//! Requests to a machine, each with a reply type of its own.

use crate::machine::{Machine, Step};
use crate::reply::{Reply, ReplyToken};

/// A request whose reply is planned in one step. The reply is sent once the records of the step,
/// and all records below the offset given to [`Step::read_up_to`], are committed.
pub trait Request {
    /// The machine that the request is addressed to.
    type Machine: Machine;
    /// The type of its reply.
    type Reply;

    /// Whether the request is planned again when it lacks results of computations
    /// ([`Step::unresolved`]). Otherwise [`Step::lookups`] is `None`.
    const LOOKS_UP: bool = false;

    /// Whether timers that have expired are handled before the request is planned. Otherwise their
    /// task may be late, and the request sees what ended before it arrived.
    const AFTER_TIMERS: bool = false;

    /// Plans the request.
    fn plan(&self, machine: &mut Self::Machine, step: &mut Step<'_, Self::Machine>) -> Self::Reply;

    /// Removes what the sender of the request may not see from the results of computations, before
    /// the request is planned with them.
    fn restrict(&self, _lookups: &mut <Self::Machine as Machine>::Lookups) {}
}

/// A request whose reply may be planned in a later step: that of another request, a timer or a
/// commit.
pub trait ParkedRequest {
    /// The machine that the request is addressed to.
    type Machine: Machine;
    /// The type of its reply.
    type Reply: Reply;

    /// Plans the request. This step or a later one calls [`Step::reply`] with `token`.
    fn plan(
        &self,
        token: ReplyToken<Self::Reply>,
        machine: &mut Self::Machine,
        step: &mut Step<'_, Self::Machine>,
    );
}
