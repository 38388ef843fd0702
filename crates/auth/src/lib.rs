//! Principals, how they prove who they are, who decides about the operations that they may carry
//! out, and the quotas of what they use.
//!
//! Pure: no runtime, files, clock or randomness.

mod acl;
mod authorizer;
mod delegation_tokens;
pub mod jaas;
mod node_principals;
mod principal;
pub mod quotas;
pub mod sasl;
mod secret;
mod ssl_principal;

pub use acl::{AclAuthorizer, AclSettings, InvalidSuperUser};
pub use authorizer::{AllowAll, Authorizer};
pub use delegation_tokens::TokenKey;
pub use node_principals::{InvalidNodePrincipal, NodePeer, NodePrincipals, WrongNode};
pub use principal::Principal;
pub use secret::{Secret, is_same_secret};
pub use ssl_principal::{RuleError, SslPrincipalMapper};
