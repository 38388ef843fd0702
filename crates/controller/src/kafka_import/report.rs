//! Describes a planned import.

use std::fmt::{self, Display};
use std::path::PathBuf;

use dohle_kafka_metadata::Conversion;
use dohle_log::directory::{IMPORTED_LOG_DIR, METADATA_LOG_DIR};
use dohle_model::NodeId;
use dohle_model::features::{self, METADATA_VERSION};

use super::conversion::Converted;
use super::directories::Directories;
use super::source::{Source, TornTail};

/// The description of a planned import, for the operator. Its text has several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    node: String,
    metadata_dir: PathBuf,
    directories: Vec<String>,
    plan: Option<Plan>,
    /// The value of `controller.quorum.voters`, if the voters are recorded in the log.
    pub quorum_voters: Option<String>,
}

/// What is to be done, unless it was done before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    role: String,
    log: String,
    contents: Vec<String>,
    without_meaning: Vec<String>,
    notes: Vec<String>,
    changes: Vec<String>,
}

impl Report {
    /// Describes directories that were imported before.
    pub(super) fn imported(directories: &Directories) -> Self {
        let shown = directories.all.iter();
        Self {
            node: format!(
                "node {} of cluster {}",
                directories.node_id, directories.cluster_id
            ),
            metadata_dir: directories.metadata().path().join(METADATA_LOG_DIR),
            directories: shown
                .map(|it| it.directory.path().display().to_string())
                .collect(),
            plan: None,
            quorum_voters: None,
        }
    }

    /// Describes a plan.
    pub(super) fn of(
        directories: &Directories,
        source: &Source,
        converted: &Converted,
        is_voter: bool,
    ) -> Self {
        let mut report = Self::imported(directories);
        let own = report.metadata_dir.join(IMPORTED_LOG_DIR);
        let voters = converted.voters.iter().flatten();
        let ids: Vec<NodeId> = voters.clone().map(|voter| voter.id).collect();
        if converted.kraft_version > 0 {
            let addresses: Vec<String> = voters
                .map(|voter| format!("{}@{}", voter.id, voter.address))
                .collect();
            report.quorum_voters = Some(addresses.join(","));
        }
        let mut changes: Vec<String> = directories
            .all
            .iter()
            .filter(|it| it.new_id.is_some())
            .map(|it| {
                let file = it.directory.path().join("meta.properties");
                format!("{}: gets a directory.id", file.display())
            })
            .collect();
        if is_voter && converted.end > 0 {
            changes.push(format!("{}: the metadata for Dohle", own.display()));
        }
        let mark = report.metadata_dir.join("dohle-import.properties");
        changes.push(format!(
            "{}: the mark that the import is complete",
            mark.display()
        ));
        report.plan = Some(Plan {
            role: role(directories.node_id, &ids, is_voter),
            log: log(source, converted),
            contents: contents(&converted.conversion),
            without_meaning: converted.conversion.without_meaning(),
            notes: notes(directories, source, converted, is_voter),
            changes,
        });
        report
    }
}

fn joined<T: Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().map(ToString::to_string).collect();
    shown.join(", ")
}

fn role(node: NodeId, voters: &[NodeId], is_voter: bool) -> String {
    match (is_voter, voters) {
        (true, [_]) => "the only controller".to_owned(),
        (true, _) => format!("one of the controllers {}", joined(voters)),
        (false, []) => "not a controller".to_owned(),
        (false, _) if voters.contains(&node) => format!(
            "one of the controllers {}, but with another directory.id: it gets the metadata from \
             the others",
            joined(voters)
        ),
        (false, _) => format!("not one of the controllers {}", joined(voters)),
    }
}

fn log(source: &Source, converted: &Converted) -> String {
    let records = |count: u64| match count {
        1 => "1 record".to_owned(),
        _ => format!("{count} records"),
    };
    let (end, epoch) = (converted.end, converted.epoch);
    match &source.snapshot {
        _ if end == 0 => "no record: this node never ran".to_owned(),
        Some(snapshot) => format!(
            "a snapshot up to offset {}, then {} up to offset {end}, epoch {epoch}",
            snapshot.end,
            records(end - snapshot.end)
        ),
        None => format!("{} up to offset {end}, epoch {epoch}", records(end)),
    }
}

fn contents(conversion: &Conversion) -> Vec<String> {
    let image = conversion.image();
    let partitions: usize = image.topics.values().map(|it| it.partitions.len()).sum();
    let configs: usize = image.configs.values().map(|it| it.len()).sum();
    let quotas: usize = image.client_quotas.values().map(|it| it.len()).sum();
    let mut features: Vec<String> = Vec::new();
    for (name, level) in &image.features {
        let release = features::release(*level).filter(|_| name == METADATA_VERSION);
        let level = release.map_or_else(|| level.to_string(), str::to_owned);
        features.push(format!("{name} {level}"));
    }
    let count = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    vec![
        format!(
            "{} with {}",
            count(image.topics.len(), "topic"),
            count(partitions, "partition")
        ),
        count(image.brokers.len(), "registered broker"),
        count(configs, "configuration value"),
        count(image.scram_credentials.len(), "SCRAM credential"),
        count(image.acls.len(), "ACL"),
        count(quotas, "quota"),
        count(image.delegation_tokens.len(), "delegation token"),
        format!("producer ids from {}", image.next_producer_id),
        format!("features: {}", features.join(", ")),
    ]
}

fn notes(
    directories: &Directories,
    source: &Source,
    converted: &Converted,
    is_voter: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(TornTail { segment, bytes }) = &source.torn {
        notes.push(format!(
            "the last {bytes} bytes of {} are not a whole batch, as after a crash: like Kafka, \
             the import ignores them",
            segment.display()
        ));
    }
    if converted.conversion.is_within_transaction() {
        notes.push(
            "the log ends within a transaction of its controller, which has no effect: Kafka \
             would abort it"
                .to_owned(),
        );
    }
    if directories.is_outdated {
        notes.push(
            "Kafka was running since an earlier import: what Dohle wrote after that one is \
             discarded. Import every node of the cluster again"
                .to_owned(),
        );
    }
    if is_voter && converted.end == 0 {
        notes.push(
            "users and features that kafka-storage format was given are not taken over: format \
             the directories of a cluster that never ran with dohle storage format"
                .to_owned(),
        );
    }
    notes
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node, metadata_dir, ..
        } = self;
        let Some(plan) = &self.plan else {
            return writeln!(
                f,
                "The metadata of {node} in {} were imported before.",
                metadata_dir.display()
            );
        };
        writeln!(f, "Metadata of {node}, {}", plan.role)?;
        writeln!(f, "  directories: {}", joined(&self.directories))?;
        writeln!(f, "  log:         {}", plan.log)?;
        writeln!(
            f,
            "  holds:       {}",
            plan.contents.join("\n               ")
        )?;
        let lists = [
            (
                "What has no meaning in Dohle, and is left out:",
                &plan.without_meaning,
            ),
            ("Notes:", &plan.notes),
            (
                "To be written (no other file of Kafka changes):",
                &plan.changes,
            ),
        ];
        for (head, lines) in lists {
            if !lines.is_empty() {
                writeln!(f, "{head}")?;
            }
            for line in lines {
                writeln!(f, "  - {line}")?;
            }
        }
        Ok(())
    }
}
