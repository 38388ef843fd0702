//! Whether the partitions of a broker may write, by the space left in their log directories.
//!
//! The states change with samples, which a task takes from time to time, and with writes that
//! failed for lack of space. While every directory has enough, a request costs one load of a flag.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::DirectoryId;
use dohle_model::space::{Space, SpaceMonitor, SpaceState};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The size of the file that is written to find out whether there is space again. It is larger than
/// the unused end of a file's last block.
const PROBE_BYTES: usize = 64 * 1024;
const PROBE_FILE: &str = ".space-probe";

/// The space of all log directories.
#[derive(Debug)]
pub(crate) struct SpaceTable {
    /// Whether any directory refuses writes.
    short: AtomicBool,
    dirs: Mutex<Vec<DirSpace>>,
    /// Notified when a write found no space.
    refused: Notify,
    /// The same, for tasks that wait for it.
    shortage: watch::Sender<bool>,
}

#[derive(Debug)]
struct DirSpace {
    id: DirectoryId,
    path: PathBuf,
    monitor: SpaceMonitor,
    /// The state that was reported last.
    reported: SpaceState,
}

/// A directory whose state has changed since the last sample.
#[derive(Debug, Clone)]
pub(crate) struct SpaceChange {
    pub(crate) dir: DirectoryId,
    pub(crate) path: PathBuf,
    pub(crate) from: SpaceState,
    pub(crate) to: SpaceState,
    pub(crate) space: Space,
    pub(crate) reserve: u64,
}

impl Default for SpaceTable {
    fn default() -> Self {
        Self {
            short: AtomicBool::new(false),
            dirs: Mutex::default(),
            refused: Notify::new(),
            shortage: watch::Sender::new(false),
        }
    }
}

impl SpaceTable {
    /// Adds a log directory and takes its first sample.
    pub(crate) fn add(&self, id: DirectoryId, path: &Path, reserve: u64) {
        let Some(space) = sample(path) else { return };
        let mut dirs = self.dirs.lock();
        dirs.push(DirSpace {
            id,
            path: path.to_owned(),
            monitor: SpaceMonitor::new(reserve, space),
            reported: SpaceState::Open,
        });
        self.publish(&dirs);
    }

    fn publish(&self, dirs: &[DirSpace]) {
        let state = |dir: &DirSpace| dir.monitor.state();
        let short = dirs.iter().any(|dir| state(dir) != SpaceState::Open);
        self.short.store(short, Ordering::Release);
        self.shortage.send_if_modified(|current| {
            let changed = *current != short;
            *current = short;
            changed
        });
    }

    /// Returns the state of a directory.
    pub(crate) fn state(&self, dir: DirectoryId) -> SpaceState {
        if !self.short.load(Ordering::Acquire) {
            return SpaceState::Open;
        }
        let dirs = self.dirs.lock();
        let found = dirs.iter().find(|it| it.id == dir);
        found.map_or(SpaceState::Open, |dir| dir.monitor.state())
    }

    /// Whether records of a topic may not be written to a directory now. Internal topics, which
    /// groups commit their offsets to, may use most of the reserve.
    pub(crate) fn refuses(&self, dir: DirectoryId, is_internal: bool) -> bool {
        match self.state(dir) {
            SpaceState::Open => false,
            SpaceState::Low => !is_internal,
            SpaceState::Full => true,
        }
    }

    /// Returns the reason why records are refused, as text.
    pub(crate) fn reason(&self, dir: DirectoryId) -> String {
        let dirs = self.dirs.lock();
        let Some(dir) = dirs.iter().find(|it| it.id == dir) else {
            return "the log directory has no space left".to_owned();
        };
        let path = dir.path.display();
        let (free, reserve) = (dir.monitor.space().free, dir.monitor.reserve());
        format!(
            "log directory {path} has no space for records: {free} bytes are free, {reserve} are \
             kept (log.dir.reserve.bytes); records are taken again when topics or records were \
             deleted or the disk was enlarged"
        )
    }

    /// Notes a write to a directory that failed for lack of space.
    pub(crate) fn on_refused_write(&self, dir: DirectoryId) {
        let mut dirs = self.dirs.lock();
        let Some(found) = dirs.iter_mut().find(|it| it.id == dir) else {
            return;
        };
        let before = found.monitor.state();
        found.monitor.on_refused_write();
        if before != SpaceState::Full {
            self.publish(&dirs);
            self.refused.notify_one();
        }
    }

    /// Completes when a write was refused.
    pub(crate) async fn until_refused(&self) {
        self.refused.notified().await;
    }

