//! The timers of a machine.

use crate::ids::TransactionalId;

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The timeout of the open transaction of an id.
    Timeout(TransactionalId),
    /// Markers that could not be written are due again.
    Markers,
}
