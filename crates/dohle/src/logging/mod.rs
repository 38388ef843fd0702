//! Sets up logging on standard error.

mod json;
mod lines;

use std::io::IsTerminal;
use std::sync::Arc;

use dohle::config::NodeConfig;
use dohle::loggers::FilteredLoggers;
use dohle_config::keys::broker as keys;
use dohle_telemetry::loggers::Loggers;
use tracing_subscriber::EnvFilter;

use lines::{FieldFormat, FormatSwitch, LineFormat};

/// The default filter: of other crates, only warnings. openraft is off because it warns of every
/// peer that is unreachable for a moment, and logs an error for every request that arrives while it
/// stops; the controller itself logs unreachable peers and fatal errors.
const DEFAULT: &str = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn,tower=warn";

/// The log of the program.
pub struct Log {
    /// The loggers whose levels can be changed.
    pub loggers: Arc<dyn Loggers>,
    format: FormatSwitch,
}

impl Log {
    /// Writes lines in the format that a node asks for (`log.format`) from now on. To be called
    /// before the node starts.
    pub fn set_format(&self, config: &NodeConfig) {
        self.format.set(config.values.read(&keys::LOG_FORMAT));
    }
}

/// Starts logging, in text. `DOHLE_LOG`, or else `RUST_LOG`, sets the filter (`debug`,
/// `info,dohle_broker=debug`).
pub fn start() -> Log {
    let wanted = std::env::var("DOHLE_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let wanted = wanted.unwrap_or_else(|_| DEFAULT.to_owned());
    let (filter, directives, fault) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, wanted.as_str(), None),
        Err(error) => (EnvFilter::new(DEFAULT), DEFAULT, Some(error)),
    };
    let format = FormatSwitch::default();
    let builder = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .fmt_fields(FieldFormat::new(&format))
        .event_format(LineFormat::new(&format))
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_filter_reloading();
    let filter = builder.reload_handle();
    builder.init();
    if let Some(error) = fault {
        tracing::warn!("DOHLE_LOG is invalid ({error}); using the default filter");
    }
    let loggers = FilteredLoggers::new(directives, move |directives: &str| {
        let new = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        filter.reload(new).map_err(|error| error.to_string())
    });
    Log {
        loggers: Arc::new(loggers),
        format,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use dohle_telemetry::loggers::{LOGGERS, LogLevel, LogLevels, ROOT, find};
    use tracing::Level;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Asserts that the levels that are reported are those that a filter lets pass.
    #[track_caller]
    fn check(levels: &LogLevels) {
        let targets: Targets = levels.filter().parse().unwrap();
        for (logger, level) in levels.all() {
            let target = match logger.name {
                ROOT => "another",
                name => name,
            };
            for (tracing, kafka) in [
                (Level::TRACE, LogLevel::Trace),
                (Level::DEBUG, LogLevel::Debug),
                (Level::INFO, LogLevel::Info),
                (Level::WARN, LogLevel::Warn),
                (Level::ERROR, LogLevel::Error),
            ] {
                let passes = targets.would_enable(target, &tracing);
                let filter = levels.filter();
                assert_eq!(level <= kafka, passes, "{logger:?} {tracing} {filter}");
            }
        }
    }

    #[test]
    fn levels_are_reported_as_the_filter_applies_them() {
        for start in [
            DEFAULT,
            "",
            "debug",
            "2",
            "dohle_broker",
            "warn,dohle=trace",
        ] {
            let mut levels = LogLevels::new(start);
            check(&levels);
            for (place, logger) in LOGGERS.iter().enumerate() {
                let level = LogLevel::SETTABLE[place % LogLevel::SETTABLE.len()];
                levels.alter(&[(logger, Some(level))]);
                check(&levels);
            }
        }
    }

    #[test]
    fn a_line_appears_with_the_level_of_its_logger_and_disappears_with_it() {
        let lines = Lines::default();
        let builder = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_env_filter(EnvFilter::new("info"))
            .with_filter_reloading();
        let filter = builder.reload_handle();
        let loggers = FilteredLoggers::new("info", move |directives: &str| {
            filter
                .reload(EnvFilter::new(directives))
                .map_err(|error| error.to_string())
        });
        let log = || {
            tracing::debug!(target: "dohle_log::log", "rolled");
            tracing::debug!(target: "dohle_api", "served");
            lines.take().lines().count()
        };
        let logger = find("dohle_log").unwrap();
        tracing::subscriber::with_default(builder.finish(), || {
            assert_eq!(log(), 0);
            loggers.alter(&[(logger, Some(LogLevel::Debug))]).unwrap();
            assert_eq!(log(), 1);
            loggers.alter(&[(logger, None)]).unwrap();
            assert_eq!(log(), 0);
        });
    }

    /// What is written to a log.
    #[derive(Clone, Default)]
    pub struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        /// Returns what was written since the last call.
        pub fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
