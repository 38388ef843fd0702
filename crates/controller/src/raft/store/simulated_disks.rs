//! The disks of simulated voters, which lose their power together.
//!
//! The journal and the snapshots are in a simulated file system (`dohle_storage::simulated`). sled
//! does not use it: its files are in a real directory, and none of its writes counts as synced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_storage::simulated::{Power, PowerEvent, Random, SimulatedDisk, torn};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::copy;
use crate::raft::files::Files;

/// sled's files by name; folders end with a slash.
type SledImage = BTreeMap<String, Vec<u8>>;

/// What a voter's disk holds after a loss of power.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    files: BTreeMap<String, Vec<u8>>,
    sled: SledImage,
}

/// The disks of all voters of one simulation.
#[derive(Debug, Clone)]
pub(super) struct Disks {
    power: Power,
    disks: Arc<Vec<(TempDir, SimulatedDisk)>>,
    /// What the loss of power left of sled's files.
    sled: Arc<Mutex<Vec<SledImage>>>,
}

impl Disks {
    /// Creates disks with this content; the power fails before operation number `cut_at`, and
    /// `on_cut` is called in that moment.
    pub(super) fn new(
        seed: u64,
        images: Vec<Image>,
        cut_at: u64,
        mut on_cut: impl FnMut() + Send + 'static,
    ) -> Self {
        let dirs: Vec<TempDir> = images.iter().map(|_| TempDir::new().unwrap()).collect();
        let paths: Vec<PathBuf> = dirs.iter().map(|dir| dir.path().to_owned()).collect();
        for (path, image) in paths.iter().zip(&images) {
            write_sled(path, &image.sled);
        }
        let read = move || paths.iter().map(|path| read_sled(path)).collect::<Vec<_>>();
        // sled's files at some earlier moment.
        let mut before = read();
        let mut random = Random(!seed);
        let sled = Arc::new(Mutex::new(Vec::new()));
        let left = Arc::clone(&sled);
        let power = Power::new(seed, cut_at, move |event| match event {
            PowerEvent::Operation if random.one_in(8) => before = read(),
            PowerEvent::Operation => {}
            PowerEvent::Cut => {
                let now = read().into_iter().zip(&before);
                *left.lock() = now
                    .map(|(now, before)| torn_sled(before, now, &mut random))
                    .collect();
                on_cut();
            }
        });
        let disk = |(dir, image): (TempDir, Image)| {
            let path = |name| dir.path().join(name);
            let files = image.files.into_iter();
            let mut content: dohle_storage::simulated::Image = files
                .map(|(name, content)| (path(name), Some(content)))
                .collect();
            content.insert(dir.path().to_owned(), None);
            let disk = power.disk(content);
            (dir, disk)
        };
        let disks = dirs.into_iter().zip(images).map(disk).collect();
        Self {
            power: power.clone(),
            disks: Arc::new(disks),
            sled,
        }
    }

    pub(super) fn files(&self, disk: usize) -> Arc<Files> {
        let (dir, disk) = &self.disks[disk];
        Arc::new(Files::within(disk.environment(), dir.path()))
    }

    pub(super) fn is_cut(&self) -> bool {
        self.power.is_cut()
    }

    /// Cuts the power now, unless it was cut before.
    pub(super) fn cut(&self) -> Vec<Image> {
        let name = |dir: &Path, path: PathBuf| {
            let inside = path.strip_prefix(dir).ok()?;
            Some(inside.to_string_lossy().into_owned())
        };
        let files = self.disks.iter().map(|(dir, disk)| {
            let left = disk.after_power_loss().into_iter();
            let file = |(path, content): (PathBuf, Option<Vec<u8>>)| {
                Some((name(dir.path(), path)?, content?))
            };
            left.filter_map(file).collect()
        });
        let files: Vec<_> = files.collect();
        let sled = std::mem::take(&mut *self.sled.lock());
        let image = |(files, sled)| Image { files, sled };
        files.into_iter().zip(sled).map(image).collect()
    }
}

/// Returns one of the many possible states of sled's files, none of whose writes counts as synced.
fn torn_sled(before: &SledImage, now: SledImage, random: &mut Random) -> SledImage {
    match random.below(10) {
        0 => SledImage::new(),
        1 => before.clone(),
        2 => now,
        _ => {
            let mut left = SledImage::new();
            for (name, after) in now {
                let old = before.get(&name).cloned().unwrap_or_default();
                if name.ends_with('/') || !random.one_in(20) {
                    left.insert(name, torn(&[old, after], random));
                }
            }
            left
        }
    }
}

fn read_sled(dir: &Path) -> SledImage {
    let mut image = SledImage::new();
    let mut folders = vec![copy::NAME.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(dir.join(&folder)) else {
            continue;
        };
        image.insert(format!("{folder}/"), Vec::new());
        for entry in entries.map(Result::unwrap) {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if let Ok(content) = fs::read(entry.path()) {
                image.insert(name, content);
            }
        }
    }
    image
}

fn write_sled(dir: &Path, image: &SledImage) {
    for (name, content) in image {
        let path = dir.join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
