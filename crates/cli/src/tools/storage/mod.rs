//! `storage`: formats a node's directories, and describes them.
//!
//! Kafka's `StorageTool`. Reading a configuration and formatting directories are functions of the
//! server, which the program around this crate passes in ([`crate::Host`]).

mod import_kafka;
mod recover_quorum;
mod scram;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use dohle_auth::sasl::SALT_BYTES;
use dohle_log::directory::MetaProperties;
use dohle_model::features::{self, KAFKA_LEVELS, defaults_of};
use kacrab_protocol::KafkaUuid;
use ring::rand::{SecureRandom, SystemRandom};

use super::strays;
use crate::feature_levels::{
    METADATA_VERSION, display, metadata_version, parse, render_dependencies, render_mapping,
};
use crate::host::{NewUser, NodeDirectories};
use crate::options::{Parsed, UsageError, all_of};
use crate::tool_run::{Tool, ToolRun, Work, fail_if};

const COMMANDS: &str = "
    info: Get information about the Kafka log directories on this node.
        --config, -c <file>: The Kafka configuration file to use.
    format: Format the Kafka log directories on this node. A node also does so by itself when it
        starts with empty ones.
        --config, -c <file>: The Kafka configuration file to use.
        --cluster-id, -t <id>: The cluster ID to use.
        --ignore-formatted, -g: Skip over already formatted directories rather than failing.
        --release-version, -r <release>: The release whose levels of features are finalized.
        --feature, -f <feature=level>: A feature and its level, as in kraft.version=1; may be
            repeated.
        --add-scram, -S <credential>: A SCRAM credential to add.
        --standalone, -s: A controller that is alone; without controller.quorum.voters.
        --no-initial-controllers, -N: A server that is formatted without a list of controllers.
        --initial-controllers, -I <id@host:port:directory,...>: The controllers that the quorum
            begins with.
    strays: Handle partitions on disk that are in no metadata of the cluster, which the broker keeps
        and reports: `strays list`, `strays adopt [PARTITION...]` or `strays delete [PARTITION...]`.
        Without partitions (as in my-topic-0) it is all of them. An adopted partition gets its name
        back, so that the broker uses it when the cluster has a topic with the same id; a broker
        that waits for a decision joins the cluster. adopt and delete need the broker to be stopped.
        --config, -c <file>: The Kafka configuration file to use.
        --yes, -y: Delete without asking.
    version-mapping: Look up the corresponding features for a given metadata version.
        --release-version, -r <release>: The release whose levels of features are printed.
    feature-dependencies: Look up dependencies for a given feature version.
        --feature, -f <feature=level>: A feature and its level, as in kraft.version=1; may be
            repeated.
    recover-quorum: Let this stopped controller lead alone at its next start, because most of the
        controllers have lost their metadata. What only they held is lost.
        --config, -c <file>: The Kafka configuration file to use.
        --yes, -y: Do not ask.
    import-kafka: Let Dohle continue on the directories of a stopped Apache Kafka node:
        `import-kafka DIRECTORY...` with all directories of log.dirs, and that of metadata.log.dir.
        It reads Kafka's metadata, prints what they hold, and writes Dohle's beside them. Run it on
        every node of the cluster.
        --dry-run: Print the plan, and write nothing.
        --yes, -y: Do not ask.
    random-uuid: Print a random UUID.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-storage",
    "The Kafka storage tool.",
    &[],
    Work::Plain(work),
)
.rules(&[
    all_of("feature")
        .when("feature-dependencies")
        .message("argument --feature/-f is required"),
    all_of("config")
        .when("info format strays recover-quorum")
        .message("argument --config/-c is required"),
    all_of("cluster-id")
        .when("format")
        .message("argument --cluster-id/-t is required"),
])
.commands(COMMANDS);

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
        Some(import_kafka::NAME) => import_kafka::import(run, &mut std::io::stdin().lock()),
        Some("recover-quorum") => recover_quorum::recover(run, &mut std::io::stdin().lock()),
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
    let users = users(parsed, features.as_ref())?;
    (run.host.format)(config, cluster_id, features.as_ref(), &users)?;
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
const LEVEL: i16 = features::SUPPORTED[0].3;

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
    Ok(())
}

/// The lowest `metadata.version` with SCRAM credentials (`3.5-IV2`).
const SCRAM_LEVEL_MIN: i16 = 11;

/// The users that a new cluster begins with.
fn users(
    parsed: &Parsed,
    features: Option<&BTreeMap<String, i16>>,
) -> anyhow::Result<Vec<NewUser>> {
    let mut users = Vec::new();
    for text in parsed.values("add-scram") {
        let mut salt = [0; SALT_BYTES];
        if SystemRandom::new().fill(&mut salt).is_err() {
            bail!("the system provides no randomness");
        }
        users.push(scram::parse(text, salt)?);
    }
    let version = features.map_or(LEVEL, |levels| levels[METADATA_VERSION]);
    if !users.is_empty() && version < SCRAM_LEVEL_MIN {
        bail!("SCRAM is only supported in metadata.version 3.5-IV2 or later.");
    }
    Ok(users)
}

/// The levels that a new cluster finalizes: `None` when the operator chose none. Refused as by
/// Kafka's tool.
fn features(parsed: &Parsed) -> anyhow::Result<Option<BTreeMap<String, i16>>> {
    let given: Vec<(String, i16)> = parsed
        .values("feature")
        .map(parse)
        .collect::<Result<_, _>>()?;
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
    let defaults = defaults_of(version).filter(|(name, _)| ours(name));
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
    let Some((_, levels)) = KAFKA_LEVELS.iter().find(|(known, _)| *known == name) else {
        let mut names = KAFKA_LEVELS.map(|(name, _)| name);
        names.sort_unstable();
        let names = names.join(", ");
        bail!("Unsupported feature: {name}. Supported features are: {names}");
    };
    if !levels.iter().any(|(known, _)| *known == level) {
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
    fail_if(!sound)
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
            Ok(properties) => {
                let first = first.get_or_insert_with(|| properties.clone());
                let ids = if first.cluster_id != properties.cluster_id {
                    "cluster"
                } else if first.node_id != properties.node_id {
                    "node"
                } else {
                    continue;
                };
                problems.push(format!("Mismatched {ids} IDs between storage directories."));
            }
        }
    }
    let mut text = list("Found log director", ["y", "ies"], &found);
    if let Some(properties) = first {
        let id = properties.directory_id;
        let directory = id.map(|id| format!(" directory.id={id},"));
        text += &format!(
            "Found metadata: {{cluster.id={},{} node.id={}, version=1}}\n\n",
            properties.cluster_id,
            directory.unwrap_or_default(),
            properties.node_id
        );
    }
    text += &list("Found problem", ["", "s"], &problems);
    (text, problems.is_empty())
}

/// Returns a head in the singular or the plural, the lines and an empty one; nothing for no lines.
fn list(head: &str, [one, several]: [&str; 2], lines: &[String]) -> String {
    let ending = match lines.len() {
        0 => return String::new(),
        1 => one,
        _ => several,
    };
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("{head}{ending}:\n{lines}\n")
}

#[cfg(test)]
mod tests;
