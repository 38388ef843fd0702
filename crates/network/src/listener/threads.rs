//! The threads that serve connections. Each has a single-threaded runtime, so that a connection is
//! read, served and written by one thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The network threads of a node. Dropping this value ends them after the task that they run now.
#[derive(Debug)]
pub struct NetworkThreads {
    handles: Vec<Handle>,
    next: AtomicUsize,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads = Self {
            handles: Vec::new(),
            next: AtomicUsize::new(0),
            running: Vec::new(),
        };
        for index in 0..count.clamp(1, cores) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel();
            let thread = std::thread::Builder::new()
                .name(format!("{name}-net-{index}"))
                .spawn(move || {
                    // Both a message and a dropped sender end the thread.
                    let _ = runtime.block_on(stopped);
                })?;
            threads.handles.push(handle);
            threads.running.push(Running {
                stop: Some(stop),
                thread: Some(thread),
            });
        }
        Ok(threads)
    }

    /// Returns the runtime of the next thread, round robin.
    #[must_use]
    pub fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.handles[turn % self.handles.len()]
    }

    /// Returns the runtimes of all threads.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for NetworkThreads {
    fn drop(&mut self) {
        for running in &mut self.running {
            drop(running.stop.take());
        }
        for running in &mut self.running {
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
