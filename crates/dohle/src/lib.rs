//! A node of Dohle: its configuration, its directories, and the wiring of its roles.
//!
//! A [`Node`] is a value made of a [`config::NodeConfig`]; several live in one process. Nothing in
//! here is global to the process but the binary's own logging and allocator.

pub mod advertised;
pub mod config;
pub mod directories;
mod grpc;
pub mod health;
pub mod node;
pub mod schema;
#[cfg(test)]
mod test_support;

pub use node::Node;
