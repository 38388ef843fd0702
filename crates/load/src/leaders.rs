//! Keeps a client informed of the leaders of the topic's partitions.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::error::LoadError;

/// The time between two requests for the leaders.
const BACKOFF: Duration = Duration::from_millis(100);

/// The requests for leaders of one client.
#[derive(Debug)]
pub(crate) struct LeaderRefresh {
    cluster: Arc<Cluster>,
    is_stale: bool,
    request: Option<JoinHandle<Result<Vec<i32>, LoadError>>>,
    /// When the last request ended.
    last: Instant,
}

impl LeaderRefresh {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            is_stale: false,
            request: None,
            last: Instant::now(),
        }
    }

    /// Notes that the leaders may have changed.
    pub(crate) fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// Asks for the leaders if they may have changed. Completes with the leader of each partition
    /// of the topic, -1 for none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<i32>> {
        if let Some(request) = &mut self.request {
            let Poll::Ready(answer) = Pin::new(request).poll(cx) else {
                return Poll::Pending;
            };
            self.request = None;
            self.last = Instant::now();
            if let Ok(Ok(leaders)) = answer {
                self.is_stale = false;
                return Poll::Ready(leaders);
            }
        }
        if self.is_stale && self.request.is_none() && self.last.elapsed() >= BACKOFF {
            let cluster = Arc::clone(&self.cluster);
            let mut request = tokio::spawn(async move { cluster.leaders().await });
            // The first poll registers this task.
            let _ = Pin::new(&mut request).poll(cx).is_pending();
            self.request = Some(request);
        }
        Poll::Pending
    }
}
