//! Feature levels (KIP-584): what a new cluster finalizes, what a broker must support, and
//! UpdateFeatures.

use std::collections::BTreeMap;

use dohle_model::features::{self, METADATA_VERSION, dependency, metadata_changed};
use dohle_model::record::{BrokerRegistration, MetadataRecord};
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::{UpdateFeaturesRequestData, UpdateFeaturesResponseData};
use dohle_protocol::text;

use super::{Draft, configs};

/// The first records of an active controller: the features and users of an empty cluster, and one
/// value of `min.insync.replicas` for the whole cluster while eligible leader replicas are tracked.
pub fn bootstrap(draft: &mut Draft) {
    if draft.image.features.is_empty() {
        for (name, level) in draft.settings.new_cluster_features.clone() {
            draft.push(MetadataRecord::FeatureLevel { name, level });
        }
        for user in draft.settings.new_cluster_users.clone() {
            draft.push(user);
        }
    }
    if draft.elr_enabled() {
        configs::unify_min_isr(draft);
    }
}

/// Refuses a broker that does not support a finalized level. A feature that the broker does not
/// list counts as unsupported.
pub(super) fn check(draft: &Draft, broker: &BrokerRegistration) -> Result<(), ApiError> {
    for (name, level) in &draft.image.features {
        let (min, max) = range_of(broker, name);
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

fn range_of(broker: &BrokerRegistration, feature: &str) -> (i16, i16) {
    let range = broker.features.iter().find(|one| one.name == feature);
    range.map_or((0, 0), |range| (range.level_min, range.level_max))
}

/// Plans UpdateFeatures: applies all of the updates, or none.
#[must_use]
pub fn update(
    draft: &mut Draft,
    request: &UpdateFeaturesRequestData,
) -> UpdateFeaturesResponseData {
    let before = request.validate_only.then(|| draft.clone());
    let result = draft.attempt(|draft| update_all(draft, request));
    if let Some(before) = before {
        *draft = before;
    }
    match result {
        Ok(()) => UpdateFeaturesResponseData::default(),
        Err(error) => UpdateFeaturesResponseData {
            error_code: error.code.code(),
            error_message: Some(text(&format!(
                "The update failed for all features since the following feature had an error: {}",
                error.message
            ))),
            ..UpdateFeaturesResponseData::default()
        },
    }
}

/// The kinds of level changes, with the protocol's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpgradeType {
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    fn from_wire(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Upgrade),
            2 => Some(Self::SafeDowngrade),
            3 => Some(Self::UnsafeDowngrade),
            _ => None,
        }
    }
}

fn update_all(draft: &mut Draft, request: &UpdateFeaturesRequestData) -> Result<(), ApiError> {
    // When a feature is listed twice, the last update applies, as in Kafka.
    let updates: BTreeMap<&str, (i16, i8)> = request
        .feature_updates
        .iter()
        .map(|one| {
            (
                one.feature.as_str(),
                (one.max_version_level, one.upgrade_type),
            )
        })
        .collect();
    let mut proposed: BTreeMap<&str, i16> = BTreeMap::new();
    proposed.extend(updates.iter().map(|(name, (level, _))| (*name, *level)));
    let mut changes = Vec::new();
    for (name, (level, kind)) in &updates {
        check_update(draft, &proposed, name, *level, *kind)?;
        if draft.image.feature_level(name) != *level {
            changes.push(((*name).to_owned(), *level));
        }
    }
    let elr_before = draft.elr_enabled();
    for (name, level) in changes {
        draft.push(MetadataRecord::FeatureLevel { name, level });
    }
    match (elr_before, draft.elr_enabled()) {
        (false, true) => configs::unify_min_isr(draft),
        (true, false) => configs::stop_tracking_eligible(draft),
        _ => {}
    }
    Ok(())
}

/// Refuses an invalid update with Kafka's messages.
fn check_update(
    draft: &Draft,
    proposed: &BTreeMap<&str, i16>,
    name: &str,
    level: i16,
    kind: i8,
) -> Result<(), ApiError> {
    let invalid = |reason: &str| {
        Err(ErrorCode::InvalidUpdateVersion.because(format!(
            "Invalid update version {level} for feature {name}. {reason}"
        )))
    };
    let Some(kind) = UpgradeType::from_wire(kind) else {
        return invalid("The controller does not support the given upgrade type.");
    };
    let current = draft.image.feature_level(name);
    if level < 0 {
        return invalid("A feature version cannot be less than 0.");
    }
    if let Some(reason) = reason_not_supported(draft, name, level) {
        return invalid(&reason);
    }
    if level < current && kind == UpgradeType::Upgrade {
        return invalid(
            "Can't downgrade the version of this feature without setting the upgrade type to \
             either safe or unsafe downgrade.",
        );
    }
    if level > current && kind != UpgradeType::Upgrade {
        return invalid("Can't downgrade to a newer version.");
    }
    if name == METADATA_VERSION {
        return check_metadata_version(current, level, kind);
    }
    if !features::exists(name) {
        return invalid(&format!("Feature {name} not found."));
    }
    if let Some((needs, at_least)) = dependency(name, level) {
        let proposed = proposed.get(needs).copied();
        if proposed.unwrap_or_else(|| draft.image.feature_level(needs)) < at_least {
            return invalid(&format!(
                "{name} could not be set to {level} because it depends on {needs} level {at_least}"
            ));
        }
    }
    Ok(())
}

/// Returns why a node of the cluster cannot work at this level.
fn reason_not_supported(draft: &Draft, name: &str, level: i16) -> Option<String> {
    let controller = draft.settings.controller;
    let local = features::supported_range(name);
    let local = [(format!("Local controller {controller}"), local)];
    let brokers = draft.image.brokers.values();
    let brokers = brokers.map(|one| (format!("Broker {}", one.id), range_of(one, name)));
    let mut nodes = local.into_iter().chain(brokers);
    nodes.find_map(|(node, (min, max))| match max {
        _ if (min..=max).contains(&level) => None,
        0 => Some(format!("{node} does not support this feature.")),
        _ if min == max => Some(format!("{node} only supports versions {min}")),
        _ => Some(format!("{node} only supports versions {min}-{max}")),
    })
}

fn check_metadata_version(current: i16, level: i16, kind: UpgradeType) -> Result<(), ApiError> {
    if level >= current || !metadata_changed(current, level) {
        return Ok(());
    }
    let reason = match kind {
        UpgradeType::UnsafeDowngrade => {
            "Unsafe metadata downgrade is not supported in this version."
        }
        _ => {
            "Refusing to perform the requested downgrade because it might delete metadata \
             information."
        }
    };
    Err(ErrorCode::InvalidUpdateVersion.because(format!(
        "Unsupported metadata.version downgrade from {current} to {level}. {reason}"
    )))
}
