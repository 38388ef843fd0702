//! Listeners and connections: where bytes come in, how a connection is divided into requests, and
//! how much memory requests and responses may hold.
//!
//! What a request means is not decided here: a [`connection::Service`] answers it.

pub mod connection;
pub mod listener;
