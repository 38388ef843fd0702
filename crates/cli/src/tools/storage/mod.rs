//! `storage`: formats a node's directories, and describes them.
//!
//! Kafka's `StorageTool`. Reading a configuration and formatting directories are functions of the
//! server, which the program around this crate passes in ([`crate::Host`]).

mod recover_quorum;

use std::path::{Path, PathBuf};

use anyhow::bail;
use dohle_log::directory::MetaProperties;
use kacrab_protocol::KafkaUuid;

use super::strays;
use crate::feature_levels::{
    METADATA_VERSION, display, metadata_version, parse, render_dependencies, render_mapping,
};
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

pub use self::recover_quorum::VoterState;

/// The directories in a node's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDirectories {
    /// `log.dirs`, and `metadata.log.dir` where that is another one.
    pub all: Vec<PathBuf>,
    /// The one with the metadata.
    pub metadata: PathBuf,
    /// Whether `controller.quorum.voters` is set.
    pub static_voters: bool,
}

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
    (run.host.format)(config, cluster_id)?;
    if left.is_empty() {
        run.print("All of the log directories are already formatted.\n")?;
    }
    let release = display(METADATA_VERSION, LEVEL);
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
    if let Some(release) = parsed.value("release-version")? {
        let level = metadata_version(release)?;
        if level != LEVEL {
            bail!(
                "--release-version {release} is not supported: new clusters have metadata.version \
                 {}",
                display(METADATA_VERSION, LEVEL)
            );
        }
    }
    for feature in parsed.values("feature") {
        let (name, level) = parse(feature)?;
        let known = dohle_model::features::SUPPORTED
            .iter()
            .find(|(known, ..)| *known == name);
        match known {
            Some((_, _, _, default)) if *default == level => {}
            // Where only level 0 exists, level 0 is what there is.
            None if level == 0 => {}
            Some((_, _, _, default)) => {
                bail!("--feature {feature} is not supported: new clusters have {name}={default}")
            }
            None => bail!("--feature {feature} is not supported: Dohle has no {name} yet"),
        }
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
