//! Captures log lines, for tests of what a node reports to operators.

use std::sync::{Arc, Mutex};

use tracing::subscriber::{DefaultGuard, set_default};

/// Captures the lines that this thread logs until the guard is dropped.
pub fn capture() -> (Lines, DefaultGuard) {
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
pub struct Lines(Arc<Mutex<Vec<u8>>>);

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
    /// Returns the lines that contain all these texts.
    pub fn with(&self, texts: &[&str]) -> Vec<String> {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = log
            .lines()
            .filter(|line| texts.iter().all(|text| line.contains(text)));
        lines.map(str::to_owned).collect()
    }

    /// Asserts that exactly one line contains all these texts.
    #[track_caller]
    pub fn assert_one(&self, texts: &[&str]) {
        let all = self.with(&[]);
        assert_eq!(self.with(texts).len(), 1, "{texts:?} in {all:#?}");
    }
}
