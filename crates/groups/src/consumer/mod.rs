//! Groups of the consumer protocol (KIP-848): ConsumerGroupHeartbeat, and members of the classic
//! protocol among them.
//!
//! All of their state is replayed from records.

/// A group of the consumer protocol.
#[derive(Debug, Default)]
pub struct ConsumerGroup {}
