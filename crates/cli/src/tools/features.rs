//! `features`: the levels of a cluster's features.
//!
//! Kafka's `FeatureCommand`.

use std::collections::BTreeMap;

use anyhow::bail;
use dohle_admin::{FeatureUpdate, api_versions, check, update_features};
use dohle_model::features::defaults_of;
use kacrab_protocol::generated::ApiVersionsResponseData;
use serde::Serialize;

use crate::connect::{BOOTSTRAP, COMMAND_CONFIG};
use crate::feature_levels::{
    METADATA_VERSION, display, metadata_version, parse, render_dependencies, render_mapping,
};
use crate::options::{arguments, none_of};
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

/// The option that names features and their levels.
macro_rules! feature_option {
    () => {
        "        --feature <feature=level>: A feature and its level, as in metadata.version=5; may
            be repeated.
"
    };
}

/// The options of upgrade and downgrade that say which levels are wanted.
macro_rules! level_options {
    () => {
        concat!(
            "        --metadata <release>: DEPRECATED: the level of the metadata.
        --release-version <release>: The release whose levels of features are used;
            version-mapping prints them.
",
            feature_option!()
        )
    };
}

/// The options of commands that may lose metadata.
macro_rules! destructive_options {
    () => {
        "        --unsafe: Do it even if it may irreversibly destroy metadata.
        --dry-run: Validate the change, but do not perform it.
"
    };
}

