//! The newest metadata image that this broker follows, for every reader in the process.
//!
//! Invariant: offsets of published images never go down, and an image is published after the local
//! replicas follow it.

use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, MetadataOffset};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Holds the newest image. Reading is a reference count, waiting costs nothing until it changes.
#[derive(Debug)]
pub struct MetadataCache {
    image: watch::Sender<Arc<MetadataImage>>,
}

/// This broker's metadata did not reach an offset in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metadata of this broker reached offset {reached} in time, not {wanted}")]
pub struct NotReached {
    /// The offset that was waited for.
    pub wanted: MetadataOffset,
    /// Where the image was at the deadline.
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
    /// A cache that holds the empty image at offset 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            image: watch::Sender::new(Arc::default()),
        }
    }

    /// The newest image. It stays as it is for as long as the caller keeps it.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.borrow())
    }

    /// The newest image once it has reached `offset` ("read your writes" for admin requests).
    ///
    /// # Errors
    /// When the deadline comes first.
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

    /// The first image from now on (the present one included) that `accepts`; `None` at the
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
            // The sender lives as long as `self`.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Follows the images. A slow follower sees the newest and misses those between.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.image.subscribe()
    }

    /// Makes `image` the newest. The [`Feed`](super::Feed) does this; tests may.
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
