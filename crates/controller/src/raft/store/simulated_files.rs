//! A simulated file system that can lose power: what was written since the last sync reaches the
//! disk in any pattern of sectors, and renames in part of their order.
//!
//! The store under test runs unchanged on it. Files exist in a real directory as well, for those
//! who read them by path; sled, which does not use this trait, works there alone, and none of its
//! writes counts as synced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::copy;
use super::files::{Directory, Files, LogFile};

/// A small generator (SplitMix64) that the seed alone determines.
#[derive(Debug, Clone)]
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What a disk holds after a loss of power: files by name, those of sled with their folder.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct Inode {
    /// What is on the disk for certain, and then the content after each later change.
    versions: Vec<Vec<u8>>,
}

/// One voter's disk.
#[derive(Debug)]
struct Disk {
    dir: TempDir,
    inodes: Vec<Inode>,
    /// The names on the disk for certain, and then after each later change.
    names: Vec<BTreeMap<String, usize>>,
    /// sled's files as they were at some earlier moment.
    sled_before: Image,
    /// What the loss of power left.
    image: Option<Image>,
}

#[derive(Debug)]
struct Room {
    random: Random,
    operations: u64,
    cut_at: u64,
    disks: Vec<Disk>,
}

type OnCut = Box<dyn FnMut() + Send>;

/// All disks that lose their power together.
#[derive(Clone)]
pub(super) struct Power {
    room: Arc<Mutex<Room>>,
    on_cut: Arc<Mutex<Option<OnCut>>>,
}

impl std::fmt::Debug for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Power")
    }
}

impl Power {
    /// Disks with this content; the power fails before operation number `cut_at`, and `on_cut` is
    /// called in that moment.
    pub(super) fn new(seed: u64, images: Vec<Image>, cut_at: u64, on_cut: OnCut) -> Self {
        let room = Room {
            random: Random(seed),
            operations: 0,
            cut_at,
            disks: images.into_iter().map(Disk::new).collect(),
        };
        Self {
            room: Arc::new(Mutex::new(room)),
            on_cut: Arc::new(Mutex::new(Some(on_cut))),
        }
    }

    pub(super) fn files(&self, disk: usize) -> Arc<dyn Files> {
        let dir = self.room.lock().disks[disk].dir.path().to_owned();
        Arc::new(SimulatedFiles {
            power: self.clone(),
            disk,
            dir,
        })
    }

    pub(super) fn is_cut(&self) -> bool {
        self.room
            .lock()
            .disks
            .iter()
            .all(|disk| disk.image.is_some())
    }

    /// Cuts the power now, unless it was cut before.
    pub(super) fn cut(&self) -> Vec<Image> {
        if !self.is_cut() {
            self.room.lock().cut_at = 0;
            self.tick();
        }
        let mut room = self.room.lock();
        let images = room.disks.iter_mut().map(|disk| disk.image.take());
        images
            .map(|image| image.expect("the power is cut"))
            .collect()
    }

    fn tick(&self) {
        {
            let room = &mut *self.room.lock();
            room.operations += 1;
            if room.random.one_in(8) {
                for disk in &mut room.disks {
                    disk.sled_before = read_sled(disk.dir.path());
                }
            }
            if room.operations < room.cut_at || room.disks[0].image.is_some() {
                return;
            }
            for disk in &mut room.disks {
                disk.image = Some(disk.lose_power(&mut room.random));
            }
        }
        if let Some(mut on_cut) = self.on_cut.lock().take() {
            on_cut();
        }
    }

    fn with<T>(&self, disk: usize, change: impl FnOnce(&mut Disk) -> T) -> T {
        self.tick();
        change(&mut self.room.lock().disks[disk])
    }
}