const COMMANDS: &str = concat!(
    "
    describe: Describes the current active feature flags.
        --node-id <id>: The node that is asked.
    upgrade: Upgrade one or more feature flags.
",
    level_options!(),
    "        --dry-run: Validate the change, but do not perform it.
    downgrade: Downgrade one or more feature flags.
",
    level_options!(),
    destructive_options!(),
    "    disable: Disable one or more feature flags: downgrade them to zero.
",
    feature_option!(),
    destructive_options!(),
    "    version-mapping: Look up the corresponding features for a given metadata version.
        --release-version <release>: The release whose levels of features are printed.
    feature-dependencies: Look up dependencies for a given feature version.
",
    feature_option!(),
);

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-features",
    "This tool manages feature flags in Kafka.",
    &[BOOTSTRAP, COMMAND_CONFIG, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    arguments("feature").when("feature-dependencies"),
    none_of("metadata feature")
        .when("release-version")
        .message("Can not specify `release-version` with other feature flags."),
])
.commands(COMMANDS);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    match parsed.command {
        Some("version-mapping") => {
            Ok(run.print(render_mapping(parsed.value("release-version")?)?)?)
        }
        Some("feature-dependencies") => {
            Ok(run.print(render_dependencies(parsed.values("feature"))?)?)
        }
        Some("describe") => describe(run).await,
        Some(operation) => {
            let levels = levels(run, operation)?;
            update(run, operation, levels).await
        }
        None => Ok(()),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Feature {
    feature: String,
    supported_min_version: i16,
    supported_max_version: i16,
    finalized_version_level: i16,
    epoch: Option<i64>,
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let node: Option<i32> = run.parsed.parsed("node-id")?;
    if let Some(node) = node.filter(|node| *node < 0) {
        bail!("Invalid node id {node}: must be non-negative.");
    }
    let cluster = run.connect().await?;
    let answer = api_versions(&cluster, node).await?;
    let features = features(&answer);
    run.show(features.as_slice(), render)
}

fn features(answer: &ApiVersionsResponseData) -> Vec<Feature> {
    let mut features: Vec<Feature> = answer
        .supported_features
        .iter()
        .map(|supported| {
            let mut finalized = answer.finalized_features.iter();
            let finalized = finalized.find(|one| one.name == supported.name);
            Feature {
                feature: supported.name.to_string(),
                supported_min_version: supported.min_version,
                supported_max_version: supported.max_version,
                finalized_version_level: finalized.map_or(0, |one| one.max_version_level),
                epoch: Some(answer.finalized_features_epoch).filter(|epoch| *epoch >= 0),
            }
        })
        .collect();
    features.sort_by(|a, b| a.feature.cmp(&b.feature));
    features
}

/// As Kafka's tool prints it.
fn render(features: &[Feature]) -> String {
    let line = |one: &Feature| {
        let name = &one.feature;
        format!(
            "Feature: {name:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  \
             FinalizedVersionLevel: {:<15}  Epoch: {}\n",
            display(name, one.supported_min_version),
            display(name, one.supported_max_version),
            display(name, one.finalized_version_level),
            one.epoch.map_or("-".to_owned(), |epoch| epoch.to_string())
        )
    };
    features.iter().map(line).collect()
}

/// The levels that the command line asks for.
fn levels(run: &ToolRun<'_>, operation: &str) -> anyhow::Result<BTreeMap<String, i16>> {
    let parsed = &run.parsed;
    let mut levels = BTreeMap::new();
    let (metadata, release) = (parsed.value("metadata")?, parsed.value("release-version")?);
    if let Some(release) = release {
        let version = metadata_version(release)?;
        levels.insert(METADATA_VERSION.to_owned(), version);
        // An upgrade to nothing is none.
        let known = defaults_of(version).filter(|(_, level)| operation != "upgrade" || *level > 0);
        levels.extend(known.map(|(name, level)| (name.to_owned(), level)));
    }
    if let Some(release) = metadata {
        run.print(" `metadata` flag is deprecated and may be removed in a future release.\n")?;
        levels.insert(METADATA_VERSION.to_owned(), metadata_version(release)?);
    }
    for feature in parsed.values("feature") {
        let (name, level) = match operation {
            "disable" => (feature.to_owned(), 0),
            _ => parse(feature)?,
        };
        if levels.insert(name.clone(), level).is_some() {
            bail!("Feature {name} was specified more than once.");
        }
    }
    if levels.values().any(|level| *level < 0) {
        bail!("Cannot specify a negative version level.");
    }
    if levels.is_empty() {
        bail!("You must specify at least one feature to {operation}");
    }
    Ok(levels)
}

/// Takes out the features that a cluster does not have at all, and returns their names. A release
/// of Kafka has features that a cluster may lack, and one of them would prevent the whole upgrade.
fn take_unsupported(levels: &mut BTreeMap<String, i16>, supported: &[Feature]) -> Vec<String> {
    let is_supported =
        |name: &str| name == METADATA_VERSION || supported.iter().any(|one| one.feature == name);
    let names = levels.keys().filter(|name| !is_supported(name));
    let names: Vec<String> = names.cloned().collect();
    levels.retain(|name, _| is_supported(name));
    names
}

async fn update(
    run: &ToolRun<'_>,
    operation: &str,
    mut levels: BTreeMap<String, i16>,
) -> anyhow::Result<()> {
    let cluster = run.connect().await?;
    if operation == "upgrade" && run.parsed.has("release-version") {
        let supported = features(&api_versions(&cluster, None).await?);
        for name in take_unsupported(&mut levels, &supported) {
            run.print(format!("{name} is not supported by this cluster.\n"))?;
        }
    }
    let kind = match operation {
        "upgrade" => FeatureUpdate::Upgrade,
        _ if run.parsed.has("unsafe") => FeatureUpdate::UnsafeDowngrade,
        _ => FeatureUpdate::SafeDowngrade,
    };
    let dry_run = run.parsed.has("dry-run");
    let could_not = if dry_run { "Can not" } else { "Could not" };
    let answer = update_features(&cluster, &levels, kind, dry_run).await?;
    let whole = check(answer.error_code, answer.error_message.as_ref()).err();
    let error_of = |name: &str| {
        let mut results = answer.results.iter();
        let result = results.find(|result| result.feature.as_str() == name);
        let own = result.map(|one| check(one.error_code, one.error_message.as_ref()));
        let own = own.and_then(Result::err);
        own.as_ref().or(whole.as_ref()).map(ToString::to_string)
    };
    let mut failed = 0;
    for (name, level) in &levels {
        let (what, done) = match operation {
            "disable" => (format!("disable {name}"), "disabled".to_owned()),
            _ => (
                format!("{operation} {name} to {level}"),
                format!("{operation}d to {level}"),
            ),
        };
        run.print(match error_of(name) {
            Some(error) => {
                failed += 1;
                format!("{could_not} {what}. {error}\n")
            }
            None if dry_run => format!("{name} can be {done}.\n"),
            None => format!("{name} was {done}.\n"),
        })?;
    }
    if failed > 0 {
        bail!("{failed} out of {} operation(s) failed.", levels.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_to_a_release_leaves_out_what_a_cluster_does_not_have() {
        let supported = |name: &str| Feature {
            feature: name.to_owned(),
            supported_min_version: 0,
            supported_max_version: 1,
            finalized_version_level: 0,
            epoch: None,
        };
        let levels = [
            (METADATA_VERSION, 33),
            ("group.version", 9),
            ("share.version", 2),
        ];
        let mut levels = levels.map(|(name, level)| (name.to_owned(), level)).into();
        let unsupported = take_unsupported(&mut levels, &[supported("group.version")]);
        assert_eq!(unsupported, ["share.version"]);
        // A level that a cluster has too low is the cluster's to refuse.
        let left: Vec<_> = levels.into_iter().collect();
        let expected = [("group.version", 9), (METADATA_VERSION, 33)];
        assert_eq!(left, expected.map(|(name, level)| (name.to_owned(), level)));
    }

    #[test]
    fn features_are_printed_as_kafka_does() {
        let feature = |name: &str, min, max, level| Feature {
            feature: name.to_owned(),
            supported_min_version: min,
            supported_max_version: max,
            finalized_version_level: level,
            epoch: Some(5055),
        };
        let all = [
            feature("group.version", 0, 1, 1),
            feature(METADATA_VERSION, 7, 30, 30),
        ];
        expect_test::expect![[r#"
            Feature: group.version                             SupportedMinVersion: 0                SupportedMaxVersion: 1                FinalizedVersionLevel: 1                Epoch: 5055
            Feature: metadata.version                          SupportedMinVersion: 3.3-IV3          SupportedMaxVersion: 4.3-IV0          FinalizedVersionLevel: 4.3-IV0          Epoch: 5055
        "#]]
        .assert_eq(&render(&all));
    }
}
