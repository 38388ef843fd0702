//! `storage`: formats a node's directories, and describes them.
//!
//! Kafka's `StorageTool`. Reading a configuration and formatting directories are functions of the
//! server, which the program around this crate passes in ([`crate::Host`]).

mod recover_quorum;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use dohle_log::directory::MetaProperties;
use dohle_model::features;
use kacrab_protocol::KafkaUuid;

use super::strays;
use crate::feature_levels::{
    METADATA_VERSION, defaults, display, levels, metadata_version, names, parse,
    render_dependencies, render_mapping,
};
use crate::host::NodeDirectories;
use crate::options::{Parsed, Subcommand, Syntax, UsageError, all_of};
use crate::tool_run::{AlreadyReported, Failure, Tool, ToolRun, Work};

const CONFIG: &str = "--config, -c <file>: The Kafka configuration file to use.";
const RELEASE_VERSION: &str =
    "--release-version, -r <release>: The release version whose features are meant.";
const FEATURE: &str = "
    --feature, -f <feature=level>: A feature and its level, as in kraft.version=1; may be repeated.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "storage",
    linked: true,
    syntax: Syntax {
        tool: "kafka-storage",
        about: "The Kafka storage tool.",
        options: &[],
        commands: &[
            Subcommand {
                name: "info",
                help: "Get information about the Kafka log directories on this node.",
                options: &[CONFIG],
            },
            Subcommand {
                name: "format",
                help: "Format the Kafka log directories on this node. A node also does so by \
                       itself when it starts with empty ones.",
                options: &[
                    CONFIG,
                    "
                    --cluster-id, -t <id>: The cluster ID to use.
                    --ignore-formatted, -g: Skip over already formatted directories rather than
                        failing.
                    ",
                    RELEASE_VERSION,
                    FEATURE,
                    "
                    --add-scram, -S <credential>: A SCRAM credential to add.
                    --standalone, -s: A controller that is alone; without controller.quorum.voters.
                    --no-initial-controllers, -N: A server that does not say who the controllers
                        are.
                    --initial-controllers, -I <id@host:port:directory,...>: The controllers that the
                        quorum begins with.
                    ",
                ],
            },
            strays::command(&[CONFIG, strays::YES]),
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
            recover_quorum::SUBCOMMAND,
            Subcommand {
                name: "random-uuid",
                help: "Print a random UUID.",
                options: &[],
            },
        ],
        rules: &[
            all_of(&["feature"])
                .when(&["feature-dependencies"])
                .message("argument --feature/-f is required"),
            all_of(&["config"])
                .when(&["info", "format", strays::NAME, "recover-quorum"])
                .message("argument --config/-c is required"),
            all_of(&["cluster-id"])
                .when(&["format"])
                .message("argument --cluster-id/-t is required"),
        ],
    },
    work: Work::Plain(work),
    failure: Failure::Stderr(""),
};

fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    match parsed.command {
        Some("random-uuid") => Ok(run.print(format!("{}\n", KafkaUuid::random()?))?),
        Some("version-mapping") => {
            Ok(run.print(render_mapping(parsed.value("release-version")?)?)?)
        }
        Some("feature-dependencies") => {
            Ok(run.print(render_dependencies(parsed.values("feature"))?)?)
        }
        Some("format") => format(run),
        Some(strays::NAME) => {
            let directories = (run.host.directories)(config(parsed)?, None)?;
            strays::handle(run, &directories.all)
        }
        Some("recover-quorum") => recover_quorum::recover(run),
        _ => info(run),
    }
}

fn config(parsed: &Parsed) -> Result<&Path, UsageError> {
    parsed.required("config").map(Path::new)
}

