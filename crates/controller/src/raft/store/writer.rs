//! The one thread that touches the log's database: it takes commands in order, groups what waits,
//! and answers after the group is durable.
//!
//! Invariant: after the first failed write or sync nothing is written or acknowledged any more.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, Recovered};
use super::{Counters, FatalSender};
use crate::raft::types::{Entry, LogId, Types, Vote};

/// Commands that wait while a group is being written.
const QUEUE: usize = 1024;
/// Commands in one group.
const GROUP_MAX: usize = 256;

type Reply<T> = oneshot::Sender<io::Result<T>>;

/// What the log store asks of its thread.
pub(super) enum Command {
    Append {
        entries: Vec<Entry>,
        flushed: IOFlushed<Types>,
    },
    SaveVote {
        vote: Vote,
        reply: Reply<()>,
    },
    SaveCommitted(Option<LogId>),
    TruncateFrom {
        index: u64,
        reply: Reply<()>,
    },
    Purge {
        upto: LogId,
        reply: Reply<()>,
    },
    Read {
        start: u64,
        end: u64,
        bytes_max: usize,
        reply: Reply<Vec<Entry>>,
    },
    #[cfg(test)]
    Rebuild {
        reply: Reply<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// What waits for a group to become durable.
enum Waiter {
    Append(IOFlushed<Types>),
    Reply(Reply<()>),
}

impl Waiter {
    fn complete(self, result: Result<(), &str>) {
        let result = result.map_err(io::Error::other);
        match self {
            Self::Append(flushed) => flushed.io_completed(result),
            // The caller may be gone: its runtime is being shut down.
            Self::Reply(reply) => drop(reply.send(result)),
        }
    }
}

struct Writer {
    disk: Disk,
    counters: Arc<Counters>,
    fatal: FatalSender,
    failed: Option<String>,
    waiters: Vec<Waiter>,
    closing: Option<oneshot::Sender<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.fatal.send("the thread of the metadata log panicked");
        }
    }
}

/// Opens the log in `dir` on a thread of its own; that thread ends with the last sender or with
/// [`Command::Close`], and the database is closed then.
pub(super) async fn start(
    dir: &Path,
    limit_bytes: u64,
    tail_bytes: usize,
    counters: Arc<Counters>,
    fatal: FatalSender,
) -> io::Result<(mpsc::Sender<Command>, Recovered)> {
    let (commands_tx, commands) = mpsc::channel(QUEUE);
    let (opened_tx, opened) = oneshot::channel();
    let dir = dir.to_owned();
    thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || {
            let recovered = Disk::open(&dir, limit_bytes)
                .and_then(|mut disk| disk.recover(tail_bytes).map(|recovered| (disk, recovered)));
            let (disk, recovered) = match recovered {
                Ok(recovered) => recovered,
                Err(error) => return drop(opened_tx.send(Err(error))),
            };
            if let Ok(len) = disk.file_len() {
                counters.file_bytes.store(len, Ordering::Relaxed);
            }
            if opened_tx.send(Ok(recovered)).is_err() {
                return;
            }
            let writer = Writer {
                disk,
                counters,
                fatal,
                failed: None,
                waiters: Vec::new(),
                closing: None,
            };
            writer.run(commands);
        })?;
    // sled panics at some kinds of damage.
    let damaged = |_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "metadata log can't be recovered",
        )
    };
    let recovered = opened.await.map_err(damaged)??;
    Ok((commands_tx, recovered))
}

impl Writer {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut group = Vec::new();
        while self.closing.is_none() {
            let Some(first) = commands.blocking_recv() else {
                break;
            };
            group.push(first);
            while group.len() < GROUP_MAX
                && let Ok(next) = commands.try_recv()
            {
                group.push(next);
            }
            for command in group.drain(..) {
                self.on_command(command);
            }
            self.finish_group();
        }
        let closing = self.closing.take();
        drop(self);
        if let Some(reply) = closing {
            // Nobody waits any more when this fails.
            let _ = reply.send(());
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Append { entries, flushed } => {
                let last = entries.last().map(|entry| entry.log_id.index + 1);
                if self.attempt(|disk| disk.append(&entries))
                    && let Some(end) = last
                {
                    self.counters.written_end.store(end, Ordering::Release);
                }
                self.waiters.push(Waiter::Append(flushed));
            }
            Command::SaveVote { vote, reply } => {
                self.attempt(|disk| disk.save_vote(&vote));
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::SaveCommitted(committed) => {
                self.attempt(|disk| disk.save_committed(committed.as_ref()));
            }
            Command::TruncateFrom { index, reply } => {
                if self.attempt(|disk| disk.truncate_from(index)) {
                    self.counters.written_end.fetch_min(index, Ordering::AcqRel);
                }
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::Purge { upto, reply } => {
                self.attempt(|disk| disk.purge(&upto));
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::Read {
                start,
                end,
                bytes_max,
                reply,
            } => {
                drop(reply.send(self.disk.read(start, end, bytes_max)));
            }
            #[cfg(test)]
            Command::Rebuild { reply } => {
                self.attempt(Disk::rebuild);
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::Close { reply } => self.closing = Some(reply),
        }
    }

    /// Runs a write, unless one failed before. Tells whether it succeeded.
    fn attempt(&mut self, write: impl FnOnce(&mut Disk) -> io::Result<()>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        match write(&mut self.disk) {
            Ok(()) => true,
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let reason = format!("write of the metadata log: {error}");
        self.fatal.send(&reason);
        self.failed = Some(reason);
    }

    fn finish_group(&mut self) {
        if self.waiters.is_empty() && self.closing.is_none() {
            return;
        }
        self.attempt(|disk| disk.sync());
        if let Ok(len) = self.disk.file_len() {
            self.counters.file_bytes.store(len, Ordering::Relaxed);
        }
        // Waiters whose data is durable are answered even when the rebuild then fails.
        let result = self.failed.as_deref().map_or(Ok(()), Err);
        for waiter in self.waiters.drain(..) {
            waiter.complete(result);
        }
        self.attempt(|disk| disk.maybe_rebuild().map(drop));
    }
}
