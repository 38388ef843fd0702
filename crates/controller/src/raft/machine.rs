//! The replicated state machine behind openraft's traits: applies committed entries, and writes and
//! installs snapshots.
//!
//! The payloads are opaque here; only the [`StateMachine`] interprets them.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::MetadataOffset;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::files::{Files, is_no_space};
use super::snapshot::{self, SnapshotFile};
use super::types::{EntryPayload, LogId, SnapshotMeta, StoredMembership, Types};
use super::{ApplyOutcome, SnapshotWriter, StateMachine};

type RaftSnapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// The approximate size of an entry in the journal besides its payload, in bytes.
const ENTRY_OVERHEAD: usize = 56;
/// The pause before a snapshot that found no space is retried; doubled each time.
const SPACE_WAIT_FIRST: Duration = Duration::from_millis(250);
const SPACE_WAIT_LAST: Duration = Duration::from_secs(30);

fn lost() -> io::Error {
    io::Error::other("a restore of the metadata panicked")
}

/// The application's state machine with its position and its snapshots.
pub(super) struct Machine {
    /// The lock only provides `Sync` and is never contended. `None` only while a restore runs on a
    /// blocking thread, or after a restore panicked.
    state: Mutex<Option<Box<dyn StateMachine>>>,
    files: Arc<Files>,
    last_applied: Option<LogId>,
    membership: StoredMembership,
    bytes_since_snapshot: u64,
    snapshot_after_bytes: u64,
    /// Notified when the bytes applied since the last snapshot reach `snapshot_after_bytes`.
    snapshot_due: Arc<Notify>,
}

impl Machine {
    pub(super) fn new(
        state: Box<dyn StateMachine>,
        dir: &Path,
        snapshot_after_bytes: u64,
        snapshot_due: Arc<Notify>,
    ) -> Self {
        Self {
            state: Mutex::new(Some(state)),
            files: Arc::new(Files::new(dir)),
            last_applied: None,
            membership: StoredMembership::default(),
            bytes_since_snapshot: 0,
            snapshot_after_bytes,
            snapshot_due,
        }
    }

    fn state(&mut self) -> io::Result<&mut Box<dyn StateMachine>> {
        self.state.get_mut().as_mut().ok_or_else(lost)
    }

    fn maybe_ask_for_snapshot(&mut self, bytes: usize) {
        self.bytes_since_snapshot += bytes as u64;
        if self.bytes_since_snapshot >= self.snapshot_after_bytes {
            self.bytes_since_snapshot = 0;
            self.snapshot_due.notify_one();
        }
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            assert!(
                self.last_applied
                    .is_none_or(|last| last.index < entry.log_id.index),
                "entry {} is applied after {:?}",
                entry.log_id,
                self.last_applied
            );
            assert!(
                self.last_applied
                    .is_none_or(|last| last.leader_id <= entry.log_id.leader_id),
                "entry {} is applied after {:?}, of a later term",
                entry.log_id,
                self.last_applied
            );
            let outcome = match entry.payload {
                EntryPayload::Blank => ApplyOutcome::Applied,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    ApplyOutcome::Applied
                }
                EntryPayload::Normal(payload) => {
                    let offset = MetadataOffset(entry.log_id.index);
                    let outcome = self.state()?.apply(offset, &payload.0);
                    self.maybe_ask_for_snapshot(payload.0.len() + ENTRY_OVERHEAD);
                    outcome
                }
            };
            self.last_applied = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.bytes_since_snapshot = 0;
        Builder {
            write: Mutex::new(self.state.get_mut().as_ref().map(|state| state.snapshot())),
            files: Arc::clone(&self.files),
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.membership.clone(),
            },
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        mut snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let mut state = self.state.get_mut().take().ok_or_else(lost)?;
        let offset = MetadataOffset(meta.last_log_id.map_or(0, |id| id.index));
        let files = Arc::clone(&self.files);
        let (state, result) = spawn_blocking(move || {
            // The file gets its final name before the log entries that it covers are purged.
            let result = snapshot
                .persist(&files)
                .and_then(|()| snapshot.read_body(|body| state.restore(offset, body)));
            (state, result)
        })
        .await
        .map_err(io::Error::other)?;
        *self.state.get_mut() = Some(state);
        result?;
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.bytes_since_snapshot = 0;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let files = Arc::clone(&self.files);
        let latest = spawn_blocking(move || snapshot::open_latest(&files))
            .await
            .map_err(io::Error::other)??;
        Ok(latest.map(|file| Snapshot {
            meta: file.meta.clone(),
            snapshot: file,
        }))
    }
}

/// Writes one snapshot on a blocking thread: the state at the time when the builder was created.
pub(super) struct Builder {
    write: Mutex<Option<SnapshotWriter>>,
    files: Arc<Files>,
    meta: SnapshotMeta,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let write = self.write.get_mut().take();
        let mut write = write.ok_or_else(|| io::Error::other("the snapshot was built before"))?;
        let mut wait = SPACE_WAIT_FIRST;
        let file = loop {
            let (files, meta) = (Arc::clone(&self.files), self.meta.clone());
            let creating = spawn_blocking(move || {
                let created = snapshot::create(&files, &meta, |writer| write(writer));
                (write, created)
            });
            let created;
            (write, created) = creating.await.map_err(io::Error::other)?;
            match created {
                // An error would stop Raft. The log keeps its entries until there is a snapshot.
                Err(error) if is_no_space(&error) => {
                    tracing::info!(%error, ?wait, "no space for a metadata snapshot; will retry");
                    sleep(wait).await;
                    wait = (wait * 2).min(SPACE_WAIT_LAST);
                }
                created => break created?,
            }
        };
        let path = file.path.display();
        tracing::info!(snapshot = %path, bytes = file.len, "wrote a metadata snapshot");
        Ok(Snapshot {
            meta: file.meta.clone(),
            snapshot: file,
        })
    }
}
