//! Runs the work of background tasks on threads that may block.

use tokio::task::spawn_blocking;

/// Runs work on a thread that may block. A panic continues in the caller.
pub(super) async fn run_blocking(work: impl FnOnce() + Send + 'static) {
    in_blocking(work).await;
}

/// Runs work on a thread that may block, and returns its result. A panic continues in the caller.
pub(super) async fn in_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}
