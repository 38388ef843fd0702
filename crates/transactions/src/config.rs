//! The broker's configuration of transactions, as typed values.

use std::time::Duration;

use dohle_config::BrokerValues;
use dohle_config::keys::broker as keys;

/// The properties that the coordinator uses. The fields have Kafka's names with underscores instead
/// of dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`: the longest timeout that a producer may request.
    pub transaction_max_timeout: Duration,
    /// `transactional.id.expiration.ms`: how long an id is kept after its last change.
    pub transactional_id_expiration: Duration,
    /// `transaction.two.phase.commit.enable`.
    pub two_phase_commit_enable: bool,
    /// The largest record that `__transaction_state` accepts, as a batch of its own: its
    /// `max.message.bytes`, or its `segment.bytes` if those are fewer.
    pub record_bytes_max: usize,
}

impl TransactionConfig {
    /// Reads the effective values, which were validated where they were set, for a topic that
    /// accepts records of this size.
    #[must_use]
    pub fn resolve(values: &BrokerValues, record_bytes_max: usize) -> Self {
        Self {
            transaction_max_timeout: values.read(&keys::TRANSACTION_MAX_TIMEOUT_MS),
            transactional_id_expiration: values.read(&keys::TRANSACTIONAL_ID_EXPIRATION_MS),
            two_phase_commit_enable: values.read(&keys::TRANSACTION_TWO_PHASE_COMMIT_ENABLE),
            record_bytes_max,
        }
    }
}
