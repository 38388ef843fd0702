//! Watches the space of the log directories. While it is short, followers pause and deleted files
//! are unlinked early. When there is space again, followers resume and files that could not be
//! written are written.

use std::sync::{Arc, Weak};

use dohle_log::directory::Checkpoint;
use dohle_model::space::SpaceState;
use tokio::time::sleep;

use super::in_blocking::{in_blocking, run_blocking};
use super::{Partitions, wall_clock};
use crate::partition::space::SpaceChange;

/// Takes samples until the registry is dropped.
pub(super) async fn run(weak: Weak<Partitions>) {
    let mut probe = true;
    loop {
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let shared = Arc::clone(&partitions.shared);
        let due = in_blocking(move || partitions.watch_space(probe)).await;
        // The probe for space runs at fixed intervals, whatever happens in between.
        probe = tokio::select! {
            () = sleep(due) => true,
            () = shared.space.until_refused() => false,
        };
    }
}

/// Deletes segments below the log start soon while space is short.
pub(super) async fn reclaim(weak: Weak<Partitions>) {
    while let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) {
        shared.reclaims.ready().await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let ids = shared.reclaims.take();
        run_blocking(move || {
            for partition in partitions.find(ids) {
                let deleted = partition.apply_retention(wall_clock());
                if !deleted.segments.is_empty() {
                    partitions.unlink_later(deleted);
                }
            }
            partitions.write_checkpoints(&[Checkpoint::LogStartOffset]);
        })
        .await;
    }
}

impl Partitions {
    fn reserve_bytes(&self) -> u64 {
        self.settings.read().dynamic.log_dir_reserve_bytes
    }

    /// Adds the log directories to those that are watched.
    pub(super) fn begin_space(&self) {
        let reserve = self.reserve_bytes();
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            self.shared.space.add(dir.id, dir.directory.path(), reserve);
        }
    }

    /// Takes a sample and applies the changes to the partitions. Returns when the next is due.
    fn watch_space(&self, probe: bool) -> std::time::Duration {
        let (changes, due) = self.shared.space.sample(self.reserve_bytes(), probe);
        for change in changes {
            log_change(&change);
            self.follow_space(&change);
        }
        due
    }

    fn follow_space(&self, change: &SpaceChange) {
        let mut here = self.all();
        here.retain(|partition| partition.directory() == change.dir);
        for partition in &here {
            let leader = partition.leader().filter(|leader| *leader != self.node);
            if let Some(leader) = leader {
                // The new subscription is a paused one while space is short, else a normal one.
                self.replicator.follow(partition, leader);
            }
        }
        self.replicator.flush();
        if change.to > change.from {
            for partition in &here {
                self.shared.reclaims.add(partition.id());
            }
            return;
        }
        // Writes the files that could not be written before.
        for partition in &here {
            partition.ensure_metadata();
            self.shared.flushes.add(partition.id());
        }
        self.shared
            .moved
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.applied_changed.notify_one();
    }
}

fn log_change(change: &SpaceChange) {
    let SpaceChange {
        path,
        to,
        space,
        reserve,
        ..
    } = change;
    let (dir, free, total) = (path.display(), space.free, space.total);
    match to {
        SpaceState::Open => tracing::info!(
            %dir, free, total, reserve,
            "log directory has space again: records are accepted"
        ),
        SpaceState::Low => tracing::warn!(
            %dir, free, total, reserve,
            "log directory has less free bytes than log.dir.reserve.bytes: producers are refused \
             and followers pause; reads, offset commits and deletions continue. Delete topics \
             or records, or enlarge the disk"
        ),
        SpaceState::Full => tracing::warn!(
            %dir, free, total, reserve, has_inodes = space.has_files,
            "log directory is full: only reads and deletions continue. Delete topics or records, \
             or enlarge the disk"
        ),
    }
}
