//! The threads that serve connections. Each has a single-threaded runtime, so that a connection is
//! read, served and written by one thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::RwLock;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The network threads of a node. Dropping this value ends them after the task that they run now.
#[derive(Debug)]
pub struct NetworkThreads {
    name: String,
    /// All threads that were started. New connections go to the first `used` of them.
    running: RwLock<Vec<Running>>,
    used: AtomicUsize,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Running {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NetworkThreads {
    /// Starts `count` threads (`num.network.threads`), but at least one and at most one for each
    /// core. Their names begin with `name`.
    ///
    /// # Errors
    /// When the system cannot create a thread or a reactor.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let threads = Self {
            name: name.to_owned(),
            running: RwLock::new(Vec::new()),
            used: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        };
        threads.resize(count)?;
        Ok(threads)
    }

    /// Changes the number of threads that serve new connections, within the bounds of
    /// [`NetworkThreads::start`]. Connections that are open stay with their threads. Returns the
    /// number before and after.
    ///
    /// # Errors
    /// When the system cannot create a thread or a reactor. The number is then as before.
    pub fn resize(&self, count: usize) -> io::Result<(usize, usize)> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = count.clamp(1, cores);
        let mut running = self.running.write();
        for index in running.len()..count {
            running.push(Running::start(format!("{}-net-{index}", self.name))?);
        }
        Ok((self.used.swap(count, Ordering::Relaxed), count))
    }

    /// Returns the runtime of the next thread, round robin.
    #[must_use]
    pub fn next(&self) -> Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let running = self.running.read();
        let used = self.used.load(Ordering::Relaxed);
        running[turn % used].handle.clone()
    }

    /// Returns the runtimes of all threads.
    #[must_use]
    pub fn handles(&self) -> Vec<Handle> {
        let running = self.running.read();
        running.iter().map(|it| it.handle.clone()).collect()
    }
}

impl Running {
    fn start(name: String) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Both a message and a dropped sender end the thread.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for NetworkThreads {
    fn drop(&mut self) {
        for running in self.running.get_mut() {
            drop(running.stop.take());
        }
        for running in self.running.get_mut() {
            let Some(thread) = running.thread.take() else {
                continue;
            };
            // A task on one of the threads may drop this value. That thread cannot wait for itself,
            // and ends when the task does.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a network thread panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the names of the threads that serve the next connections.
    fn names(threads: &NetworkThreads) -> BTreeSet<String> {
        let name = |_| {
            let (send, receive) = std::sync::mpsc::channel();
            threads.next().spawn(async move {
                let _ = send.send(std::thread::current().name().map(str::to_owned));
            });
            receive.recv().unwrap().unwrap()
        };
        (0..8).map(name).collect()
    }

    #[test]
    fn new_connections_follow_a_change_of_the_number_of_threads() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let named = |count: usize| (0..count).map(|index| format!("t-net-{index}")).collect();
        let threads = NetworkThreads::start("t", 1).unwrap();
        assert_eq!(names(&threads), named(1));
        assert_eq!(threads.resize(2).unwrap(), (1, 2.min(cores)));
        assert_eq!(names(&threads), named(2.min(cores)));
        assert_eq!(threads.resize(cores + 7).unwrap().1, cores);
        assert_eq!(threads.resize(0).unwrap(), (cores, 1));
        assert_eq!(names(&threads), named(1));
        // The threads with open connections live on.
        assert_eq!(threads.handles().len(), cores);
    }
}
