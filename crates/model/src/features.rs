//! Feature levels of this release (KIP-584): what a node supports, and what a new cluster
//! finalizes. Names, levels and rules are Apache Kafka 4.4's.

use std::collections::BTreeMap;

use crate::record::SupportedFeature;

/// The version of Kafka's metadata. Dohle's own records do not depend on it; other features do.
pub const METADATA_VERSION: &str = "metadata.version";

/// The level of `metadata.version` from which on brokers cordon log directories (KIP-1066).
pub const CORDONED_LOG_DIRS_FROM: i16 = 30;

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
/// finalizes. `metadata.version` 33 is `4.4-IV2`.
pub const SUPPORTED: [(&str, i16, i16, i16); 4] = [
    (METADATA_VERSION, 7, 33, 33),
    (ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1, 1),
    (GROUP_VERSION, 0, 1, 1),
    (TRANSACTION_VERSION, 0, 2, 2),
];

/// Features of Apache Kafka that this release supports only at level 0.
pub const LEVEL_ZERO_ONLY: [&str; 3] = [KRAFT_VERSION, "share.version", "streams.version"];

/// The levels of `metadata.version` that changed Apache Kafka's metadata. A downgrade below one of
/// them is refused.
const METADATA_CHANGES: [i16; 11] = [7, 8, 11, 13, 14, 15, 17, 23, 30, 32, 33];

/// The `metadata.version` from which on ACLs may name a range of addresses.
pub const ACL_RANGES_FROM: i16 = 32;

/// The `metadata.version` from which on controllers may be unregistered.
pub const CONTROLLERS_UNREGISTERED_FROM: i16 = 33;

/// The releases of Apache Kafka that `metadata.version` 7 and the levels after it are named after.
pub const RELEASES: [&str; 28] = [
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
    "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
    "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
    "4.4-IV0", "4.4-IV1", "4.4-IV2", "4.5-IV0",
];

/// The newest release that is no preview.
pub const LATEST_RELEASE: &str = "4.4-IV2";

/// Apache Kafka's features but `metadata.version`, with each level and the `metadata.version` from
/// which on it is the default.
pub const KAFKA_LEVELS: [(&str, &[(i16, i16)]); 6] = [
    (KRAFT_VERSION, &[(0, 7), (1, 21)]),
    (TRANSACTION_VERSION, &[(0, 7), (1, 24), (2, 24)]),
    (GROUP_VERSION, &[(0, 7), (1, 22)]),
    (ELIGIBLE_LEADER_REPLICAS_VERSION, &[(0, 7), (1, 26)]),
    ("share.version", &[(0, 7), (1, 28), (2, 31)]),
    ("streams.version", &[(0, 7), (1, 29)]),
];

/// Returns the release that a `metadata.version` is named after.
#[must_use]
pub fn release(level: i16) -> Option<&'static str> {
    let index = usize::try_from(level - SUPPORTED[0].1).ok()?;
    RELEASES.get(index).copied()
}

/// Returns the `metadata.version` of a release: `3.9-IV0`, or `3.9` for the last one of it.
#[must_use]
pub fn metadata_version(release: &str) -> Option<i16> {
    let mut parts = release.splitn(3, '.');
    let key = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => release.to_owned(),
    };
    let of_release = |known: &&str| **known == key || known.split('-').next() == Some(&key);
    let index = RELEASES.iter().rposition(of_release)?;
    Some(SUPPORTED[0].1 + i16::try_from(index).ok()?)
}

/// Returns the levels that Apache Kafka's features, `metadata.version` not among them, have by
/// default with a `metadata.version`.
pub fn defaults_of(metadata_version: i16) -> impl Iterator<Item = (&'static str, i16)> {
    KAFKA_LEVELS.iter().map(move |(name, levels)| {
        let fits = levels.iter().filter(|(_, from)| *from <= metadata_version);
        (*name, fits.map(|(level, _)| *level).max().unwrap_or(0))
    })
}

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
