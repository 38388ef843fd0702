//! Starts the write-back of appended bytes early.
//!
//! By default the kernel collects changed pages until they fill a tenth of the memory, or for 30
//! seconds, and then makes those wait who write more, until the disk has caught up. So an append
//! would take hundreds of milliseconds now and then. A pass over the written files, every few
//! megabytes, keeps the number of changed pages small.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{OnceLock, Weak};

use parking_lot::Mutex;
use rustix::io::Errno;

/// A pass is due after this many bytes over all files.
const PASS_BYTES: u64 = 8 << 20;

/// With many files, a pass is due only when it can start this many bytes a file on average: many
/// small writes cost the disk more than a few large ones.
const FILE_BYTES: u64 = 64 << 10;

/// Only whole pages are started: the last one is written to again by the next append.
const PAGE: u64 = 4 << 10;

/// The written bytes of one file whose write-back was not started.
#[derive(Debug, Default)]
pub(crate) struct Unstarted {
    bytes: Range<u64>,
    /// Whether the file is in the list of the next pass.
    is_listed: bool,
}

impl Unstarted {
    /// Adds bytes that were written. Returns whether the file is to be listed.
    pub(crate) fn wrote(&mut self, position: u64, len: u64) -> bool {
        let end = position.saturating_add(len);
        self.bytes = if self.bytes.is_empty() {
            position..end
        } else {
            self.bytes.start.min(position)..self.bytes.end.max(end)
        };
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// Takes the whole pages for a pass, if there are any.
    pub(crate) fn take(&mut self) -> Option<Range<u64>> {
        self.is_listed = false;
        let start = self.bytes.start / PAGE * PAGE;
        let end = self.bytes.end / PAGE * PAGE;
        if start >= end {
            return None;
        }
        self.bytes.start = end;
        Some(start..end)
    }
}

/// A file that a pass visits.
pub(crate) trait Written: Send + Sync {
    /// Starts the write-back of the whole pages that were written since the last call.
    ///
    /// # Errors
    /// When the system cannot start it early, which loses nothing. The file keeps other errors.
    fn start_write_back(&self) -> io::Result<()>;
}

/// Returns whether the system may have dropped written bytes when it started their write-back with
/// this error. Then nobody else reports that: ext4 drops pages for which it cannot allocate blocks,
/// and a later sync has nothing to write and succeeds.
pub(crate) fn may_lose_bytes(error: &io::Error) -> bool {
    // The system did not begin: it lacks the call, it refuses it for this file or in this sandbox,
    // or it asks for another try.
    let has_not_begun = [
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::INVAL,
        Errno::SPIPE,
        Errno::PERM,
        Errno::INTR,
        Errno::AGAIN,
        Errno::NOMEM,
    ];
    let known = error.raw_os_error().map(Errno::from_raw_os_error);
    !known.is_some_and(|errno| has_not_begun.contains(&errno))
}

/// The written files of a node's logs.
#[derive(Default)]
pub struct WriteBack {
    files: Mutex<Vec<Weak<dyn Written>>>,
    /// The length of `files`, which an append reads without the lock.
    listed: AtomicUsize,
    bytes: AtomicU64,
    is_rung: AtomicBool,
    has_failed: AtomicBool,
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for WriteBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBack")
            .field("listed", &self.listed)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl WriteBack {
    /// Sets what is called when a pass is due: once until the pass begins, from the thread that
    /// appends. Only the first call has an effect.
    pub fn when_due(&self, bell: impl Fn() + Send + Sync + 'static) {
        // One broker has the logs, and sets the bell once.
        let _ = self.bell.set(Box::new(bell));
    }

    /// Counts bytes that were written, and adds their file to the next pass if it is not listed.
    pub(crate) fn wrote(&self, len: u64, unlisted: Option<Weak<dyn Written>>) {
        if let Some(file) = unlisted {
            let mut files = self.files.lock();
            files.push(file);
            self.listed.store(files.len(), Ordering::Relaxed);
        }
        let bytes = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        let files = self.listed.load(Ordering::Relaxed) as u64;
        if bytes < PASS_BYTES.max(files * FILE_BYTES) || self.is_rung.load(Ordering::Relaxed) {
            return;
        }
        if !self.is_rung.swap(true, Ordering::Relaxed)
            && let Some(bell) = self.bell.get()
        {
            bell();
        }
    }

    /// Starts the write-back of all whole pages that were written. Blocks while the device's queue
    /// is full.
    pub fn start(&self) {
        self.is_rung.store(false, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        let files = {
            let mut files = self.files.lock();
            self.listed.store(0, Ordering::Relaxed);
            std::mem::take(&mut *files)
        };
        for file in files.iter().filter_map(Weak::upgrade) {
            if let Err(error) = file.start_write_back()
                && !self.has_failed.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(
                    %error,
                    "the write-back of records cannot be started early: appends may wait while \
                     the kernel writes (not reported again)"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Default)]
    struct File {
        passes: AtomicUsize,
        fails: bool,
    }

    impl Written for File {
        fn start_write_back(&self) -> io::Result<()> {
            self.passes.fetch_add(1, Ordering::Relaxed);
            if self.fails {
                return Err(Errno::NOSYS.into());
            }
            Ok(())
        }
    }

    fn listed(file: &Arc<File>) -> Option<Weak<dyn Written>> {
        let file: Weak<File> = Arc::downgrade(file);
        Some(file)
    }

    fn with_bell() -> (WriteBack, Arc<AtomicUsize>) {
        let write_back = WriteBack::default();
        let rings = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&rings);
        write_back.when_due(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (write_back, rings)
    }

    #[test]
    fn only_a_write_back_that_may_have_begun_loses_bytes() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS] {
            assert!(may_lose_bytes(&errno.into()), "{errno}");
        }
        assert!(may_lose_bytes(&io::Error::other("unknown")));
        for errno in [Errno::NOSYS, Errno::INVAL, Errno::PERM, Errno::NOMEM] {
            assert!(!may_lose_bytes(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn each_whole_page_is_started_once() {
        let mut file = Unstarted::default();
        assert!(file.wrote(100, 1_000));
        assert!(!file.wrote(1_100, 1_000), "it is listed");
        assert_eq!(file.take(), None, "no page is whole");
        assert!(file.wrote(2_100, 8_000));
        assert_eq!(file.take(), Some(0..8_192));
        assert!(file.wrote(10_100, 3_000));
        assert_eq!(file.take(), Some(8_192..12_288));
        assert_eq!(file.take(), None);
        // After a truncation bytes are written again.
        assert!(file.wrote(5_000, 4_000));
        assert_eq!(file.take(), Some(4_096..12_288));
    }

    #[test]
    fn the_bell_rings_once_for_a_pass_that_is_due() {
        let (write_back, rings) = with_bell();
        let file = Arc::new(File::default());
        write_back.wrote(PASS_BYTES - 1, listed(&file));
        assert_eq!(rings.load(Ordering::Relaxed), 0);
        write_back.wrote(1, None);
        write_back.wrote(PASS_BYTES, None);
        assert_eq!(rings.load(Ordering::Relaxed), 1);
        write_back.start();
        assert_eq!(file.passes.load(Ordering::Relaxed), 1);
        write_back.start();
        assert_eq!(
            file.passes.load(Ordering::Relaxed),
            1,
            "it was not listed again"
        );
        write_back.wrote(PASS_BYTES, listed(&file));
        assert_eq!(rings.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn with_many_files_a_pass_waits_for_more_bytes() {
        let (write_back, rings) = with_bell();
        let files: Vec<_> = (0..1_000).map(|_| Arc::new(File::default())).collect();
        for file in &files {
            write_back.wrote(FILE_BYTES / 2, listed(file));
        }
        assert_eq!(rings.load(Ordering::Relaxed), 0);
        write_back.wrote(FILE_BYTES * 500, None);
        assert_eq!(rings.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_file_that_fails_or_is_gone_does_not_keep_a_pass_from_the_others() {
        let (write_back, _) = with_bell();
        let gone = Arc::new(File::default());
        write_back.wrote(1, listed(&gone));
        drop(gone);
        let failing = Arc::new(File {
            fails: true,
            ..File::default()
        });
        let file = Arc::new(File::default());
        write_back.wrote(1, listed(&failing));
        write_back.wrote(1, listed(&file));
        write_back.start();
        assert_eq!(failing.passes.load(Ordering::Relaxed), 1);
        assert_eq!(file.passes.load(Ordering::Relaxed), 1);
    }
}
