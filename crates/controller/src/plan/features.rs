//! Feature levels (KIP-584): what a new cluster finalizes, and what a broker must support.

use dohle_model::features::SUPPORTED;
use dohle_model::record::{BrokerRegistration, MetadataRecord};
use dohle_model::{ApiError, ErrorCode};

use super::{Draft, configs};

/// The first records of an active controller: the features of an empty cluster, and one value of
/// `min.insync.replicas` for the whole cluster while eligible leader replicas are tracked.
pub fn bootstrap(draft: &mut Draft) {
    if draft.image.features.is_empty() {
        for (name, .., level) in SUPPORTED {
            draft.push(MetadataRecord::FeatureLevel {
                name: name.to_owned(),
                level,
            });
        }
    }
    if draft.elr_enabled() {
        configs::unify_min_isr(draft);
    }
}

/// Refuses a broker that does not support a finalized level. One that does not tell about a feature
/// does not have it.
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
