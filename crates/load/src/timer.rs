//! Waits until a moment more precisely than tokio's timers, which have a resolution of a
//! millisecond: the median of a produce latency is shorter than that.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

/// A timer of one task.
#[derive(Debug)]
pub(crate) struct Timer {
    inner: inner::Timer,
    /// The moment that the timer is set to.
    at: Option<Instant>,
}

impl Timer {
    /// Creates a timer, which takes a descriptor.
    ///
    /// # Errors
    /// When there is no descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            inner: inner::Timer::new()?,
            at: None,
        })
    }

    /// Completes once it is `at`. A later call with another moment replaces it.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        if self.at != Some(at) {
            self.inner.set(left);
            self.at = Some(at);
        }
        match self.inner.poll(cx) {
            Poll::Ready(()) => {
                self.at = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(target_os = "linux")]
mod inner {
    use std::fs::File;
    use std::io::{self, Read as _};
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
    use std::ptr;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<File>);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
            // SAFETY: the call accesses no memory of this process.
            let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just created, and nothing else owns it.
            let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
            let timer = File::from(descriptor);
            // SAFETY: a file has one descriptor, which stays open until the file is dropped.
            Ok(Self(unsafe { AsyncFd::register(timer) }?))
        }

        /// Sets the timer, to at least a nanosecond.
        pub(super) fn set(&mut self, after: Duration) {
            let none = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let setting = libc::itimerspec {
                it_interval: none,
                it_value: libc::timespec {
                    tv_sec: after.as_secs() as _,
                    tv_nsec: after.subsec_nanos().max(1) as libc::c_long,
                },
            };
            let descriptor = self.0.get_ref().as_raw_fd();
            // SAFETY: `setting` is read during the call, nothing is written where the last
            // argument is null, and the descriptor is open while `self` is borrowed.
            let set = unsafe { libc::timerfd_settime(descriptor, 0, &setting, ptr::null_mut()) };
            assert!(set == 0, "a timer of {after:?} is refused");
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            loop {
                let Poll::Ready(ready) = self.0.poll_read_ready(cx) else {
                    return Poll::Pending;
                };
                // The descriptor stays registered as long as the runtime exists.
                let Ok(mut ready) = ready else {
                    return Poll::Ready(());
                };
                let mut expirations = [0; 8];
                match ready.try_io(|timer| timer.get_ref().read(&mut expirations)) {
                    Ok(_) => return Poll::Ready(()),
                    Err(_) => continue,
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod inner {
    use std::future::Future as _;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::time::Sleep;

    #[derive(Debug)]
    pub(super) struct Timer(Pin<Box<Sleep>>);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(tokio::time::sleep(Duration::ZERO))))
        }

        pub(super) fn set(&mut self, after: Duration) {
            let at = tokio::time::Instant::now() + after;
            self.0.as_mut().reset(at);
        }

        pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.as_mut().poll(cx)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_timer_waits_until_its_moment_and_can_be_set_again() {
        let mut timer = Timer::new().unwrap();
        let start = Instant::now();
        for micros in [200, 900, 900, 1_500] {
            let at = start + Duration::from_micros(micros);
            poll_fn(|cx| timer.poll_until(cx, at)).await;
            assert!(Instant::now() >= at);
        }
        // A moment that was replaced before it came does not complete the next wait.
        let far = start + Duration::from_secs(3600);
        let near = Instant::now() + Duration::from_millis(2);
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            let at = if polls == 1 { far } else { near };
            let polled = timer.poll_until(cx, at);
            if polls == 1 {
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await;
        assert!(polls > 1 && Instant::now() >= near);
    }
}
