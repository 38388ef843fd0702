//! Explains MESSAGE_TOO_LARGE: which property limits the size of a batch, where it was set, and
//! what a client can change.

use dohle_config::ConfigSource;
use dohle_config::keys::topic as keys;
use dohle_model::{ApiError, ErrorCode, TopicName};

use super::Call;

/// Adds to the error of a batch that is too large where the limit was set, and what to do.
pub(crate) fn explained(call: &Call, topic: &TopicName, error: ApiError) -> ApiError {
    if error.code != ErrorCode::MessageTooLarge {
        return error;
    }
    let image = call.context.image();
    let described = call.context.configs(&image).describe_topic(topic.as_str());
    let mut described = described.into_iter();
    let limit = described.find(|config| config.name == keys::MAX_MESSAGE_BYTES.name());
    let origin = match limit.map(|limit| limit.source) {
        Some(ConfigSource::DynamicTopic) => "set for the topic",
        Some(ConfigSource::DynamicBroker) => {
            "from message.max.bytes, set at run time for this broker"
        }
        Some(ConfigSource::DynamicDefaultBroker) => {
            "from message.max.bytes, set at run time for all brokers"
        }
        Some(ConfigSource::StaticBroker) => "from message.max.bytes in this broker's properties",
        _ => "the default of message.max.bytes",
    };
    error.code.because(format!(
        "{} of the topic {topic} ({origin}). Raise max.message.bytes of the topic, or send smaller \
         batches: check batch.size and max.request.size of Java's producer, batch.size and \
         message.max.bytes of librdkafka's",
        error.message
    ))
}