impl Disk {
    fn new(image: Image) -> Self {
        let dir = TempDir::new().unwrap();
        let (mut inodes, mut names) = (Vec::new(), BTreeMap::new());
        for (name, content) in image {
            let path = dir.path().join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                continue;
            }
            fs::write(path, &content).unwrap();
            if !name.contains('/') {
                names.insert(name, inodes.len());
                inodes.push(Inode {
                    versions: vec![content],
                });
            }
        }
        Self {
            sled_before: read_sled(dir.path()),
            dir,
            inodes,
            names: vec![names],
            image: None,
        }
    }

    fn current(&self) -> &BTreeMap<String, usize> {
        self.names.last().expect("never empty")
    }

    fn change_names(&mut self, change: impl FnOnce(&mut BTreeMap<String, usize>)) {
        let mut names = self.current().clone();
        change(&mut names);
        self.names.push(names);
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        let found = self.current().get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn lose_power(&self, random: &mut Random) -> Image {
        let names = &self.names[random.below(self.names.len() as u64) as usize];
        let mut image = Image::new();
        for (name, inode) in names {
            let content = torn(&self.inodes[*inode].versions, random);
            image.insert(name.clone(), content);
        }
        let now = read_sled(self.dir.path());
        match random.below(10) {
            0 => {}
            1 => image.extend(self.sled_before.clone()),
            2 => image.extend(now),
            _ => {
                for (name, after) in now {
                    let before = self.sled_before.get(&name).cloned().unwrap_or_default();
                    let versions = [before, after];
                    if !name.ends_with('/') && random.one_in(20) {
                        continue;
                    }
                    image.insert(name, torn(&versions, random));
                }
            }
        }
        image
    }
}

/// One of many contents that a file may have when these are its versions since the last sync.
fn torn(versions: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let newest = versions.len() as u64 - 1;
    match random.below(8) {
        0 => return versions[0].clone(),
        1 => return versions[newest as usize].clone(),
        _ => {}
    }
    let sector = [64, 512, 512, 4096][random.below(4) as usize];
    let share = random.below(101);
    let pick = |random: &mut Random| {
        if random.below(100) < share {
            newest
        } else {
            random.below(newest + 1)
        }
    };
    let len = versions[pick(random) as usize].len();
    let mut content = vec![0; len];
    for start in (0..len).step_by(sector) {
        let version = &versions[pick(random) as usize];
        let end = (start + sector).min(len).min(version.len());
        if start < end {
            content[start..end].copy_from_slice(&version[start..end]);
        }
    }
    content
}

/// sled's files; folders end with a slash.
fn read_sled(dir: &Path) -> Image {
    let mut image = Image::new();
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

#[derive(Debug)]
struct SimulatedFiles {
    power: Power,
    disk: usize,
    dir: PathBuf,
}

impl SimulatedFiles {
    fn file(&self, inode: usize, name: &str) -> Box<dyn LogFile> {
        let mirror = Directory::new(&self.dir).open(name).unwrap();
        Box::new(SimulatedFile {
            power: self.power.clone(),
            disk: self.disk,
            inode,
            mirror,
        })
    }
}

impl Files for SimulatedFiles {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Directory::new(&self.dir).names()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let inode = self.power.with(self.disk, |disk| disk.inode(name))?;
        Ok(self.file(inode, name))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        Directory::new(&self.dir).create(name)?;
        let inode = self.power.with(self.disk, |disk| {
            let inode = disk.inodes.len();
            disk.inodes.push(Inode {
                versions: vec![Vec::new()],
            });
            disk.change_names(|names| {
                names.insert(name.to_owned(), inode);
            });
            inode
        });
        Ok(self.file(inode, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.power.with(self.disk, |disk| {
            let inode = disk.inode(from)?;
            disk.change_names(|names| {
                names.remove(from);
                names.insert(to.to_owned(), inode);
            });
            Directory::new(&self.dir).rename(from, to)
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.with(self.disk, |disk| {
            disk.inode(name)?;
            disk.change_names(|names| {
                names.remove(name);
            });
            Directory::new(&self.dir).remove(name)
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.power.with(self.disk, |disk| {
            disk.names.drain(..disk.names.len() - 1);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    power: Power,
    disk: usize,
    inode: usize,
    mirror: Box<dyn LogFile>,
}

impl SimulatedFile {
    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        self.power.with(self.disk, |disk| {
            let versions = &mut disk.inodes[self.inode].versions;
            let mut content = versions.last().expect("never empty").clone();
            change(&mut content);
            versions.push(content);
        });
    }
}

impl LogFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        self.mirror.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.mirror.read_exact_at(buffer, position)
    }

    fn write_all_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        let at = position as usize;
        self.change(|content| {
            content.resize(content.len().max(at + bytes.len()), 0);
            content[at..at + bytes.len()].copy_from_slice(bytes);
        });
        self.mirror.write_all_at(bytes, position)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.change(|content| content.resize(len as usize, 0));
        self.mirror.set_len(len)
    }

    fn allocate(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.power.with(self.disk, |disk| {
            let versions = &mut disk.inodes[self.inode].versions;
            versions.drain(..versions.len() - 1);
        });
        Ok(())
    }
}
