//! Reads and writes `voter.properties` beside the metadata log, which records whether this voter
//! may take part in the quorum.
//!
//! ```text
//! version=1
//! directory.id=zuynarinTQBTpfYsu4fmYA
//! admitted=true      it holds all that it ever acknowledged
//! formatted=true     an operator stated that it is new
//! recover=true       an operator lets it lead alone at the next start
//! ```
//!
//! Invariant: `admitted=true` becomes durable after the log that it refers to. A file that is
//! absent, damaged or of another directory admits no voter.

use std::fs;
use std::io;
use std::path::Path;

use dohle_model::DirectoryId;

use super::files::Files;

/// The file's name in the metadata directory.
pub(crate) const VOTER_FILE: &str = "voter.properties";

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct VoterFile {
    /// The `directory.id` of the directory that the log belongs to; zero when it has none.
    pub directory: DirectoryId,
    /// Whether the voter votes, stands for election and acknowledges entries.
    pub admitted: bool,
    /// Whether an operator formatted the directory.
    pub formatted: bool,
    /// Whether an operator requested the recovery of the quorum from this voter.
    pub recover: bool,
}

impl VoterFile {
    /// Reads the file in `dir`: `None` when there is none, or when it is damaged.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read(dir: &Path) -> io::Result<Option<Self>> {
        let path = dir.join(VOTER_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let parsed = std::str::from_utf8(&text).ok().and_then(Self::parse);
        if parsed.is_none() {
            tracing::warn!(file = %path.display(), "file is damaged: this voter is not admitted");
        }
        Ok(parsed)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut file = Self::default();
        let mut version = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, value) = line.split_once('=')?;
            match key {
                "version" => version = Some(value),
                "directory.id" => file.directory = value.parse().ok()?,
                "admitted" => file.admitted = value.parse().ok()?,
                "formatted" => file.formatted = value.parse().ok()?,
                "recover" => file.recover = value.parse().ok()?,
                _ => return None,
            }
        }
        // A truncated file does not have the last line.
        (version == Some("1") && text.ends_with('\n') && text.contains("\nrecover="))
            .then_some(file)
    }

    /// Writes the file durably; the previous file stays until the new one is complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        self.write_to(&Files::new(dir))
    }

    /// See [`Self::write`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write_to(&self, files: &Files) -> io::Result<()> {
        let Self {
            directory,
            admitted,
            formatted,
            recover,
        } = self;
        let text = format!(
            "version=1\ndirectory.id={directory}\nadmitted={admitted}\nformatted={formatted}\n\
             recover={recover}\n"
        );
        files.replace(VOTER_FILE, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_file_is_found_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(VoterFile::read(dir.path()).unwrap(), None);
        let file = VoterFile {
            directory: DirectoryId::from_bytes([7; 16]),
            admitted: true,
            formatted: false,
            recover: true,
        };
        file.write(dir.path()).unwrap();
        assert_eq!(VoterFile::read(dir.path()).unwrap(), Some(file));
    }

    #[test]
    fn a_damaged_voter_file_admits_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let file = VoterFile {
            admitted: true,
            ..VoterFile::default()
        };
        file.write(dir.path()).unwrap();
        let path = dir.path().join(VOTER_FILE);
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            assert_eq!(VoterFile::read(dir.path()).unwrap(), None, "{len} bytes");
        }
        fs::write(&path, [0xff; 40]).unwrap();
        assert_eq!(VoterFile::read(dir.path()).unwrap(), None);
    }
}
