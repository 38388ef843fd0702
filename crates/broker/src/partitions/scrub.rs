//! Checks all closed segments periodically, so that damage is found before a reader finds it.
//!
//! A pass checks one partition after the other at a limited rate. Partitions and segments that are
//! created during a pass are checked by the next.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_config::ScrubConfig;
use tokio::time::{Instant, sleep, sleep_until};

use super::Partitions;
use super::in_blocking::in_blocking;
use super::throttle::{Rate, StopOnDrop};
use crate::partition::Partition;

/// The interval at which the configuration is read while scrubbing is switched off.
const DISABLED_INTERVAL: Duration = Duration::from_secs(10);

/// Runs until the registry is dropped.
pub(super) async fn run(weak: Weak<Partitions>) {
    let stop = StopOnDrop::default();
    let Some(config) = config(&weak) else { return };
    let mut next = Instant::now() + config.interval / 10;
    loop {
        sleep_until(next).await;
        let Some(config) = self::config(&weak) else {
            return;
        };
        if !config.enabled {
            next = Instant::now() + DISABLED_INTERVAL;
            continue;
        }
        let began = Instant::now();
        pass(&weak, &stop).await;
        next = began + config.interval;
    }
}

fn config(weak: &Weak<Partitions>) -> Option<ScrubConfig> {
    let partitions = weak.upgrade()?;
    let scrub = partitions.settings.read().dynamic.scrub;
    Some(scrub)
}

async fn pass(weak: &Weak<Partitions>, stop: &StopOnDrop) {
    let Some(all) = weak.upgrade().map(|partitions| partitions.all()) else {
        return;
    };
    let partitions: Vec<Weak<Partition>> = all.iter().map(Arc::downgrade).collect();
    drop(all);
    for partition in partitions {
        let Some(config) = config(weak).filter(|config| config.enabled) else {
            return;
        };
        let stop = Arc::clone(&stop.0);
        in_blocking(move || {
            let mut rate = Rate::new(config.max_bytes_per_second);
            if let Some(partition) = partition.upgrade() {
                scrub(&partition, &mut |bytes| rate.spend(bytes, &stop));
            }
        })
        .await;
        // Other tasks of the runtime run between partitions.
        sleep(Duration::ZERO).await;
    }
    tracing::debug!("checked the closed segments of all logs");
}

/// Checks the closed segments of one partition.
fn scrub(partition: &Partition, throttle: &mut dyn FnMut(u64) -> bool) {
    let Ok(segments) = partition.closed_segments() else {
        return;
    };
    for segment in segments {
        match partition.check_segment(segment, throttle) {
            Ok(false) => {}
            Ok(true) => partition.ask_for_repair(segment),
            Err(error) => {
                tracing::debug!(partition = %partition.name(), %error, "segment cannot be checked");
                return;
            }
        }
        if !throttle(0) {
            return;
        }
    }
}
