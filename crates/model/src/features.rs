//! Feature levels that this release knows (KIP-584): what a node supports, and what a new cluster
//! finalizes. Names and levels are Apache Kafka 4.3's.

use crate::record::SupportedFeature;

/// Gates which metadata records may be written.
pub const METADATA_VERSION: &str = "metadata.version";

/// Gates eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// Gates the consumer protocol of groups (KIP-848): level 1 has it.
pub const GROUP_VERSION: &str = "group.version";

/// Name, lowest and highest level, and the level that a new cluster finalizes. `metadata.version`
/// 30 is `4.3-IV0`.
pub const SUPPORTED: [(&str, i16, i16, i16); 3] = [
    (METADATA_VERSION, 7, 30, 30),
    (ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1, 1),
    (GROUP_VERSION, 0, 1, 1),
];

/// What a broker of this release registers.
#[must_use]
pub fn supported() -> Vec<SupportedFeature> {
    SUPPORTED
        .iter()
        .map(|(name, level_min, level_max, _)| SupportedFeature {
            name: (*name).to_owned(),
            level_min: *level_min,
            level_max: *level_max,
        })
        .collect()
}
