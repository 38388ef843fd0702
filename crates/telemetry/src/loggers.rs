//! The loggers whose levels can be changed at run time, as Kafka changes those of its brokers
//! (KIP-412).
//!
//! ```text
//! filter of the start + changes ─▶ LogLevels ─▶ directives of the new filter, levels to describe
//! ```
//!
//! A logger is the target of log lines: the name of the crate that writes them. The levels of one
//! program are shared by all nodes that run in it.

use std::collections::BTreeMap;
use std::fmt;

/// The logger of everything that has no other one. Its level cannot be deleted.
pub const ROOT: &str = "root";

/// A logger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Logger {
    /// Its name, which is the beginning of the targets of its lines.
    pub name: &'static str,
    /// What its lines are about.
    pub about: &'static str,
}

const fn logger(name: &'static str, about: &'static str) -> Logger {
    Logger { name, about }
}

/// All loggers, sorted by name. The level of a logger also applies to the loggers whose names begin
/// with its own and that have no level themselves; that of `root` to all of these.
pub const LOGGERS: &[Logger] = &[
    logger(
        "dohle",
        "the start and the end of a node, and all loggers below whose name begins with `dohle`",
    ),
    logger("dohle_api", "requests of clients, authentication"),
    logger("dohle_auth", "denials by ACLs"),
    logger(
        "dohle_broker",
        "replicas, replication, log directories, sessions with the controller",
    ),
    logger(
        "dohle_controller",
        "the metadata quorum, elections, brokers that come and go",
    ),
    logger(
        "dohle_coordinator",
        "coordinators that are loaded or move, markers of transactions",
    ),
    logger("dohle_groups", "members of groups, rebalances"),
    logger(
        "dohle_log",
        "segments, retention, compaction, recovery after a crash",
    ),
    logger("dohle_network", "listeners, connections, TLS"),
    logger("dohle_rpc", "gRPC between nodes"),
    logger("dohle_transactions", "the states of transactions"),
    logger("dohle_web", "the HTTP listener"),
    logger("h2", "the library for HTTP/2, below gRPC"),
    logger("hyper", "the library for HTTP"),
    logger("openraft", "the library for Raft"),
    logger(ROOT, "everything that has no other logger"),
    logger("tonic", "the library for gRPC"),
    logger("tower", "the library for services, below gRPC"),
];

/// Returns the logger of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Logger> {
    LOGGERS.iter().find(|logger| logger.name == name)
}

/// A level, with Kafka's name. A logger writes lines of its own level and of higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Each step of the code.
    Trace,
    /// Details for the search of an error.
    Debug,
    /// Changes of state.
    Info,
    /// Something unusual that needs nobody.
    Warn,
    /// Something that needs a person.
    Error,
    /// No line is written, because none is fatal.
    Fatal,
    /// No line is written. Only the filter of the start can have this level, as in Kafka.
    Off,
}

impl LogLevel {
    /// The levels that a logger can be set to, in the order in which Kafka lists them.
    pub const SETTABLE: [Self; 6] = [
        Self::Debug,
        Self::Error,
        Self::Fatal,
        Self::Info,
        Self::Trace,
        Self::Warn,
    ];

