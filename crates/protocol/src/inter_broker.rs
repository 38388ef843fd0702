//! Requests that brokers send to each other as Kafka messages.
//!
//! The sender encodes a request in the newest version that its release has. Releases that run side
//! by side agree on the newest version that both have, as for requests that are forwarded to the
//! controller (`forward.rs`).

use std::ops::RangeInclusive;

use kacrab_protocol::generated as wire;

use crate::message::Request;

/// A request that one broker sends to another.
pub trait InterBroker: Request {
    /// The versions in which this release sends and serves the request: from the newest version of
    /// the previous release to the newest of this one.
    const VERSIONS: RangeInclusive<i16>;
}

impl InterBroker for wire::WriteTxnMarkersRequestData {
    const VERSIONS: RangeInclusive<i16> = 2..=2;
}

impl InterBroker for wire::ListOffsetsRequestData {
    const VERSIONS: RangeInclusive<i16> = 10..=10;
}

impl InterBroker for wire::AddPartitionsToTxnRequestData {
    const VERSIONS: RangeInclusive<i16> = 5..=5;
}
