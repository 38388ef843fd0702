//! The states of a transaction, and the versions of the protocol.

use std::fmt;

use dohle_model::image::MetadataImage;

/// The state of a transactional id, with Kafka's numbers and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum TransactionState {
    /// No transaction since the producer was initialized.
    Empty = 0,
    /// Partitions were added, and the transaction has not ended.
    Ongoing = 1,
    /// The transaction is committed; its partitions get their markers.
    PrepareCommit = 2,
    /// The transaction is aborted; its partitions get their markers.
    PrepareAbort = 3,
    /// Committed, and all markers are written.
    CompleteCommit = 4,
    /// Aborted, and all markers are written.
    CompleteAbort = 5,
    /// The transactional id expired. Never stored: a tombstone is written instead.
    Dead = 6,
    /// Kafka's name for a producer that is being fenced. Never stored: fencing writes
    /// `PrepareAbort` with a higher epoch.
    PrepareEpochFence = 7,
}

impl TransactionState {
    /// All states, by their numbers.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    /// Returns Kafka's number, as records contain it.
    #[must_use]
    pub const fn id(self) -> i8 {
        self as i8
    }

    /// Returns the state with this number.
    #[must_use]
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Returns Kafka's name, as DescribeTransactions and ListTransactions return it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::Dead => "Dead",
            Self::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Returns whether markers are being written: the transaction has ended, and is not complete.
    #[must_use]
    pub const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Returns whether `transactional.id.expiration.ms` applies.
    #[must_use]
    pub const fn may_expire(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::CompleteCommit | Self::CompleteAbort
        )
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A level of the feature `transaction.version` (KIP-890).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(i8)]
pub enum TransactionVersion {
    /// The protocol of KIP-98; values of `__transaction_state` have version 0.
    #[default]
    V0 = 0,
    /// Values of `__transaction_state` are flexible (version 1).
    V1 = 1,
    /// Each transaction raises the producer's epoch.
    V2 = 2,
}

impl TransactionVersion {
    /// The name of the feature.
    pub const FEATURE: &'static str = dohle_model::features::TRANSACTION_VERSION;

    /// Returns the version for a feature level; a level above the known ones counts as the newest.
    #[must_use]
    pub const fn from_level(level: i16) -> Self {
        match level {
            ..=0 => Self::V0,
            1 => Self::V1,
            2.. => Self::V2,
        }
    }

    /// Returns the feature level.
    #[must_use]
    pub const fn level(self) -> i8 {
        self as i8
    }

    /// Returns the version that the cluster has finalized; 0 when the feature is not finalized.
    #[must_use]
    pub fn of(image: &MetadataImage) -> Self {
        Self::from_level(image.features.get(Self::FEATURE).copied().unwrap_or(0))
    }

    /// Returns whether each transaction raises the producer's epoch.
    #[must_use]
    pub const fn bumps_epochs(self) -> bool {
        matches!(self, Self::V2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_numbers_and_names_of_kafka() {
        for (number, state) in TransactionState::ALL.into_iter().enumerate() {
            assert_eq!(state.id(), i8::try_from(number).unwrap());
            assert_eq!(TransactionState::from_id(state.id()), Some(state));
            assert_eq!(TransactionState::from_name(state.name()), Some(state));
        }
        assert_eq!(TransactionState::from_id(-1), None);
        assert_eq!(TransactionState::from_id(8), None);
        assert_eq!(TransactionState::from_name("ongoing"), None);
    }
}
