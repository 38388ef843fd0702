//! Topic names, and the identifiers of partitions.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::ids::{PartitionIndex, TopicId};

/// The longest legal topic name, in bytes (Kafka's `Topic.MAX_NAME_LENGTH`).
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// The name of the metadata log in Kafka's tools; it is not a topic.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// A valid topic name: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a text is not a topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// The empty text.
    #[error("topic name is empty")]
    Empty,
    /// The text is `.` or `..`, which are special names of directories.
    #[error("topic name cannot be \".\" or \"..\"")]
    Dots,
    /// The text has more than 249 bytes.
    #[error("topic name has {0} characters, more than the 249 allowed")]
    TooLong(usize),
    /// The text has a character outside `[a-zA-Z0-9._-]`.
    #[error(
        "topic name {name:?} has the character {character:?}; only ASCII letters, digits, '.', \
         '_' and '-' are allowed"
    )]
    Character {
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl TopicName {
    /// Validates a name.
    ///
    /// # Errors
    /// When the name violates Kafka's rules for topic names.
    pub fn new(name: &str) -> Result<Self, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(character) = name.chars().find(|c| !legal(*c)) {
            return Err(TopicNameError::Character {
                name: name.to_owned(),
                character,
            });
        }
        if name.len() > TOPIC_NAME_LENGTH_MAX {
            return Err(TopicNameError::TooLong(name.len()));
        }
        Ok(Self(name.into()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an internal topic, to which only brokers write.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        matches!(
            self.as_str(),
            "__consumer_offsets" | "__transaction_state" | "__share_group_state"
        )
    }

    /// Returns the name with `.` replaced by `_`. Two topics with equal collision keys would have
    /// the same metric name, so Kafka refuses the second one.
    #[must_use]
    pub fn collision_key(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A partition identified by its topic's name: `topic-3`, like its directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition identified by its topic's id, which a later topic of the same name does not share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

impl fmt::Debug for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_allows_are_allowed() {
        for name in ["a", "A.b_c-9", &"x".repeat(249), "..."] {
            assert!(TopicName::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_kafka_refuses_say_why() {
        assert_eq!(TopicName::new(""), Err(TopicNameError::Empty));
        assert_eq!(TopicName::new(".."), Err(TopicNameError::Dots));
        assert_eq!(
            TopicName::new(&"x".repeat(250)),
            Err(TopicNameError::TooLong(250))
        );
        assert_eq!(
            TopicName::new("a b"),
            Err(TopicNameError::Character {
                name: "a b".into(),
                character: ' '
            })
        );
    }
}
