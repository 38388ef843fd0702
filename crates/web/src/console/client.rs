//! Runs requests of the page as requests of Kafka's protocol, on connections that are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use dohle_admin::{Cluster, Connection};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ConsoleSettings;
use super::error::ApiError;

/// The most requests of pages that are worked on at a time; further ones wait.
const WORKERS_MAX: usize = 4;
/// How long a request of a page may take.
const WORK_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the node may take over one request of Kafka's protocol, in milliseconds.
const REQUEST_TIMEOUT_MS: &str = "5000";
/// How long a connection is kept. Addresses of brokers may change.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// A client of the node's own listener.
pub(crate) struct Client {
    settings: ConsoleSettings,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<(Instant, Cluster)>>,
    stop: CancellationToken,
}

impl Client {
    /// Makes a client whose work ends when `stop` is cancelled. Connects with the first request.
    pub(crate) fn new(settings: ConsoleSettings, stop: CancellationToken) -> Self {
        Self {
            settings,
            places: Arc::new(Semaphore::new(WORKERS_MAX)),
            idle: Mutex::default(),
            stop,
        }
    }

    /// Returns the settings of the console.
    pub(crate) fn settings(&self) -> &ConsoleSettings {
        &self.settings
    }

    /// Runs work with a connection, on a thread of its own: a [`Cluster`] serves one thread.
    ///
    /// # Errors
    /// When there is no listener to connect to, the work fails, or it takes too long.
    pub(crate) async fn run<T, Work>(self: &Arc<Self>, work: Work) -> Result<T, ApiError>
    where
        T: Send + 'static,
        Work: AsyncFnOnce(&Cluster) -> Result<T, ApiError> + Send + 'static,
    {
        let stopping = || ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "The node is stopping.");
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| stopping())?;
        let client = Arc::clone(self);
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            Handle::current().block_on(async {
                tokio::select! {
                    done = client.work(work) => done,
                    () = client.stop.cancelled() => Err(stopping()),
                }
            })
        });
        running.await.map_err(|_| {
            let message = "The request failed for a reason that is a fault of the console.";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        })?
    }

    async fn work<T, Work>(&self, work: Work) -> Result<T, ApiError>
    where
        Work: AsyncFnOnce(&Cluster) -> Result<T, ApiError>,
    {
        let working = async {
            let (since, cluster) = self.connection().await?;
            let done = work(&cluster).await;
            let refused = |error: &ApiError| error.status.is_client_error();
            if done.as_ref().err().is_none_or(refused) {
                self.idle.lock().push((since, cluster));
            }
            done
        };
        match tokio::time::timeout(WORK_TIMEOUT, working).await {
            Ok(done) => done,
            Err(_) => Err(ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "The cluster did not answer within {} seconds. Does it have a controller, and \
                     do its brokers run?",
                    WORK_TIMEOUT.as_secs()
                ),
            )),
        }
    }

    async fn connection(&self) -> Result<(Instant, Cluster), ApiError> {
        let kept = {
            let mut idle = self.idle.lock();
            idle.retain(|(since, _)| since.elapsed() < CONNECTION_AGE_MAX);
            idle.pop()
        };
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let bootstrap = self.settings.bootstrap.clone();
        let bootstrap =
            bootstrap.map_err(|why| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why))?;
        let properties = [
            ("client.id", "dohle-console"),
            ("request.timeout.ms", REQUEST_TIMEOUT_MS),
            ("default.api.timeout.ms", REQUEST_TIMEOUT_MS),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let connection = Connection {
            bootstrap,
            controllers: false,
            properties: HashMap::from(properties),
        };
        Ok((Instant::now(), Cluster::connect(&connection).await?))
    }
}
