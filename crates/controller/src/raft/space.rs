//! Watches the free space of the metadata log's file system. `model/space.rs` decides what is
//! short.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_model::space::{Space, SpaceMonitor, SpaceState};
use dohle_storage::Environment;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::store::LogStore;

/// Takes samples until the quorum stops, and whenever the reserve changes. `shortage` has the
/// reason while space is short.
pub(super) async fn watch(
    dir: PathBuf,
    mut reserve: watch::Receiver<u64>,
    log: LogStore,
    shortage: watch::Sender<Option<Arc<str>>>,
) {
    let Some(first) = sample(&dir) else { return };
    let mut monitor = SpaceMonitor::new(*reserve.borrow_and_update(), first);
    let mut reported = SpaceState::Open;
    loop {
        if log.waits_for_space() {
            monitor.on_refused_write();
        } else if monitor.wants_write() {
            monitor.on_write();
        }
        let path = dir.clone();
        if let Ok(Some(space)) = spawn_blocking(move || sample(&path)).await {
            monitor.on_sample(*reserve.borrow_and_update(), space);
        }
        let state = monitor.state();
        if state != reported {
            reported = state;
            log.set_short(state != SpaceState::Open);
            let reason = reason(&dir, &monitor);
            report(&dir, &monitor);
            shortage.send_replace((state != SpaceState::Open).then(|| reason.into()));
        }
        tokio::select! {
            () = sleep(monitor.next_sample_in()) => {}
            () = changed(&mut reserve) => {}
        }
    }
}

/// Waits until the reserve changes; forever when its sender was dropped.
async fn changed(reserve: &mut watch::Receiver<u64>) {
    if reserve.changed().await.is_err() {
        std::future::pending().await
    }
}

fn reason(dir: &Path, monitor: &SpaceMonitor) -> String {
    format!(
        "the metadata log in {} has no space for new topics: {} bytes are free, {} are kept \
         (log.dir.reserve.bytes); delete topics or records, or enlarge the disk",
        dir.display(),
        monitor.space().free,
        monitor.reserve()
    )
}

fn report(dir: &Path, monitor: &SpaceMonitor) {
    let (free, reserve) = (monitor.space().free, monitor.reserve());
    let dir = dir.display();
    match monitor.state() {
        SpaceState::Open => {
            tracing::info!(%dir, free, reserve, "metadata log has space again");
        }
        state => tracing::warn!(
            %dir, free, reserve, ?state,
            "metadata log has less free bytes than log.dir.reserve.bytes: no topics are created. \
             Delete topics or records, or enlarge the disk"
        ),
    }
}

fn sample(path: &Path) -> Option<Space> {
    let found = Environment::native().files.space(path).ok()?;
    Some(Space {
        free: found.free,
        total: found.total,
        has_files: found.has_files,
    })
}
