//! The producer id and the transactions of a client.
//!
//! ```text
//!              due batch              all sent and answered
//!   Between ─────────────▶ beginning ─▶ Open ─────────────▶ committing ─▶ Between
//!      ▲                                  │ a batch failed, nothing is in flight
//!      └──────────── a new producer id ◀──┘ (aborts the transaction)
//! ```
//!
//! An idempotent producer is always open, but for a new id after a failure.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dohle_protocol::KafkaString;
use dohle_protocol::messages::{
    AddPartitionsToTxnRequestData, AddPartitionsToTxnTopic, EndTxnRequestData,
};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, ProducerId, patiently};
use crate::connection::Connection;
use crate::error::{LoadError, check, is_retriable};
use crate::schedule::ClientSchedule;

/// The versions before KIP-890: partitions are added to a transaction before they are written to.
const ADD_PARTITIONS_VERSIONS: (i16, i16) = (0, 3);
const END_TXN_VERSIONS: (i16, i16) = (0, 4);
/// How long a coordinator may refuse for reasons that pass.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time between two attempts: completing a transaction takes about that long.
const BACKOFF: Duration = Duration::from_millis(5);
/// The time before a new producer id after a failure.
const RENEWAL_BACKOFF: Duration = Duration::from_millis(50);

/// The producer's side of its id and transactions.
#[derive(Debug)]
pub(crate) struct Session {
    kind: Kind,
    producer: Option<ProducerId>,
    is_open: bool,
    is_broken: bool,
    coordinator: Option<Coordinator>,
    work: Option<JoinHandle<Work>>,
}

#[derive(Debug)]
enum Kind {
    Plain,
    Idempotent,
    Transactional { id: Arc<str>, batches: u64 },
}

/// A completed request to the coordinator, which comes back with it.
type Work = (Coordinator, Result<Completed, LoadError>);

#[derive(Debug)]
enum Completed {
    Renewed(ProducerId),
    Begun,
    Committed(Duration),
}

/// What changed in a session.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// There is a new producer id: sequences begin at 0.
    Renewed,
    /// A transaction has begun.
    Begun,
    /// A transaction was committed, in this time.
    Committed(Duration),
    /// The coordinator refuses, or cannot be reached.
    Failed(LoadError),
}

/// The state of a client that has nothing in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuietStep {
    /// A batch is due that waits for a transaction.
    pub is_blocked: bool,
    /// Nothing more is sent.
    pub is_done: bool,
}

impl Session {
    /// A client without a producer id.
    pub(crate) fn plain() -> Self {
        Self::new(Kind::Plain)
    }

    /// An idempotent producer.
    pub(crate) fn idempotent() -> Self {
        Self::new(Kind::Idempotent)
    }

    /// A transactional producer with this many batches in a transaction.
    pub(crate) fn transactional(id: &str, batches: u64) -> Self {
        let id = id.into();
        Self::new(Kind::Transactional { id, batches })
    }

    fn new(kind: Kind) -> Self {
        Self {
            is_open: !matches!(kind, Kind::Transactional { .. }),
            kind,
            producer: None,
            is_broken: false,
            coordinator: None,
            work: None,
        }
    }

    /// Takes the first producer id.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub(crate) async fn prepare(
        &mut self,
        cluster: &Arc<Cluster>,
        topic: &Arc<str>,
    ) -> Result<(), LoadError> {
        if matches!(self.kind, Kind::Plain) {
            return Ok(());
        }
        let mut coordinator = Coordinator {
            cluster: Arc::clone(cluster),
            topic: Arc::clone(topic),
            id: self.transactional_id().map(Into::into),
            connection: None,
        };
        self.producer = Some(coordinator.producer_id().await?);
        self.coordinator = Some(coordinator);
        Ok(())
    }

    /// Returns the producer id.
    pub(crate) fn producer(&self) -> Option<ProducerId> {
        self.producer
    }

    pub(crate) fn transactional_id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Transactional { id, .. } => Some(id),
            Kind::Plain | Kind::Idempotent => None,
        }
    }

    /// Returns whether batches may be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open && !self.is_broken && self.work.is_none()
    }

    /// Returns whether a transaction is to be completed.
    pub(crate) fn is_busy(&self) -> bool {
        let is_transactional = matches!(self.kind, Kind::Transactional { .. });
        is_transactional && (self.work.is_some() || self.is_open)
    }

    /// Notes that a batch failed, so that the sequence of its partition has a gap.
    pub(crate) fn on_failure(&mut self) {
        self.is_broken |= !matches!(self.kind, Kind::Plain);
    }

    /// Does what is next when nothing is in flight. Returns whether it began something.
    pub(crate) fn on_quiet(
        &mut self,
        step: QuietStep,
        schedule: &mut ClientSchedule,
        partitions: &[i32],
    ) -> bool {
        let Some(producer) = self.producer.filter(|_| self.work.is_none()) else {
            return false;
        };
        if self.is_broken {
            if step.is_done {
                self.is_open = false;
                return false;
            }
            return self.begin_work(|coordinator| coordinator.renew());
        }
        let Kind::Transactional { batches, .. } = self.kind else {
            return false;
        };
        let first = schedule.first_unsent();
        if self.is_open && (step.is_done || schedule.is_limited_to(first)) {
            return self.begin_work(move |coordinator| coordinator.commit(producer));
        }
        if !self.is_open && step.is_blocked && !step.is_done {
            let limit = first + batches;
            schedule.set_limit(limit);
            let partition = |index| partitions[schedule.partition(index)];
            let mut added: Vec<i32> = (first..limit)
                .take(partitions.len())
                .map(partition)
                .collect();
            added.sort_unstable();
            return self.begin_work(move |coordinator| coordinator.add(producer, added));
        }
        false
    }

    fn begin_work<F>(&mut self, work: impl FnOnce(Coordinator) -> F) -> bool
    where
        F: Future<Output = Work> + Send + 'static,
    {
        let Some(coordinator) = self.coordinator.take() else {
            return false;
        };
        self.work = Some(tokio::spawn(work(coordinator)));
        true
    }

    /// Returns what the coordinator answered.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SessionEvent> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let Poll::Ready(done) = Pin::new(work).poll(cx) else {
            return Poll::Pending;
        };
        self.work = None;
        let Ok((coordinator, result)) = done else {
            let lost = std::io::Error::other("the task of the coordinator ended");
            return Poll::Ready(SessionEvent::Failed(lost.into()));
        };
        self.coordinator = Some(coordinator);
        let is_transactional = matches!(self.kind, Kind::Transactional { .. });
        Poll::Ready(match result {
            Ok(Completed::Renewed(producer)) => {
                self.producer = Some(producer);
                self.is_broken = false;
                self.is_open = !is_transactional;
                SessionEvent::Renewed
            }
            Ok(Completed::Begun) => {
                self.is_open = true;
                SessionEvent::Begun
            }
            Ok(Completed::Committed(took)) => {
                self.is_open = false;
                SessionEvent::Committed(took)
            }
            Err(error) => {
                self.is_broken = true;
                SessionEvent::Failed(error)
            }
        })
    }
}

