//! The timers of a machine.

use crate::ids::TransactionalId;

/// The purpose of a timer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The timeout of the open transaction of an id.
    Timeout(TransactionalId),
    /// The time at which markers that could not be written are due again.
    Markers,
}
