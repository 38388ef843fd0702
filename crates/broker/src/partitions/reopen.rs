//! Opens logs again that were closed, or could not be opened, for lack of descriptors, memory or
//! space.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_log::{Log, StorageError, StorageErrorKind, partition_metadata};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Partitions;
use super::dirs::Dir;
use crate::backoff::Backoff;
use crate::partition::{ClosedLog, Partition};

/// How long a log stays closed before each attempt.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// Runs until the registry is dropped.
pub(super) async fn run(weak: Weak<Partitions>) {
    let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) else {
        return;
    };
    let mut backoff = BACKOFF;
    loop {
        shared.closed_logs.ready().await;
        sleep(backoff.next_wait()).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let opened = spawn_blocking(move || partitions.open_closed_logs()).await;
        if matches!(opened, Ok(true)) {
            backoff.reset();
        }
    }
}

impl Partitions {
    /// Opens logs until a shortage occurs again. Returns whether all were opened. Blocks on the
    /// disk.
    fn open_closed_logs(&self) -> bool {
        let _following = self.following.lock();
        let closed = self.shared.closed_logs.all();
        let (mut done, mut opened) = (0, 0);
        for (id, known) in &closed {
            let partition = self.get(id);
            let dir_id = partition.as_ref().map(|partition| partition.directory());
            let dir = self.dirs.iter().find(|dir| Some(dir.id) == dir_id);
            let dir = dir.filter(|dir| dir.offline().is_none());
            if let (Some(partition), Some(dir)) = (partition, dir) {
                match self.open_closed_log(&partition, dir, known) {
                    Ok(log) => {
                        self.reopened(&partition, dir, log, known);
                        opened += 1;
                    }
                    Err(error) if error.kind() == StorageErrorKind::Shortage => {
                        tracing::debug!(partition = %partition.name(), %error, "log stays closed");
                        break;
                    }
                    Err(error) if error.kind() == StorageErrorKind::Full => {
                        tracing::debug!(partition = %partition.name(), %error, "log stays closed");
                        continue;
                    }
                    Err(error) => {
                        let name = partition.name();
                        tracing::error!(partition = %name, %error, "log cannot be opened");
                        if error.kind() != StorageErrorKind::Damage {
                            self.fail_dir(dir, &error);
                        }
                    }
                }
            }
            self.shared.closed_logs.remove(id);
            done += 1;
        }
        self.replicator.flush();
        if opened > 0 {
            tracing::info!(
                logs = opened,
                "opened logs that were closed for lack of resources"
            );
        }
        done == closed.len()
    }

    fn open_closed_log(
        &self,
        partition: &Partition,
        dir: &Dir,
        known: &ClosedLog,
    ) -> Result<Log, StorageError> {
        let (name, id, image) = (partition.name(), partition.id(), self.shared.image());
        let path = dir.directory.partition_path(name);
        // The first attempt may have failed before it renamed the directory of another topic.
        let is_other = path.exists()
            && partition_metadata::read(&path)?.is_some_and(|found| found != id.topic_id);
        if is_other {
            self.clear_path(dir, name, &path, &image)?;
        }
        let config = self.config_of(partition.topic(), &image);
        self.open_log_in(dir, name, id, known, &config)
    }

    fn reopened(&self, partition: &Arc<Partition>, dir: &Dir, log: Log, known: &ClosedLog) {
        let id = partition.id();
        dir.note_opened(partition.name(), id.topic_id);
        partition.reopened(log, known.high_watermark);
        if let Some(registration) = self.shared.image().partition(&id) {
            if registration.leader == Some(self.node) {
                let lag_max = self.config.replica_lag_time_max;
                self.lead(partition, registration, lag_max);
            } else {
                self.follow(partition, registration);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::{DirectoryId, Offset};

    use crate::partition::{Acks, AppendOrigin};
    use crate::partitions::tests::{Disks, Quorum};

    #[test]
    fn a_log_that_was_closed_for_a_shortage_is_opened_with_all_it_had() {
        let disks = Disks::new();
        let mut quorum = Quorum::new(101);
        quorum.create_in("t", 1, DirectoryId::UNASSIGNED);
        let broker = disks.start(&[1], &quorum);
        broker.produce("t", 5);
        let replica = broker.replica("t");
        let before = replica.positions();
        assert_eq!(before.high_watermark, Offset(5));
        let offsets = replica.checkpoints();

        replica.fail_for_shortage();
        let empty = bytes::Bytes::new();
        let refused = replica.append(
            empty,
            Acks::Leader,
            AppendOrigin::Client,
            super::super::wall_clock(),
        );
        assert!(refused.is_err() && !replica.is_leader());
        assert_eq!(
            replica.checkpoints(),
            offsets,
            "the checkpoints keep its offsets"
        );

        broker.partitions.open_closed_logs();
        assert_eq!((replica.positions(), replica.is_leader()), (before, true));
        broker.produce("t", 1);
        assert_eq!(broker.log_end("t"), 6);
        broker.stop();
        assert_eq!(disks.partitions(1), ["t-0"]);
    }
}
