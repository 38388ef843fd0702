//! What configuration providers read: the environment and the files of this process.

use std::path::Path;

use dohle_config::providers::ExternalValues;

/// The environment variables and files that this process sees.
#[derive(Debug, Clone, Copy)]
pub struct ProcessValues;

impl ExternalValues for ProcessValues {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn is_directory(&self, path: &str) -> bool {
        Path::new(path).is_dir()
    }

    fn is_file(&self, path: &str) -> bool {
        Path::new(path).is_file()
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.to_string())
    }
}
