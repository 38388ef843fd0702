//! Feature levels of this release (KIP-584): what a node supports, and what a new cluster
//! finalizes. Names, levels and rules are Apache Kafka 4.3's.

use std::collections::BTreeMap;

use crate::record::SupportedFeature;

/// The version of Kafka's metadata. Dohle's own records do not depend on it; other features do.
pub const METADATA_VERSION: &str = "metadata.version";

/// Enables eligible leader replicas (KIP-966).
pub const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// Enables the consumer protocol of groups (KIP-848), from level 1 on.
pub const GROUP_VERSION: &str = "group.version";

/// The protocol of transactions: level 1 adds flexible records, level 2 raises the producer epoch
/// with each transaction (KIP-890).
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// The quorum's protocol: level 1 adds voters that change at run time (KIP-853).
pub const KRAFT_VERSION: &str = "kraft.version";

/// The supported features: name, lowest and highest level, and the level that a new cluster
/// finalizes. `metadata.version` 30 is `4.3-IV0`.
pub const SUPPORTED: [(&str, i16, i16, i16); 4] = [
    (METADATA_VERSION, 7, 30, 30),
    (ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1, 1),
    (GROUP_VERSION, 0, 1, 1),
    (TRANSACTION_VERSION, 0, 2, 2),
];

/// Features of Apache Kafka that this release supports only at level 0.
pub const LEVEL_ZERO_ONLY: [&str; 3] = [KRAFT_VERSION, "share.version", "streams.version"];

/// The levels of `metadata.version` that changed Apache Kafka's metadata. A downgrade below one of
/// them is refused.
const METADATA_CHANGES: [i16; 9] = [7, 8, 11, 13, 14, 15, 17, 23, 30];

/// Returns the features that a broker of this release registers.
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

/// Returns the lowest and highest level of a feature that this release supports: both are 0 for an
/// unsupported feature.
#[must_use]
pub fn supported_range(feature: &str) -> (i16, i16) {
    let mut rows = SUPPORTED.iter();
    rows.find(|(name, ..)| *name == feature)
        .map_or((0, 0), |(_, min, max, _)| (*min, *max))
}

/// Returns the levels that a new cluster finalizes, unless it was formatted with others.
#[must_use]
pub fn defaults() -> BTreeMap<String, i16> {
    let rows = SUPPORTED.iter();
    rows.map(|(name, .., level)| ((*name).to_owned(), *level))
        .collect()
}

/// Whether this release supports the feature, even if only at level 0.
#[must_use]
pub fn exists(feature: &str) -> bool {
    LEVEL_ZERO_ONLY.contains(&feature) || SUPPORTED.iter().any(|(name, ..)| *name == feature)
}

/// Returns the feature, and its level, on which a level of `feature` depends.
#[must_use]
pub fn dependency(feature: &str, level: i16) -> Option<(&'static str, i16)> {
    (feature == ELIGIBLE_LEADER_REPLICAS_VERSION && level == 1).then_some((METADATA_VERSION, 23))
}

/// Whether a downgrade of `metadata.version` could lose metadata.
#[must_use]
pub fn metadata_changed(from: i16, to: i16) -> bool {
    METADATA_CHANGES
        .iter()
        .any(|level| (to + 1..=from).contains(level))
}
