//! Reads the broker epoch of the last clean stop from the log directories (KIP-966), as Kafka's
//! `LogManager.readBrokerEpochFromCleanShutdownFiles` does.

use dohle_model::BrokerEpoch;

use super::LogDir;

/// Returns the broker epoch in the clean-shutdown files of all `configured` log directories. `None`
/// when a directory is missing from `dirs`, has no file or one that cannot be read, or when the
/// files differ: a log may then lack records that were only in the page cache. Must be called
/// before [`super::Partitions::open`], which removes the files. Blocks on the disk.
#[must_use]
pub fn previous_broker_epoch(dirs: &[LogDir], configured: usize) -> Option<BrokerEpoch> {
    if dirs.len() < configured {
        return None;
    }
    let mut common = None;
    for dir in dirs {
        let epoch = dir.directory.clean_shutdown()?.broker_epoch?;
        if common.is_some_and(|common| common != epoch) {
            return None;
        }
        common = Some(epoch);
    }
    common
}

#[cfg(test)]
mod tests {
    use dohle_log::directory::LogDirectory;
    use dohle_model::DirectoryId;

    use super::*;

    /// Checks the result for directories with these epochs in their files; `None` means no file.
    #[track_caller]
    fn check(epochs: &[Option<i64>], configured: usize, expected: Option<i64>) {
        let folder = tempfile::tempdir().unwrap();
        let mut dirs = Vec::new();
        for (at, epoch) in epochs.iter().enumerate() {
            let path = folder.path().join(format!("d{at}"));
            std::fs::create_dir(&path).unwrap();
            let directory = LogDirectory::open(&path).unwrap();
            if let Some(epoch) = epoch {
                let epoch = BrokerEpoch::from_wire(*epoch);
                directory.mark_clean_shutdown(epoch).unwrap();
            }
            let id = DirectoryId::from_bytes([at as u8 + 1; 16]);
            dirs.push(LogDir { id, directory });
        }
        let found = previous_broker_epoch(&dirs, configured);
        assert_eq!(found, expected.map(BrokerEpoch));
    }

    #[test]
    fn all_directories_must_agree_on_the_epoch() {
        check(&[Some(7)], 1, Some(7));
        check(&[Some(7), Some(7)], 2, Some(7));
        check(&[Some(7), Some(8)], 2, None);
        check(&[Some(7), None], 2, None);
        check(&[None], 1, None);
        check(&[Some(-1)], 1, None);
    }

    #[test]
    fn a_directory_that_is_offline_has_no_epoch() {
        check(&[Some(7)], 2, None);
    }
}
