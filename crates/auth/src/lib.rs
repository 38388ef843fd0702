//! Principals, the operations that Kafka's ACLs name, and who decides about them.
//!
//! Pure: no runtime, files, clock or randomness.

mod authorizer;
mod operation;
mod principal;

pub use authorizer::{AllowAll, Authorizer};
pub use operation::{Operation, OperationSet, ResourceType};
pub use principal::Principal;
