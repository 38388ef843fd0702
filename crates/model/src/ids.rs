//! Identifiers, offsets and epochs as newtypes with only the arithmetic that is meaningful for
//! each.
//!
//! Invariant: these types never hold the wire's sentinel `-1`; `from_wire` converts it to `None`,
//! and `to_wire` converts it back.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

macro_rules! int_newtype {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// Converts from the wire: `None` for the sentinel `-1` and everything below it.
            #[must_use]
            pub const fn from_wire(value: $int) -> Option<Self> {
                if value < 0 { None } else { Some(Self(value)) }
            }

            /// Converts an optional value to the wire: `None` becomes `-1`.
            #[must_use]
            pub const fn to_wire(value: Option<Self>) -> $int {
                match value {
                    Some(value) => value.0,
                    None => -1,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

int_newtype!(
    /// A server's `node.id`, for its broker and its controller. 0 to `i32::MAX`.
    NodeId(i32)
);
int_newtype!(
    /// A partition's number inside its topic, from 0.
    PartitionIndex(i32)
);
int_newtype!(
    /// The position of a record in a partition's log, from 0.
    Offset(i64)
);
int_newtype!(
    /// Counts the leaders of a partition (KIP-101). Raised by the controller with each new leader.
    LeaderEpoch(i32)
);
int_newtype!(
    /// Counts every change of a partition's registration: leader, ISR or replicas (KIP-497).
    PartitionEpoch(i32)
);
int_newtype!(
    /// Counts registrations of brokers; a broker's newer registration fences its older one
    /// (KIP-380).
    BrokerEpoch(i64)
);
int_newtype!(
    /// An idempotent or transactional producer's identity (KIP-98).
    ProducerId(i64)
);
int_newtype!(
    /// Fences older incarnations of one producer id (KIP-98).
    ProducerEpoch(i16)
);
int_newtype!(
    /// Milliseconds since the Unix epoch, as records carry it. Never drives a session or a timer.
    Timestamp(i64)
);
int_newtype!(
    /// A producer's per-partition record counter; wraps from `i32::MAX` to 0 (KIP-98).
    Sequence(i32)
);

impl Offset {
    /// The first offset of a new log.
    pub const ZERO: Self = Self(0);

    /// Returns the offset `count` records later.
    ///
    /// # Panics
    /// When the sum leaves the range of `i64`.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.checked_add(count).expect("offset overflow"))
    }

    /// Returns the previous offset, or `None` at 0.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        Self::from_wire(self.0 - 1)
    }

    /// Returns the number of records between `earlier` (inclusive) and `self` (exclusive); negative
    /// when `earlier` is larger.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl LeaderEpoch {
    /// The epoch of a partition's first leader.
    pub const ZERO: Self = Self(0);

    /// Returns the epoch of the next leader.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl PartitionEpoch {
    /// The epoch of a newly created partition.
    pub const ZERO: Self = Self(0);

    /// Returns the epoch after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Sequence {
    /// Returns the sequence `count` records later, wrapping from `i32::MAX` to 0 as Kafka does.
    #[must_use]
    pub const fn plus(self, count: i32) -> Self {
        let sum = self.0 as i64 + count as i64;
        Self((sum % (i32::MAX as i64 + 1)) as i32)
    }
}

/// A position in the metadata log: the Raft index of a batch of records. 0 is before the first
/// batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MetadataOffset(pub u64);

impl fmt::Display for MetadataOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 128-bit identifier. Its text form is Kafka's: 22 characters of unpadded URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

/// A text that is not a [`Uuid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id: 22 characters of URL-safe base64 are expected")]
pub struct UuidError(pub String);

impl Uuid {
    /// The wire's value for "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is the wire's "no id".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let error = || UuidError(text.to_owned());
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| error())?;
        bytes.try_into().map(Self).map_err(|_| error())
    }
}

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The wire's value for "no id".
            pub const ZERO: Self = Self(Uuid::ZERO);

            /// Converts from the 16 bytes of the wire.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid(bytes))
            }

            /// Returns the 16 bytes of the wire.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.0
            }

            /// Whether this is the wire's "no id".
            #[must_use]
            pub fn is_zero(&self) -> bool {
                self.0.is_zero()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = UuidError;

            fn from_str(text: &str) -> Result<Self, UuidError> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_newtype!(
    /// A topic's id, which a topic of the same name created later does not share (KIP-516).
    TopicId
);
uuid_newtype!(
    /// A log directory's id, written to its `meta.properties` (KIP-858).
    DirectoryId
);
uuid_newtype!(
    /// One run of a broker process; a restart is a new incarnation (KIP-631).
    IncarnationId
);

impl DirectoryId {
    /// The id of a replica's directory before its broker has chosen one (KIP-858).
    pub const UNASSIGNED: Self = Self::ZERO;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_kafkas_text_form() {
        let id: Uuid = "4L6g3nShT-eMCtK--X86sw".parse().unwrap();
        assert_eq!(id.to_string(), "4L6g3nShT-eMCtK--X86sw");
        assert!("short".parse::<Uuid>().is_err());
    }

    #[test]
    fn sequences_wrap_after_the_largest_integer() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(0), Sequence(5));
    }

    #[test]
    fn wire_sentinels_become_none() {
        assert_eq!(Offset::from_wire(-1), None);
        assert_eq!(Offset::to_wire(None), -1);
        assert_eq!(NodeId::from_wire(3), Some(NodeId(3)));
    }
}
