//! Transactional ids, and the id and epoch that identify one incarnation of a producer.

use dohle_model::{ProducerEpoch, ProducerId, text_id};

text_id! {
    /// `transactional.id`. Not empty.
    TransactionalId
}

/// A producer's id together with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    /// The id.
    pub id: ProducerId,
    /// The epoch.
    pub epoch: ProducerEpoch,
}
