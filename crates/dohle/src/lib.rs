//! A node of Dohle: its configuration, its directories, and the wiring of its roles.
//!
//! A [`Node`] is created from a [`config::NodeConfig`]; several can run in one process. Nothing in
//! this crate is global to the process except the binary's logging and allocator.

pub mod advertised;
pub mod config;
pub mod directories;
mod grpc;
pub mod health;
mod jwks;
pub mod loggers;
pub mod node;
pub mod schema;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod test_support;

pub use node::Node;
