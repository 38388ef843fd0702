//! Groups that change from one protocol to the other while they have members (KIP-848).
//!
//! `upgrade` makes a classic group a consumer group, and `downgrade` the reverse. Members of the
//! classic protocol remain in a consumer group (`classic_members`); their requests carry the
//! consumer embedded protocol (`embedded`).

pub(crate) mod classic_members;
pub(crate) mod downgrade;
pub(crate) mod embedded;
pub(crate) mod upgrade;

#[cfg(test)]
mod tests;
