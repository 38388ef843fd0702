//! The edge between the wire's types and ours.

use std::time::Duration;

use dohle_model::{ErrorCode, TopicId};
use dohle_protocol::KafkaUuid;
use tokio::time::Instant;

pub(crate) use dohle_protocol::text;

/// A topic's id; `None` for the wire's zero.
pub(crate) fn topic_id(id: KafkaUuid) -> Option<TopicId> {
    let id = TopicId::from_bytes(dohle_protocol::uuid_bytes(id));
    (!id.is_zero()).then_some(id)
}

/// A topic's id for the wire.
pub(crate) fn wire_id(id: TopicId) -> KafkaUuid {
    dohle_protocol::uuid(id.to_bytes())
}

/// The wire's 0 for success.
pub(crate) const NONE: i16 = 0;

/// The wire's form of an outcome.
pub(crate) fn code<T>(outcome: &Result<T, ErrorCode>) -> i16 {
    match outcome {
        Ok(_) => NONE,
        Err(code) => code.code(),
    }
}

/// Returns the code for a client: those of old versions know INVALID_PRODUCER_EPOCH where newer
/// ones get PRODUCER_FENCED (KIP-588).
pub(crate) fn fenced(code: ErrorCode, old_client: bool) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if old_client => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// When a request with this timeout is to be answered at the latest. A negative timeout is none.
pub(crate) fn deadline(received: Instant, timeout_ms: i32) -> Instant {
    received + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// The same for a request that the controller carries out, which takes a moment: at least a second.
pub(crate) fn admin_deadline(received: Instant, timeout_ms: i32) -> Instant {
    deadline(received, timeout_ms.max(1000))
}

/// The wire's "not asked for".
pub(crate) const OPERATIONS_OMITTED: i32 = i32::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_edge() {
        let id = TopicId::from_bytes(*b"0123456789abcdef");
        assert_eq!(topic_id(wire_id(id)), Some(id));
        assert_eq!(topic_id(KafkaUuid::ZERO), None);
    }
}