/// The connection to the broker that gives producer ids and completes transactions.
#[derive(Debug)]
struct Coordinator {
    cluster: Arc<Cluster>,
    topic: Arc<str>,
    /// The transactional id.
    id: Option<Arc<str>>,
    connection: Option<Connection>,
}

impl Coordinator {
    async fn connection(&mut self) -> Result<&mut Connection, LoadError> {
        let connection = match (self.connection.take(), &self.id) {
            (Some(connection), _) => connection,
            (None, Some(id)) => self.cluster.coordinator(id).await?,
            (None, None) => self.cluster.any().await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn producer_id(&mut self) -> Result<ProducerId, LoadError> {
        let id = self.id.clone();
        let connection = self.connection().await?;
        let taken = Cluster::producer_id(connection, id.as_deref()).await;
        if taken.is_err() {
            self.connection = None;
        }
        taken
    }

    async fn renew(mut self) -> Work {
        tokio::time::sleep(RENEWAL_BACKOFF).await;
        self.connection = None;
        let renewed = self.producer_id().await.map(Completed::Renewed);
        (self, renewed)
    }

    fn text(id: Option<&Arc<str>>) -> KafkaString {
        KafkaString::from(id.map_or(String::new(), |id| id.to_string()))
    }

    async fn add(mut self, producer: ProducerId, partitions: Vec<i32>) -> Work {
        let topic = AddPartitionsToTxnTopic {
            name: KafkaString::from(self.topic.to_string()),
            partitions,
            ..AddPartitionsToTxnTopic::default()
        };
        let request = AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: Self::text(self.id.as_ref()),
            v3_and_below_producer_id: producer.id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![topic],
            ..AddPartitionsToTxnRequestData::default()
        };
        let began = Instant::now();
        let result = loop {
            let code = self.add_once(&request).await;
            match self.outcome("AddPartitionsToTxn", code, began) {
                None => tokio::time::sleep(BACKOFF).await,
                Some(result) => break result.map(|()| Completed::Begun),
            }
        };
        (self, result)
    }

    async fn add_once(
        &mut self,
        request: &AddPartitionsToTxnRequestData,
    ) -> Result<i16, LoadError> {
        let connection = self.connection().await?;
        let response = patiently(connection.call(request, ADD_PARTITIONS_VERSIONS)).await?;
        let topics = response.results_by_topic_v3_and_below.iter();
        let partitions = topics.flat_map(|topic| &topic.results_by_partition);
        let mut codes = partitions.map(|partition| partition.partition_error_code);
        Ok(codes.find(|code| *code != 0).unwrap_or(0))
    }

    async fn commit(mut self, producer: ProducerId) -> Work {
        let request = EndTxnRequestData {
            transactional_id: Self::text(self.id.as_ref()),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            committed: true,
            ..EndTxnRequestData::default()
        };
        let began = Instant::now();
        let result = loop {
            let code = self.commit_once(&request).await;
            match self.outcome("EndTxn", code, began) {
                None => tokio::time::sleep(BACKOFF).await,
                Some(result) => break result.map(|()| Completed::Committed(began.elapsed())),
            }
        };
        (self, result)
    }

    async fn commit_once(&mut self, request: &EndTxnRequestData) -> Result<i16, LoadError> {
        let connection = self.connection().await?;
        let response = patiently(connection.call(request, END_TXN_VERSIONS)).await?;
        Ok(response.error_code)
    }

    /// Returns the result of a request; `None` to repeat it.
    fn outcome(
        &mut self,
        what: &str,
        code: Result<i16, LoadError>,
        began: Instant,
    ) -> Option<Result<(), LoadError>> {
        const CONCURRENT_TRANSACTIONS: i16 = 51;
        let is_late = began.elapsed() > PATIENCE;
        match code {
            Ok(code) if is_retriable(code) && !is_late => {
                if code != CONCURRENT_TRANSACTIONS {
                    self.connection = None;
                }
                None
            }
            Ok(code) => Some(check(what, code)),
            Err(error) => {
                self.connection = None;
                match is_late {
                    true => Some(Err(error)),
                    false => None,
                }
            }
        }
    }
}