fn format(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let config = config(parsed)?;
    let cluster_id = parsed.required("cluster-id")?;
    let directories = (run.host.directories)(config, Some(cluster_id))?;
    refuse_what_is_not_there(parsed, &directories)?;
    let formatted = |path: &PathBuf| path.join("meta.properties").exists();
    let left: Vec<&PathBuf> = directories
        .all
        .iter()
        .filter(|path| !formatted(path))
        .collect();
    if !parsed.has("ignore-formatted")
        && let Some(path) = directories.all.iter().find(|path| formatted(path))
    {
        bail!(
            "Log directory {} is already formatted. Use --ignore-formatted to ignore this \
             directory and format the others.",
            path.display()
        );
    }
    let features = features(parsed)?;
    (run.host.format)(config, cluster_id, features.as_ref())?;
    if left.is_empty() {
        run.print("All of the log directories are already formatted.\n")?;
    }
    let version = features.map_or(LEVEL, |levels| levels[METADATA_VERSION]);
    let release = display(METADATA_VERSION, version);
    for path in left {
        let kind = if *path == directories.metadata {
            "metadata"
        } else {
            "data"
        };
        let path = path.display();
        run.print(format!(
            "Formatting {kind} directory {path} with metadata.version {release}.\n"
        ))?;
    }
    Ok(())
}

/// The `metadata.version` that new clusters have.
const LEVEL: i16 = 30;

/// What Kafka's tool can write into a new cluster's metadata and this server cannot.
fn refuse_what_is_not_there(parsed: &Parsed, directories: &NodeDirectories) -> anyhow::Result<()> {
    let dynamic = parsed.has("initial-controllers") || parsed.has("standalone");
    if directories.static_voters && dynamic {
        bail!(
            "You cannot specify controller.quorum.voters and format the node with \
             --initial-controllers or --standalone. If you want to use dynamic quorum, please \
             remove controller.quorum.voters and specify controller.quorum.bootstrap.servers \
             instead."
        );
    }
    let voters = parsed.value("initial-controllers")?.unwrap_or_default();
    if voters.contains(',') {
        bail!(
            "--initial-controllers is not supported for more than one controller: list all \
             controllers in controller.quorum.voters of every node instead, as in \
             1@host1:9093,2@host2:9093,3@host3:9093"
        );
    }
    if parsed.has("add-scram") {
        bail!("--add-scram is not supported: Dohle has no SCRAM credentials yet");
    }
    Ok(())
}

/// The levels that a new cluster finalizes: `None` when the operator chose none. Refused as by
/// Kafka's tool.
fn features(parsed: &Parsed) -> anyhow::Result<Option<BTreeMap<String, i16>>> {
    let given: Result<Vec<(String, i16)>, _> = parsed.values("feature").map(parse).collect();
    let given = given?;
    let release = parsed.value("release-version")?;
    if release.is_none() && given.is_empty() {
        return Ok(None);
    }
    let mut version = release.map(metadata_version).transpose()?;
    if let Some((_, level)) = given.iter().find(|(name, _)| name == METADATA_VERSION) {
        if release.is_some() {
            bail!(
                "Use --release-version instead of --feature metadata.version=X to avoid ambiguity."
            );
        }
        version = Some(*level);
    }
    let version = version.unwrap_or(LEVEL);
    let (min, max) = features::supported_range(METADATA_VERSION);
    if !(min..=max).contains(&version) {
        bail!(
            "No MetadataVersion with feature level {version}. Valid feature levels are from {min} \
             to {max}."
        );
    }
    let mut levels = BTreeMap::from([(METADATA_VERSION.to_owned(), version)]);
    let ours = |name: &str| features::supported_range(name).1 > 0;
    let defaults = defaults(version).filter(|(name, _)| ours(name));
    levels.extend(defaults.map(|(name, level)| (name.to_owned(), level)));
    for (name, level) in given.iter().filter(|(name, _)| name != METADATA_VERSION) {
        check_level(name, *level)?;
        levels.insert(name.clone(), *level);
    }
    for (name, level) in &levels {
        let needs = features::dependency(name, *level);
        if let Some((on, at_least)) = needs.filter(|(on, least)| levels[*on] < *least) {
            bail!("{name} could not be set to {level} because it depends on {on} level {at_least}");
        }
    }
    Ok(Some(levels))
}

