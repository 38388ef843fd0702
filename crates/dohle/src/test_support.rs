//! What tests of this crate share.

use std::sync::Arc;

use dohle_telemetry::loggers::Loggers;

use crate::loggers::FilteredLoggers;

/// Returns loggers without a log.
pub(crate) fn loggers() -> Arc<dyn Loggers> {
    Arc::new(FilteredLoggers::new("info", |_: &str| Ok(())))
}

/// Breaks a long text into lines, so that it can be read in a test.
pub(crate) fn folded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 60 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