    /// Returns Kafka's name of the level.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Off => "OFF",
        }
    }

    /// Returns the level of this name that a logger can be set to. As in Kafka, names are in upper
    /// case.
    #[must_use]
    pub fn settable(name: &str) -> Option<Self> {
        Self::SETTABLE
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// Returns the level as a filter names it.
    fn in_filter(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal | Self::Off => "off",
        }
    }

    /// Reads the level of a directive of a filter: a name in any case, or a number from 0 (off) to
    /// 5 (trace).
    fn of_filter(text: &str) -> Option<Self> {
        let by_number = [
            Self::Off,
            Self::Error,
            Self::Warn,
            Self::Info,
            Self::Debug,
            Self::Trace,
        ];
        match text.parse::<usize>() {
            Ok(number) => by_number.get(number).copied(),
            Err(_) => by_number
                .into_iter()
                .find(|level| level.in_filter().eq_ignore_ascii_case(text)),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The change of a logger: its new level, or `None` for the level that it had at the start.
pub type LoggerChange = (&'static Logger, Option<LogLevel>);

/// The levels of all loggers: those of the filter of the start, and the changes since then.
#[derive(Debug, Clone)]
pub struct LogLevels {
    start: String,
    changes: BTreeMap<&'static str, LogLevel>,
}

impl LogLevels {
    /// Creates the levels of a valid filter in the syntax of `tracing_subscriber::EnvFilter`.
    #[must_use]
    pub fn new(start: &str) -> Self {
        let is_empty = start.split(',').all(str::is_empty);
        Self {
            // A filter without directives lets errors pass.
            start: if is_empty { "error" } else { start }.to_owned(),
            changes: BTreeMap::new(),
        }
    }

    /// Applies changes in their order.
    pub fn alter(&mut self, changes: &[LoggerChange]) {
        for (logger, level) in changes {
            match level {
                Some(level) => self.changes.insert(logger.name, *level),
                None => self.changes.remove(logger.name),
            };
        }
    }

    /// Returns the directives of the filter that the changes result in. A later directive for the
    /// same target overrides an earlier one. Directives of the start for longer targets, or with
    /// spans, stay in force.
    #[must_use]
    pub fn filter(&self) -> String {
        let mut filter = self.start.clone();
        for (name, level) in &self.changes {
            filter += ",";
            if *name != ROOT {
                filter += name;
                filter += "=";
            }
            filter += level.in_filter();
        }
        filter
    }

    /// Returns the level of each logger, in the order of [`LOGGERS`].
    #[must_use]
    pub fn all(&self) -> Vec<(&'static Logger, LogLevel)> {
        let directives = self.directives();
        let level = |logger: &'static Logger| (logger, level_of(&directives, logger.name));
        LOGGERS.iter().map(level).collect()
    }

    /// Returns the level of each target that has one; that of the rest has an empty target.
    fn directives(&self) -> BTreeMap<&str, LogLevel> {
        let start = self.start.split(',').filter_map(directive);
        let changes = self.changes.iter().map(|(name, level)| match *name {
            ROOT => ("", *level),
            name => (name, *level),
        });
        start.chain(changes).collect()
    }
}

/// Returns the target and the level of a directive; `None` for one that depends on spans.
fn directive(text: &str) -> Option<(&str, LogLevel)> {
    if text.is_empty() || text.contains('[') {
        return None;
    }
    match text.split_once('=') {
        Some((target, "")) => Some((target, LogLevel::Trace)),
        Some((target, level)) => Some((target, LogLevel::of_filter(level)?)),
        None => match LogLevel::of_filter(text) {
            Some(level) => Some(("", level)),
            None => Some((text, LogLevel::Trace)),
        },
    }
}

/// Returns the level of the longest target that the logger's name begins with.
fn level_of(directives: &BTreeMap<&str, LogLevel>, name: &str) -> LogLevel {
    let applies = |target: &str| match name {
        ROOT => target.is_empty(),
        name => name.starts_with(target),
    };
    let applying = directives.iter().filter(|(target, _)| applies(target));
    let longest = applying.max_by_key(|(target, _)| target.len());
    longest.map_or(LogLevel::Off, |(_, level)| *level)
}

/// The loggers of a program, for those who describe and change them.
pub trait Loggers: fmt::Debug + Send + Sync {
    /// Returns the level of each logger, in the order of [`LOGGERS`].
    fn levels(&self) -> Vec<(&'static Logger, LogLevel)>;

    /// Changes levels, all at once.
    ///
    /// # Errors
    /// Why the levels stay as they were.
    fn alter(&self, changes: &[LoggerChange]) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn change(name: &str, level: Option<LogLevel>) -> LoggerChange {
        (find(name).unwrap(), level)
    }

    fn level(levels: &LogLevels, name: &str) -> &'static str {
        let all = levels.all();
        let (_, level) = all.iter().find(|(logger, _)| logger.name == name).unwrap();
        level.name()
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(LOGGERS.is_sorted_by_key(|logger| logger.name));
    }

    #[test]
    fn every_crate_that_logs_has_a_logger() {
        let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut logging = Vec::new();
        for entry in std::fs::read_dir(crates).unwrap() {
            let path = entry.unwrap().path();
            let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) else {
                continue;
            };
            let (dependencies, _) = manifest
                .split_once("[dev-dependencies]")
                .unwrap_or((&manifest, ""));
            if dependencies.contains("\ntracing.workspace = true\n") {
                let name = path.file_name().unwrap().to_str().unwrap();
                logging.push(match name {
                    "dohle" => name.to_owned(),
                    name => format!("dohle_{}", name.replace('-', "_")),
                });
            }
        }
        logging.sort();
        let own = LOGGERS.iter().map(|logger| logger.name);
        let own: Vec<&str> = own.filter(|name| name.starts_with("dohle")).collect();
        assert_eq!(logging, own);
    }

    #[test]
    fn a_change_overrides_the_filter_of_the_start_until_it_is_deleted() {
        let start = "info,openraft=off,dohle_broker=warn";
        let mut levels = LogLevels::new(start);
        assert_eq!(levels.filter(), start);
        assert_eq!(level(&levels, "dohle_broker"), "WARN");
        levels.alter(&[
            change("dohle_broker", Some(LogLevel::Debug)),
            change("openraft", Some(LogLevel::Error)),
            change("dohle_log", Some(LogLevel::Fatal)),
        ]);
        assert_eq!(
            levels.filter(),
            format!("{start},dohle_broker=debug,dohle_log=off,openraft=error")
        );
        assert_eq!(level(&levels, "dohle_broker"), "DEBUG");
        assert_eq!(level(&levels, "dohle_log"), "FATAL");
        assert_eq!(level(&levels, "openraft"), "ERROR");
        assert_eq!(level(&levels, "dohle_api"), "INFO");
        levels.alter(&[change("dohle_broker", None), change("openraft", None)]);
        assert_eq!(levels.filter(), format!("{start},dohle_log=off"));
        assert_eq!(level(&levels, "dohle_broker"), "WARN");
        assert_eq!(level(&levels, "openraft"), "OFF");
        // What has no level of its own is not deleted either.
        levels.alter(&[change("dohle_api", None), change("dohle_log", None)]);
        assert_eq!(levels.filter(), start);
    }

    #[test]
    fn a_level_applies_to_the_loggers_below_that_have_none() {
        let mut levels = LogLevels::new("info,h2=warn");
        levels.alter(&[change(ROOT, Some(LogLevel::Fatal))]);
        assert_eq!(levels.filter(), "info,h2=warn,off");
        for (name, expected) in [
            (ROOT, "FATAL"),
            ("tonic", "FATAL"),
            ("dohle_web", "FATAL"),
            ("h2", "WARN"),
        ] {
            assert_eq!(level(&levels, name), expected, "{name}");
        }
        levels.alter(&[
            change("dohle", Some(LogLevel::Trace)),
            change("dohle_web", Some(LogLevel::Warn)),
        ]);
        assert_eq!(level(&levels, "dohle_groups"), "TRACE");
        assert_eq!(level(&levels, "dohle_web"), "WARN");
        assert_eq!(level(&levels, "tonic"), "FATAL");
    }

    #[test]
    fn filters_of_the_start_have_several_forms() {
        for (start, root, broker) in [
            ("debug", "DEBUG", "DEBUG"),
            ("WARN", "WARN", "WARN"),
            ("4", "DEBUG", "DEBUG"),
            ("", "ERROR", "ERROR"),
            (",", "ERROR", "ERROR"),
            ("dohle_broker", "OFF", "TRACE"),
            ("dohle_broker=", "OFF", "TRACE"),
            ("info,dohle=debug", "INFO", "DEBUG"),
            ("info,dohle_broker::replica=trace", "INFO", "INFO"),
            ("info,dohle_broker[{a=1}]=trace", "INFO", "INFO"),
            ("info,warn", "WARN", "WARN"),
        ] {
            let levels = LogLevels::new(start);
            assert_eq!(level(&levels, ROOT), root, "{start:?}");
            assert_eq!(level(&levels, "dohle_broker"), broker, "{start:?}");
        }
    }

    #[test]
    fn levels_have_the_names_of_kafka() {
        for level in LogLevel::SETTABLE {
            assert_eq!(LogLevel::settable(level.name()), Some(level));
        }
        for name in ["OFF", "debug", "ALL", ""] {
            assert_eq!(LogLevel::settable(name), None, "{name}");
        }
        let names = LogLevel::SETTABLE.map(LogLevel::name);
        assert!(names.is_sorted());
    }
}
