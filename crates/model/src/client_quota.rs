//! Quotas of clients: the entities that have them, and their values.
//!
//! Source: KIP-124, KIP-546, KIP-599, KIP-612 and `org.apache.kafka.common.quota`.

use std::sync::Arc;

/// An entity whose clients share a quota. In each field, `None` is the default entity: all users,
/// client ids or addresses that have no quota of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaEntity {
    /// The clients of a user.
    User(Option<Arc<str>>),
    /// The clients with a client id.
    ClientId(Option<Arc<str>>),
    /// The clients of a user with a client id.
    UserAndClientId(Option<Arc<str>>, Option<Arc<str>>),
    /// The connections from an address.
    Ip(Option<Arc<str>>),
}

/// The value of a quota, for example bytes per second. Values are equal when their bits are.
#[derive(Debug, Clone, Copy)]
pub struct QuotaValue(pub f64);

impl PartialEq for QuotaValue {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for QuotaValue {}
