//! Log directories that get no new replicas (`cordoned.log.dirs`, KIP-1066). Replicas that are in
//! them stay and are used.
//!
//! The controller places no replicas on a broker whose directories are all cordoned, so the broker
//! reports them with its heartbeats.

use std::collections::BTreeSet;
use std::path::Path;

use dohle_config::keys::broker as keys;
use dohle_model::DirectoryId;
use dohle_model::features::{CORDONED_LOG_DIRS_FROM, METADATA_VERSION};
use tokio::sync::watch;

use super::Partitions;

impl Partitions {
    /// Returns the log directories that get no new replicas, and changes of them. `None` until the
    /// broker has replayed the metadata once.
    #[must_use]
    pub fn cordoned_dirs(&self) -> watch::Receiver<Option<BTreeSet<DirectoryId>>> {
        self.cordoned.subscribe()
    }

    /// Whether a log directory gets no new replicas.
    pub(super) fn is_cordoned(&self, dir: DirectoryId) -> bool {
        let level = self.shared.image().feature_level(METADATA_VERSION);
        let cordoned = self.cordoned.borrow();
        let contains = cordoned.as_ref().is_some_and(|all| all.contains(&dir));
        level >= CORDONED_LOG_DIRS_FROM && contains
    }

    /// Follows `cordoned.log.dirs`, whose items are paths of log directories, or one asterisk for
    /// all of them.
    pub(super) fn cordon(&self) {
        let settings = self.settings.read();
        let items: Vec<&str> = settings.values.list(&keys::CORDONED_LOG_DIRS).collect();
        let is_item = |path: &Path| {
            let path = std::path::absolute(path).ok();
            let item = |item: &&str| std::path::absolute(item).ok() == path;
            items.contains(&"*") || items.iter().any(item)
        };
        let dirs = self.dirs.iter().filter(|dir| is_item(dir.directory.path()));
        let cordoned: BTreeSet<DirectoryId> = dirs.map(|dir| dir.id).collect();
        self.cordoned.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(&cordoned);
            *known = Some(cordoned);
            is_new
        });
    }
}
