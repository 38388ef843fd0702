//! Captures log lines, for tests of what a broker reports to operators.

use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, set_default};

/// Captures the lines that this thread logs until the guard is dropped.
pub(crate) fn capture() -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    (lines, set_default(subscriber))
}

/// The captured lines.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Asserts that exactly one line contains all these texts.
    #[track_caller]
    pub(crate) fn assert_one(&self, texts: &[&str]) {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let matches = |line: &&str| texts.iter().all(|text| line.contains(text));
        assert_eq!(log.lines().filter(matches).count(), 1, "{texts:?} in {log}");
    }
}
