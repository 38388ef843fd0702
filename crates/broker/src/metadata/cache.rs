//! The newest metadata image that this broker has applied, for every reader in the process.
//!
//! Invariant: offsets of published images never decrease, and an image is published after it was
//! applied to the local replicas.

use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, MetadataOffset};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Holds the newest image. A read increments a reference count; a wait costs nothing until the
/// image changes.
#[derive(Debug)]
pub struct MetadataCache {
    image: watch::Sender<Arc<MetadataImage>>,
}

/// This broker's metadata did not reach an offset in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metadata of this broker reached offset {reached} before the deadline, not {wanted}")]
pub struct NotReached {
    /// The offset that the caller waited for.
    pub wanted: MetadataOffset,
    /// The offset of the image at the deadline.
    pub reached: MetadataOffset,
}

impl From<NotReached> for ApiError {
    fn from(error: NotReached) -> Self {
        ErrorCode::RequestTimedOut.because(error.to_string())
    }
}

impl Default for MetadataCache {
    fn default() -> Self {
        Self::new()
    }
}

impl MetadataCache {
    /// Creates a cache with the empty image at offset 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            image: watch::Sender::new(Arc::default()),
        }
    }

    /// Returns the newest image, which does not change while the caller keeps it.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.borrow())
    }

    /// Returns the newest image once it has reached `offset` ("read your writes" for admin
    /// requests).
    ///
    /// # Errors
    /// When the deadline expires first.
    pub async fn wait_for(
        &self,
        offset: MetadataOffset,
        deadline: Instant,
    ) -> Result<Arc<MetadataImage>, NotReached> {
        self.wait_until(|image| image.offset >= offset, deadline)
            .await
            .ok_or_else(|| NotReached {
                wanted: offset,
                reached: self.image().offset,
            })
    }

    /// Returns the first image that `accepts`, beginning with the current one; `None` at the
    /// deadline.
    pub async fn wait_until(
        &self,
        mut accepts: impl FnMut(&MetadataImage) -> bool,
        deadline: Instant,
    ) -> Option<Arc<MetadataImage>> {
        let mut receiver = self.image.subscribe();
        let waiting = receiver.wait_for(|image| accepts(image));
        match timeout_at(deadline, waiting).await {
            Ok(Ok(image)) => Some(Arc::clone(&image)),
            // Only the deadline is possible: the sender lives as long as `self`.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Subscribes to new images. A slow reader gets the newest and misses those between.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.subscribe()
    }

    /// Makes `image` the newest. Called by the [`MetadataFeed`](super::MetadataFeed) and by tests.
    ///
    /// # Panics
    /// When the image is older than the one it replaces.
    pub fn publish(&self, image: Arc<MetadataImage>) {
        let before = self.image().offset;
        assert!(
            image.offset >= before,
            "image at {} published after {before}",
            image.offset
        );
        self.image.send_replace(image);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn image(offset: u64) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            offset: MetadataOffset(offset),
            ..MetadataImage::default()
        })
    }

    #[tokio::test]
    async fn a_waiter_gets_the_first_image_at_its_offset() {
        let cache = Arc::new(MetadataCache::new());
        let deadline = Instant::now() + Duration::from_secs(5);
        let waiter = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.wait_for(MetadataOffset(7), deadline).await }
        });
        cache.publish(image(6));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        cache.publish(image(8));
        assert_eq!(waiter.await.unwrap().unwrap().offset, MetadataOffset(8));
    }

    #[tokio::test]
    async fn a_waiter_is_told_how_far_the_image_came_at_its_deadline() {
        let cache = MetadataCache::new();
        cache.publish(image(3));
        let error = cache
            .wait_for(MetadataOffset(4), Instant::now())
            .await
            .unwrap_err();
        assert_eq!(
            error,
            NotReached {
                wanted: MetadataOffset(4),
                reached: MetadataOffset(3)
            }
        );
    }
}