/// Refuses a level that does not exist in Kafka, or not here.
fn check_level(name: &str, level: i16) -> anyhow::Result<()> {
    let Some(levels) = levels(name) else {
        bail!(
            "Unsupported feature: {name}. Supported features are: {}",
            names().join(", ")
        );
    };
    if !levels.contains(&level) {
        bail!("No feature:{name} with feature level {level}");
    }
    if level > features::supported_range(name).1 {
        bail!("--feature {name}={level} is not supported: Dohle has no {name} yet");
    }
    Ok(())
}

fn info(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let directories = (run.host.directories)(config(&run.parsed)?, None)?;
    let mut paths = directories.all;
    paths.sort();
    let (text, sound) = describe(&paths);
    run.print(text)?;
    if sound {
        Ok(())
    } else {
        Err(AlreadyReported.into())
    }
}

/// As Kafka's tool prints it, and whether all is well.
fn describe(paths: &[PathBuf]) -> (String, bool) {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    let mut first: Option<MetaProperties> = None;
    for path in paths {
        let shown = path.display();
        if !path.is_dir() {
            let what = if path.exists() {
                "is not a directory"
            } else {
                "does not exist"
            };
            problems.push(format!("{shown} {what}"));
            continue;
        }
        found.push(shown.to_string());
        let file = path.join("meta.properties");
        let Ok(text) = std::fs::read_to_string(&file) else {
            problems.push(format!("{shown} is not formatted."));
            continue;
        };
        match MetaProperties::decode(&text, &file) {
            Err(error) => problems.push(format!("Error loading {}: {error}", file.display())),
            Ok(properties) => match &first {
                None => first = Some(properties),
                Some(first) if first.cluster_id != properties.cluster_id => {
                    problems.push("Mismatched cluster IDs between storage directories.".to_owned());
                }
                Some(first) if first.node_id != properties.node_id => {
                    problems.push("Mismatched node IDs between storage directories.".to_owned());
                }
                Some(_) => {}
            },
        }
    }
    let mut text = String::new();
    match found.len() {
        0 => {}
        1 => text += &list("Found log directory:", &found),
        _ => text += &list("Found log directories:", &found),
    }
    if let Some(properties) = first {
        let directory = properties
            .directory_id
            .map(|id| format!(" directory.id={id},"));
        text += &format!(
            "Found metadata: {{cluster.id={},{} node.id={}, version=1}}\n\n",
            properties.cluster_id,
            directory.unwrap_or_default(),
            properties.node_id
        );
    }
    match problems.len() {
        0 => {}
        1 => text += &list("Found problem:", &problems),
        _ => text += &list("Found problems:", &problems),
    }
    (text, problems.is_empty())
}

