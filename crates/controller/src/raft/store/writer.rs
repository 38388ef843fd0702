//! The only thread that accesses the log's files. It takes commands in order, groups those that are
//! waiting, and answers once the group is durable, with one `fdatasync` for the whole group. While
//! no command waits, it brings the copy in sled up to date.
//!
//! While there is no space for a group, the thread waits and answers only reads: to Raft the disk
//! appears slow. No write of the group is lost, and no later write overtakes it.
//!
//! Invariant: after the first failed write or sync, nothing is written or acknowledged any more. A
//! lack of space is not a failure.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, Recovered};
use super::{Counters, FatalSender};
use crate::raft::files::{Files, is_no_space};
use crate::raft::types::{Entry, LogId, Types, Vote};

/// The capacity of the command queue.
const QUEUE: usize = 1024;
/// The most commands in one group.
const GROUP_MAX: usize = 256;
/// The interval at which a write that found no space is retried.
const SPACE_POLL: Duration = Duration::from_millis(50);

type Reply<T> = oneshot::Sender<io::Result<T>>;

/// A command of the log store to its thread.
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
    Rewrite {
        reply: Reply<()>,
    },
    #[cfg(test)]
    Copied {
        reply: Reply<std::ops::Range<u64>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// A reply or callback that waits until a group is durable.
enum Waiter {
    Append(IOFlushed<Types>),
    Reply(Reply<()>),
}

impl Waiter {
    fn complete(self, result: Result<(), &str>) {
        let result = result.map_err(io::Error::other);
        match self {
            Self::Append(flushed) => flushed.io_completed(result),
            // The receiver may be gone, because its runtime is shutting down.
            Self::Reply(reply) => drop(reply.send(result)),
        }
    }
}

pub(super) struct Writer {
    disk: Disk,
    counters: Arc<Counters>,
    fatal: FatalSender,
    failed: Option<String>,
    waiters: Vec<Waiter>,
    closing: Option<oneshot::Sender<()>>,
    /// `None` when commands are passed only to [`Writer::on_group`].
    commands: Option<mpsc::Receiver<Command>>,
    /// Commands that arrived while a write waited for space.
    deferred: VecDeque<Command>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.fatal.send("the thread of the metadata log panicked");
        }
    }
}

/// Opens the log on a thread of its own. The thread ends with the last sender or with
/// [`Command::Close`], and then closes the files.
pub(super) async fn start(
    files: Arc<Files>,
    limit_bytes: u64,
    tail_bytes: usize,
    counters: Arc<Counters>,
    fatal: FatalSender,
) -> io::Result<(mpsc::Sender<Command>, Recovered)> {
    let (commands_tx, commands) = mpsc::channel(QUEUE);
    let (opened_tx, opened) = oneshot::channel();
    thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || {
            let (disk, recovered) = match Disk::open(files, limit_bytes, tail_bytes) {
                Ok(opened) => opened,
                Err(error) => return drop(opened_tx.send(Err(error))),
            };
            counters
                .file_bytes
                .store(disk.file_len(), Ordering::Relaxed);
            if opened_tx.send(Ok(recovered)).is_err() {
                return;
            }
            let writer = Writer::new(disk, counters, fatal);
            writer.run(commands);
        })?;
    let panicked = |_| io::Error::other("the thread of the metadata log panicked");
    let recovered = opened.await.map_err(panicked)??;
    Ok((commands_tx, recovered))
}

impl Writer {
    pub(super) fn new(disk: Disk, counters: Arc<Counters>, fatal: FatalSender) -> Self {
        Self {
            disk,
            counters,
            fatal,
            failed: None,
            waiters: Vec::new(),
            closing: None,
            commands: None,
            deferred: VecDeque::new(),
        }
    }

    fn run(mut self, commands: mpsc::Receiver<Command>) {
        self.commands = Some(commands);
        let mut group = Vec::new();
        while self.closing.is_none() {
            let Some(first) = self.next_command() else {
                break;
            };
            group.push(first);
            while group.len() < GROUP_MAX
                && let Some(next) = self.waiting_command()
            {
                group.push(next);
            }
            self.on_group(group.drain(..));
            while self.is_idle() && self.copy_some() {}
        }
        let closing = self.closing.take();
        drop(self);
        if let Some(reply) = closing {
            // The send fails when nothing waits for the close any more.
            let _ = reply.send(());
        }
    }

    /// Waits for a command; returns `None` when no more can arrive.
    fn next_command(&mut self) -> Option<Command> {
        if let Some(command) = self.deferred.pop_front() {
            return Some(command);
        }
        self.commands.as_mut()?.blocking_recv()
    }

