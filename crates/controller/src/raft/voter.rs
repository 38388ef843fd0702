//! This voter's own condition: its log, the file `voter.properties`, and its admission, which
//! follows from both.

use std::io;
use std::path::PathBuf;

use dohle_model::DirectoryId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::admission::{Report, Standing};
use super::store::LogStore;
use super::types::LogId;
use super::voter_file::VoterFile;

/// This voter's log and its admission to the quorum; see the module.
pub(super) struct Voter {
    pub dir: PathBuf,
    /// The directory's id; zero when it has none.
    pub directory: DirectoryId,
    log: LogStore,
    /// Whether the log that was found at start may lack entries that this voter acknowledged.
    unproven: bool,
    file: Mutex<VoterFile>,
    admitted: watch::Sender<bool>,
}

impl Voter {
    /// Decides from the file and the log whether this voter is admitted, and rewrites the file when
    /// it is not.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn open(dir: PathBuf, directory: DirectoryId, log: LogStore) -> io::Result<Self> {
        let found = VoterFile::read(&dir)?;
        let last = log.last_log_id().map(|id| id.index);
        let has_log = last.is_some();
        let of_this_directory = |file: &VoterFile| file.directory == directory;
        let admitted =
            has_log && found.is_some_and(|file| file.admitted && of_this_directory(&file));
        let shown = dir.display();
        match &found {
            Some(file) if file.admitted && !of_this_directory(file) => tracing::warn!(
                dir = %shown, expected = %file.directory, found = %directory,
                "metadata log belongs to another directory: this voter takes part once a leader \
                 has replicated to it"
            ),
            Some(file) if file.admitted && !has_log => tracing::warn!(
                dir = %shown,
                "metadata log is missing: this voter takes part once a leader has replicated to it"
            ),
            None if has_log => tracing::warn!(
                dir = %shown,
                "metadata log has no voter.properties: this voter takes part once a leader has \
                 replicated to it"
            ),
            _ => {}
        }
        let file = VoterFile {
            directory,
            admitted,
            // The operator's statement that this voter is new holds until the voter is admitted.
            formatted: found.is_some_and(|file| file.formatted && of_this_directory(&file)),
            recover: false,
        };
        if !admitted {
            file.write(&dir)?;
        }
        Ok(Self {
            dir,
            directory,
            unproven: !admitted && last != Some(0) && !log.is_empty(),
            log,
            file: Mutex::new(file),
            admitted: watch::Sender::new(admitted),
        })
    }

    /// Whether this voter votes, stands for election and acknowledges entries.
    pub(super) fn is_admitted(&self) -> bool {
        *self.admitted.borrow()
    }

    /// Admits this voter, durably. Its log must already be durable.
    ///
    /// # Errors
    /// The file cannot be written; the voter is not admitted then.
    pub(super) fn admit(&self) -> io::Result<()> {
        let mut file = self.file.lock();
        file.admitted = true;
        if let Err(error) = file.write(&self.dir) {
            file.admitted = false;
            return Err(error);
        }
        self.admitted.send_replace(true);
        Ok(())
    }

    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.log.last_log_id()
    }

    /// Returns this voter's report of its own condition.
    pub(super) fn report(&self, leads: bool) -> Report {
        let last = self.log.last_log_id().map(|id| id.index);
        let standing = match (self.is_admitted(), last) {
            // The first entry defines the voters, and is the same on every voter of a new cluster.
            (true, None | Some(0)) => Standing::Founding,
            (true, Some(_)) => Standing::Member,
            (false, None | Some(0)) if !self.unproven => Standing::Empty,
            (false, _) => Standing::Unproven,
        };
        Report {
            standing,
            formatted: self.file.lock().formatted,
            leads,
        }
    }
}
