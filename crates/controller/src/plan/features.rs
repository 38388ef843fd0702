//! Feature levels (KIP-584): what a new cluster finalizes, and what a broker must support.

use dohle_model::record::{BrokerRegistration, MetadataRecord};
use dohle_model::{ApiError, ErrorCode};

use super::Draft;

/// The feature that gates which metadata records may be written.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that gates eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// What a new cluster finalizes: the levels of Apache Kafka 4.3 for the features that are honoured.
pub const BOOTSTRAP_LEVELS: [(&str, i16); 2] =
    [(METADATA_VERSION, METADATA_VERSION_LEVEL), (ELIGIBLE_LEADER_REPLICAS_VERSION, 1)];

/// `metadata.version` of Apache Kafka 4.3 (`4.3-IV0`).
pub const METADATA_VERSION_LEVEL: i16 = 29;

/// The first records of an empty cluster; none when it has features already.
pub fn bootstrap(draft: &mut Draft) {
    if !draft.image.features.is_empty() {
        return;
    }
    for (name, level) in BOOTSTRAP_LEVELS {
        draft.push(MetadataRecord::FeatureLevel { name: name.to_owned(), level });
    }
}

/// Refuses a broker that does not support a finalized level.
pub(super) fn check(draft: &Draft, broker: &BrokerRegistration) -> Result<(), ApiError> {
    for (name, level) in &draft.image.features {
        let range = broker.features.iter().find(|feature| feature.name == *name);
        let (min, max) = range.map_or((0, 0), |range| (range.level_min, range.level_max));
        if !(min..=max).contains(level) {
            return Err(ErrorCode::UnsupportedVersion.because(format!(
                "broker {} supports {name} {min} to {max}, but this cluster runs at level {level}: \
                 start a release of Dohle that supports it",
                broker.id
            )));
        }
    }
    Ok(())
}