    /// Returns the next command that is already waiting.
    fn waiting_command(&mut self) -> Option<Command> {
        if let Some(command) = self.deferred.pop_front() {
            return Some(command);
        }
        self.commands.as_mut()?.try_recv().ok()
    }

    fn is_idle(&self) -> bool {
        let commands = self.commands.as_ref();
        self.deferred.is_empty() && commands.is_none_or(mpsc::Receiver::is_empty)
    }

    /// Writes the group to the file, and waits as long as there is no space for it.
    fn write_group(&mut self) {
        let mut waited = false;
        while self.failed.is_none() {
            match self.disk.write_out() {
                Ok(()) => break,
                Err(error) if !is_no_space(&error) => self.fail(&error),
                Err(_) if self.counters.stopping.load(Ordering::Acquire) => {
                    self.failed = Some("no space for the metadata log".to_owned());
                }
                Err(error) => {
                    if !std::mem::replace(&mut waited, true) {
                        self.counters.waits_for_space.store(true, Ordering::Release);
                        tracing::warn!(
                            %error,
                            "metadata log has no space: this node acknowledges no metadata until \
                             there is space again"
                        );
                    }
                    self.serve_reads();
                    self.disk.clock().sleep(SPACE_POLL);
                }
            }
        }
        if waited {
            self.counters
                .waits_for_space
                .store(false, Ordering::Release);
            tracing::info!("metadata log no longer waits for space");
        }
    }

    /// Answers reads, and defers commands that have to wait for the current group.
    fn serve_reads(&mut self) {
        while self.deferred.len() < QUEUE
            && let Some(commands) = &mut self.commands
            && let Ok(command) = commands.try_recv()
        {
            match command {
                read @ Command::Read { .. } => self.on_command(read),
                other => self.deferred.push_back(other),
            }
        }
    }

    /// Executes commands and answers them.
    pub(super) fn on_group(&mut self, commands: impl Iterator<Item = Command>) {
        for command in commands {
            self.on_command(command);
        }
        self.finish_group();
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Append { entries, flushed } => {
                let last = entries.last().map(|entry| entry.log_id.index + 1);
                if self.attempt(|disk| disk.append(entries))
                    && let Some(end) = last
                {
                    let before = self.counters.written_end.swap(end, Ordering::AcqRel);
                    assert!(
                        before < end,
                        "entries up to {end} were appended to a log that ended at {before}"
                    );
                }
                self.waiters.push(Waiter::Append(flushed));
            }
            Command::SaveVote { vote, reply } => {
                self.attempt(|disk| disk.save_vote(vote));
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::SaveCommitted(committed) => {
                self.disk.save_committed(committed);
            }
            Command::TruncateFrom { index, reply } => {
                if self.attempt(|disk| disk.truncate_from(index)) {
                    self.counters.written_end.fetch_min(index, Ordering::AcqRel);
                }
                self.waiters.push(Waiter::Reply(reply));
            }
            Command::Purge { upto, reply } => {
                self.attempt(|disk| disk.purge(upto));
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
            Command::Rewrite { reply } => {
                self.attempt(Disk::rewrite);
                self.waiters.push(Waiter::Reply(reply));
            }
            #[cfg(test)]
            Command::Copied { reply } => drop(reply.send(Ok(self.disk.copied()))),
            Command::Close { reply } => self.closing = Some(reply),
        }
    }

    /// Runs a write, unless an earlier one failed. Returns whether it succeeded.
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
        let reason = format!("cannot write the metadata log: {error}");
        self.fatal.send(&reason);
        self.failed = Some(reason);
    }

    fn finish_group(&mut self) {
        let sync = !self.waiters.is_empty() || self.closing.is_some();
        if sync {
            self.write_group();
            self.attempt(Disk::sync);
            self.publish_len();
            let result = self.failed.as_deref().map_or(Ok(()), Err);
            for waiter in self.waiters.drain(..) {
                waiter.complete(result);
            }
        }
        // Waiters whose data are durable were answered already, even if one of these writes fails.
        self.attempt(|disk| disk.after_group(sync));
        if self.closing.is_some() && !self.counters.is_short.load(Ordering::Acquire) {
            self.attempt(Disk::close);
        }
        self.publish_len();
    }

    fn publish_len(&self) {
        let len = self.disk.file_len();
        self.counters.file_bytes.store(len, Ordering::Relaxed);
    }

    /// Copies the next entries to sled. Returns whether there is more to copy.
    pub(super) fn copy_some(&mut self) -> bool {
        if self.counters.is_short.load(Ordering::Acquire) {
            // The copy can wait: the remaining space is kept for the journal.
            return false;
        }
        let mut more = false;
        self.attempt(|disk| {
            more = disk.copy_some()?;
            Ok(())
        });
        more
    }
}
