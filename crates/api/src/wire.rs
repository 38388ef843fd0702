//! Conversions between the types of Kafka's messages and ours.

use std::time::Duration;

use dohle_model::{ApiError, ErrorCode, LeaderEpoch, TopicId};
use dohle_protocol::KafkaUuid;
use tokio::time::Instant;

pub(crate) use dohle_protocol::text;

/// Converts a topic's id; zero becomes `None`.
pub(crate) fn topic_id(id: KafkaUuid) -> Option<TopicId> {
    let id = TopicId::from_bytes(dohle_protocol::uuid_bytes(id));
    (!id.is_zero()).then_some(id)
}

/// Converts a topic's id to its type in messages.
pub(crate) fn wire_id(id: TopicId) -> KafkaUuid {
    dohle_protocol::uuid(id.to_bytes())
}

/// Returns the leader epoch that a request names; `None` for -1, which asks for no check. Any other
/// negative number is an epoch that is too old, as in Kafka.
pub(crate) fn current_epoch(epoch: i32) -> Option<LeaderEpoch> {
    (epoch != -1).then_some(LeaderEpoch(epoch))
}

/// The error code of success.
pub(crate) const NONE: i16 = 0;

/// Returns the error code of an outcome.
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

/// Returns the latest time at which a request with this timeout is answered. A negative timeout
/// counts as zero.
pub(crate) fn deadline(received: Instant, timeout_ms: i32) -> Instant {
    received + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// Like [`deadline`], for a request that the controller serves, which takes longer: at least a
/// second.
///
/// # Errors
/// REQUEST_TIMED_OUT without a time, as in Kafka: nothing is done.
pub(crate) fn admin_deadline(received: Instant, timeout_ms: i32) -> Result<Instant, ApiError> {
    match timeout_ms {
        1.. => Ok(deadline(received, timeout_ms.max(1000))),
        _ => Err(ErrorCode::RequestTimedOut.because(format!(
            "the request allows {timeout_ms} ms, in which nothing can be done"
        ))),
    }
}

/// The value of `authorizedOperations` when the client did not ask for it.
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
