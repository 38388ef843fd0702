//! Principals, and who decides about the operations that they may carry out.
//!
//! Pure: no runtime, files, clock or randomness.

mod authorizer;
mod principal;

pub use authorizer::{AllowAll, Authorizer};
pub use principal::Principal;
