//! The loggers of a program: their levels, and the filter of its log that follows from them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use dohle_telemetry::loggers::{LogLevel, LogLevels, Logger, LoggerChange, Loggers};

/// Loggers whose filter is replaced when their levels change.
pub struct FilteredLoggers<F> {
    levels: Mutex<LogLevels>,
    replace: F,
}

impl<F: Fn(&str) -> Result<(), String>> FilteredLoggers<F> {
    /// Creates the loggers of a log that has the filter `start`. `replace` gives the log another
    /// filter, or returns the reason why it cannot.
    #[must_use]
    pub fn new(start: &str, replace: F) -> Self {
        Self {
            levels: Mutex::new(LogLevels::new(start)),
            replace,
        }
    }
}

impl<F: Fn(&str) -> Result<(), String> + Send + Sync> Loggers for FilteredLoggers<F> {
    fn levels(&self) -> Vec<(&'static Logger, LogLevel)> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.all()
    }

    fn alter(&self, changes: &[LoggerChange]) -> Result<(), String> {
        // Held until the filter is in force, so that the last change has the last filter.
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = levels.clone();
        after.alter(changes);
        (self.replace)(&after.filter())?;
        *levels = after;
        Ok(())
    }
}

impl<F> fmt::Debug for FilteredLoggers<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = &self.levels;
        f.debug_struct("FilteredLoggers")
            .field("levels", levels)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use dohle_telemetry::loggers::find;

    use super::*;

    fn level(loggers: &impl Loggers, name: &str) -> LogLevel {
        let levels = loggers.levels();
        let found = levels.iter().find(|(logger, _)| logger.name == name);
        found.unwrap().1
    }

    #[test]
    fn a_change_replaces_the_filter_and_a_refused_filter_changes_nothing() {
        let filters = Mutex::new(Vec::new());
        let loggers = FilteredLoggers::new("info", |filter: &str| {
            filters.lock().unwrap().push(filter.to_owned());
            match filter.contains("h2") {
                true => Err("no".to_owned()),
                false => Ok(()),
            }
        });
        let (api, h2) = (find("dohle_api").unwrap(), find("h2").unwrap());
        assert_eq!(loggers.alter(&[(api, Some(LogLevel::Debug))]), Ok(()));
        assert_eq!(level(&loggers, "dohle_api"), LogLevel::Debug);
        let refused = loggers.alter(&[(api, None), (h2, Some(LogLevel::Trace))]);
        assert_eq!(refused, Err("no".to_owned()));
        assert_eq!(level(&loggers, "dohle_api"), LogLevel::Debug);
        assert_eq!(level(&loggers, "h2"), LogLevel::Info);
        assert_eq!(
            *filters.lock().unwrap(),
            ["info,dohle_api=debug", "info,h2=trace"]
        );
    }
}
