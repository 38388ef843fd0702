//! Conversions between the types of Kafka's messages and our own.

use std::time::Duration;

use dohle_model::TopicId;
use dohle_protocol::{KafkaString, KafkaUuid};

/// Copies a text for a message.
pub(crate) fn text(text: &str) -> KafkaString {
    KafkaString::from(text.to_owned())
}

/// A duration in milliseconds; zero when it is negative.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// A topic's id for a message.
pub(crate) fn topic_id_to_wire(id: TopicId) -> KafkaUuid {
    let bits = u128::from_be_bytes(id.to_bytes());
    KafkaUuid::from_parts((bits >> 64) as u64, bits as u64)
}

/// The topic's id in a message; `None` when the message has the zero id.
pub(crate) fn topic_id_of_wire(id: KafkaUuid) -> Option<TopicId> {
    let id = TopicId::from_bytes(id.to_bytes());
    (!id.is_zero()).then_some(id)
}
