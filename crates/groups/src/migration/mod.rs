//! Groups that go over from one protocol to the other while they have members (KIP-848).
//!
//! `upgrade`: a classic group becomes a consumer group. `downgrade`: the other way. Members of the
//! classic protocol remain in a consumer group (`classic_members`) and describe themselves in the
//! consumer embedded protocol (`embedded`).

pub(crate) mod classic_members;
pub(crate) mod downgrade;
pub(crate) mod embedded;
pub(crate) mod upgrade;

#[cfg(test)]
mod tests;
