//! Listeners and connections: accepting sockets, dividing a byte stream into requests, and limiting
//! the memory that requests and responses hold.
//!
//! This crate does not interpret requests: a [`connection::Service`] serves them.

pub mod connection;
pub mod listener;