/// A head, the lines below it, and an empty one.
fn list(head: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{head}\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ParsedCommand;

    #[test]
    fn a_new_clusters_levels_are_checked_as_kafka_does() {
        let levels = |options: &[&str]| {
            let mut line = vec!["format", "-c", "server.properties", "-t", "id"];
            line.extend(options);
            let line: Vec<String> = line.into_iter().map(str::to_owned).collect();
            let ParsedCommand::Work(parsed) = TOOL.syntax.parse(&line).unwrap() else {
                panic!("{line:?}")
            };
            match super::features(&parsed) {
                Ok(levels) => format!("{levels:?}"),
                Err(error) => error.to_string(),
            }
        };
        let mut text = String::new();
        for options in [
            "",
            "--release-version 4.0",
            "-r 3.9-IV0",
            "-r 3.2",
            "-f transaction.version=1 -f group.version=0",
            "-f metadata.version=25",
            "-f metadata.version=40",
            "-f metadata.version=25 -r 4.0",
            "-f transaction.version=3",
            "-f share.version=0",
            "-f share.version=1",
            "-f nope=0",
            "-r 3.9 -f eligible.leader.replicas.version=1",
        ] {
            let options: Vec<&str> = options.split_whitespace().collect();
            text += &format!("{options:?}: {}\n", levels(&options));
        }
        expect_test::expect![[r#"
            []: None
            ["--release-version", "4.0"]: Some({"eligible.leader.replicas.version": 0, "group.version": 1, "metadata.version": 25, "transaction.version": 2})
            ["-r", "3.9-IV0"]: Some({"eligible.leader.replicas.version": 0, "group.version": 0, "metadata.version": 21, "transaction.version": 0})
            ["-r", "3.2"]: Unknown metadata.version '3.2'. Supported metadata.version are: 3.3-IV3, 3.4-IV0, 3.5-IV0, 3.5-IV1, 3.5-IV2, 3.6-IV0, 3.6-IV1, 3.6-IV2, 3.7-IV0, 3.7-IV1, 3.7-IV2, 3.7-IV3, 3.7-IV4, 3.8-IV0, 3.9-IV0, 4.0-IV0, 4.0-IV1, 4.0-IV2, 4.0-IV3, 4.1-IV0, 4.1-IV1, 4.2-IV0, 4.2-IV1, 4.3-IV0, 4.4-IV0
            ["-f", "transaction.version=1", "-f", "group.version=0"]: Some({"eligible.leader.replicas.version": 1, "group.version": 0, "metadata.version": 30, "transaction.version": 1})
            ["-f", "metadata.version=25"]: Some({"eligible.leader.replicas.version": 0, "group.version": 1, "metadata.version": 25, "transaction.version": 2})
            ["-f", "metadata.version=40"]: No MetadataVersion with feature level 40. Valid feature levels are from 7 to 30.
            ["-f", "metadata.version=25", "-r", "4.0"]: Use --release-version instead of --feature metadata.version=X to avoid ambiguity.
            ["-f", "transaction.version=3"]: No feature:transaction.version with feature level 3
            ["-f", "share.version=0"]: Some({"eligible.leader.replicas.version": 1, "group.version": 1, "metadata.version": 30, "share.version": 0, "transaction.version": 2})
            ["-f", "share.version=1"]: --feature share.version=1 is not supported: Dohle has no share.version yet
            ["-f", "nope=0"]: Unsupported feature: nope. Supported features are: eligible.leader.replicas.version, group.version, kraft.version, share.version, streams.version, transaction.version
            ["-r", "3.9", "-f", "eligible.leader.replicas.version=1"]: eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23
        "#]].assert_eq(&text);
    }

    #[test]
    fn directories_are_told_as_kafka_does() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let shown = |text: String| text.replace(folder.path().to_str().unwrap(), "DIR");
        let (text, sound) = describe(&[a.clone(), b.clone()]);
        assert!(!sound);
        expect_test::expect![[r#"
            Found problems:
              DIR/a does not exist
              DIR/b does not exist

        "#]]
        .assert_eq(&shown(text));
        std::fs::create_dir(&a).unwrap();
        std::fs::create_dir(&b).unwrap();
        let id = "zuynarinTQBTpfYsu4fmYA";
        let cluster = "4L6g3nShT-eMCtK--X86sw";
        let meta = format!("version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={id}\n");
        std::fs::write(a.join("meta.properties"), &meta).unwrap();
        let (text, sound) = describe(&[a, b.clone()]);
        assert!(!sound);
        expect_test::expect![[r#"
            Found log directories:
              DIR/a
              DIR/b

            Found metadata: {cluster.id=4L6g3nShT-eMCtK--X86sw, directory.id=zuynarinTQBTpfYsu4fmYA, node.id=1, version=1}

            Found problem:
              DIR/b is not formatted.

        "#]]
        .assert_eq(&shown(text));
        std::fs::write(b.join("meta.properties"), &meta).unwrap();
        let (_, sound) = describe(&[b]);
        assert!(sound);
    }
}
