//! `features`: the levels of a cluster's features.
//!
//! Kafka's `FeatureCommand`.

use std::collections::BTreeMap;

use anyhow::bail;
use dohle_admin::{Cluster, api_versions, check};
use kacrab_protocol::generated::{
    ApiVersionsResponseData, FeatureUpdateKey, UpdateFeaturesRequestData,
};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_CONTROLLER, BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::feature_levels::{
    METADATA_VERSION, defaults, display, metadata_version, parse, render_dependencies,
    render_mapping,
};
use crate::options::{Parsed, Subcommand, Syntax, all_of};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

const METADATA: &str = "--metadata <release>: DEPRECATED: the level of the metadata.";
const RELEASE_VERSION: &str = "
    --release-version <release>: The release version whose features are meant; version-mapping tells
        them.
    ";
const FEATURE: &str = "
    --feature <feature=level>: A feature and its level, as in metadata.version=5; may be repeated.
    ";
const UNSAFE: &str = "--unsafe: Do it even if it may irreversibly destroy metadata.";
const DRY_RUN: &str = "--dry-run: Validate the change, but do not perform it.";

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "features",
    linked: true,
    syntax: Syntax {
        tool: "kafka-features",
        about: "This tool manages feature flags in Kafka.",
        options: &[
            BOOTSTRAP_SERVER,
            BOOTSTRAP_CONTROLLER,
            COMMAND_CONFIG,
            OUTPUT,
        ],
        commands: &[
            Subcommand {
                name: "describe",
                help: "Describes the current active feature flags.",
                options: &["--node-id <id>: The node that is asked."],
            },
            Subcommand {
                name: "upgrade",
                help: "Upgrade one or more feature flags.",
                options: &[METADATA, RELEASE_VERSION, FEATURE, DRY_RUN],
            },
            Subcommand {
                name: "downgrade",
                help: "Downgrade one or more feature flags.",
                options: &[METADATA, RELEASE_VERSION, FEATURE, UNSAFE, DRY_RUN],
            },
            Subcommand {
                name: "disable",
                help: "Disable one or more feature flags: downgrade them to zero.",
                options: &[FEATURE, UNSAFE, DRY_RUN],
            },
            Subcommand {
                name: "version-mapping",
                help: "Look up the corresponding features for a given metadata version.",
                options: &[RELEASE_VERSION],
            },
            Subcommand {
                name: "feature-dependencies",
                help: "Look up dependencies for a given feature version.",
                options: &[FEATURE],
            },
        ],
        rules: &[all_of(&["feature"])
            .when(&["feature-dependencies"])
            .message("argument --feature is required")],
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

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
            let updates = updates(run, operation)?;
            let cluster = run.connect().await?;
            update(run, &cluster, operation, &updates).await
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

/// Levels that are asked for, and how they may be reached.
struct Updates {
    levels: BTreeMap<String, i16>,
    /// Upgrade, safe downgrade, unsafe downgrade, as the protocol numbers them.
    kind: i8,
}

fn updates(run: &ToolRun<'_>, operation: &str) -> anyhow::Result<Updates> {
    let parsed = &run.parsed;
    let kind = match operation {
        "upgrade" => 1,
        _ if parsed.has("unsafe") => 3,
        _ => 2,
    };
    let mut levels = BTreeMap::new();
    let (metadata, release) = (parsed.value("metadata")?, parsed.value("release-version")?);
    if release.is_some() && (metadata.is_some() || parsed.has("feature")) {
        bail!("Can not specify `release-version` with other feature flags.");
    }
    if let Some(release) = release {
        let version = metadata_version(release)?;
        levels.insert(METADATA_VERSION.to_owned(), version);
        // An upgrade to nothing is none.
        let known = defaults(version).filter(|(_, level)| kind != 1 || *level > 0);
        levels.extend(known.map(|(name, level)| (name.to_owned(), level)));
    }
    if let Some(release) = metadata {
        run.print(" `metadata` flag is deprecated and may be removed in a future release.\n")?;
        levels.insert(METADATA_VERSION.to_owned(), metadata_version(release)?);
    }
    for (name, level) in given(parsed, operation)? {
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
    Ok(Updates { levels, kind })
}

/// `--feature`, whose level is zero where it is to be disabled.
fn given(parsed: &Parsed, operation: &str) -> anyhow::Result<Vec<(String, i16)>> {
    let features = parsed.values("feature");
    match operation {
        "disable" => Ok(features.map(|name| (name.to_owned(), 0)).collect()),
        _ => features.map(parse).collect(),
    }
}

async fn update(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    operation: &str,
    updates: &Updates,
) -> anyhow::Result<()> {
    let dry_run = run.parsed.has("dry-run");
    let keys = updates.levels.iter().map(|(name, level)| FeatureUpdateKey {
        feature: name.clone().into(),
        max_version_level: *level,
        upgrade_type: updates.kind,
        ..FeatureUpdateKey::default()
    });
    let request = UpdateFeaturesRequestData {
        timeout_ms: cluster.request_timeout_ms(),
        feature_updates: keys.collect(),
        validate_only: dry_run,
        ..UpdateFeaturesRequestData::default()
    };
    let answer = cluster.ask(&request).await?;
    let whole = check(answer.error_code, answer.error_message.as_ref()).err();
    let error_of = |name: &str| {
        let mut results = answer.results.iter();
        let result = results.find(|result| result.feature.as_str() == name);
        let own =
            result.and_then(|result| check(result.error_code, result.error_message.as_ref()).err());
        own.map(|error| error.to_string())
            .or_else(|| whole.as_ref().map(ToString::to_string))
    };
    let mut failed = 0;
    for (name, level) in &updates.levels {
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
                let could_not = if dry_run { "Can not" } else { "Could not" };
                format!("{could_not} {what}. {error}\n")
            }
            None if dry_run => format!("{name} can be {done}.\n"),
            None => format!("{name} was {done}.\n"),
        })?;
    }
    if failed > 0 {
        bail!(
            "{failed} out of {} operation(s) failed.",
            updates.levels.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