    /// Completes when a directory is short of space, at once if one is.
    pub(crate) async fn until_short(&self) {
        let mut shortage = self.shortage.subscribe();
        // The sender lives as long as this table.
        let _ = shortage.wait_for(|short| *short).await;
    }

    /// Takes a sample of each directory. `probe` is whether a small file is written to directories
    /// that refused a write. Returns what changed, and when the next sample is due. Blocks on the
    /// disk.
    pub(crate) fn sample(&self, reserve: u64, probe: bool) -> (Vec<SpaceChange>, Duration) {
        let known: Vec<_> = {
            let dirs = self.dirs.lock();
            let known = dirs.iter();
            known
                .map(|dir| (dir.path.clone(), dir.monitor.wants_write()))
                .collect()
        };
        let samples = known.into_iter().map(|(path, wants_write)| {
            let is_written = wants_write && probe && can_write(&path);
            (sample(&path), is_written)
        });
        let samples: Vec<_> = samples.collect();
        let mut dirs = self.dirs.lock();
        let mut changes = Vec::new();
        // Directories are only ever added.
        for (dir, (space, is_written)) in dirs.iter_mut().zip(samples) {
            if is_written {
                dir.monitor.on_write();
            }
            if let Some(space) = space {
                dir.monitor.on_sample(reserve, space);
            }
            let to = dir.monitor.state();
            let from = std::mem::replace(&mut dir.reported, to);
            if from != to {
                changes.push(SpaceChange {
                    dir: dir.id,
                    path: dir.path.clone(),
                    from,
                    to,
                    space: dir.monitor.space(),
                    reserve: dir.monitor.reserve(),
                });
            }
        }
        self.publish(&dirs);
        let due = dirs.iter().map(|dir| dir.monitor.next_sample_in()).min();
        (changes, due.unwrap_or(Duration::from_secs(5)))
    }
}

/// Returns the space of a file system; `None` when `statvfs` fails, which reads and writes there
/// report.
fn sample(path: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(Space {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        total: found.f_blocks.saturating_mul(found.f_frsize),
        // Some file systems make inodes as they are needed, and report none.
        has_files: found.f_files == 0 || found.f_favail > 0,
    })
}

fn can_write(dir: &Path) -> bool {
    let path = dir.join(PROBE_FILE);
    let is_written = std::fs::write(&path, [1; PROBE_BYTES]).is_ok();
    std::fs::remove_file(&path).is_ok() && is_written
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: DirectoryId = DirectoryId::from_bytes([1; 16]);
    const OTHER: DirectoryId = DirectoryId::from_bytes([2; 16]);

    /// A table whose first directory has these free bytes above a reserve of 1000.
    fn table(dir: &Path, free: u64) -> SpaceTable {
        let table = SpaceTable::default();
        table.add(DIR, dir, 0);
        table.add(OTHER, dir, 0);
        let space = Space {
            free,
            total: 1_000_000,
            has_files: true,
        };
        let mut dirs = table.dirs.lock();
        dirs[0].monitor = SpaceMonitor::new(1000, space);
        table.publish(&dirs);
        drop(dirs);
        table
    }

    #[test]
    fn internal_topics_may_use_most_of_the_reserve_and_other_directories_are_not_concerned() {
        let dir = tempfile::tempdir().unwrap();
        let refuses = |free| {
            let table = table(dir.path(), free);
            assert!(!table.refuses(OTHER, false));
            (table.refuses(DIR, false), table.refuses(DIR, true))
        };
        assert_eq!(refuses(1000), (false, false));
        assert_eq!(refuses(999), (true, false));
        assert_eq!(refuses(249), (true, true));
    }

    #[test]
    fn a_refused_write_counts_until_a_file_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let table = table(dir.path(), 5000);
        table.on_refused_write(OTHER);
        assert!(table.refuses(OTHER, true));
        let states = |changes: &[SpaceChange]| -> Vec<_> {
            let states = changes.iter().map(|it| (it.dir, it.from, it.to));
            states.collect()
        };
        let (changes, _) = table.sample(0, false);
        assert_eq!(
            states(&changes),
            [(OTHER, SpaceState::Open, SpaceState::Full)]
        );
        assert_eq!(states(&table.sample(0, false).0), []);
        let (changes, _) = table.sample(0, true);
        assert_eq!(
            states(&changes),
            [(OTHER, SpaceState::Full, SpaceState::Open)]
        );
        assert!(!table.refuses(OTHER, false));
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }
}
