//! A file system in memory that can lose power, for tests.
//!
//! Data that was written to a file since its last sync reaches the disk in any pattern of sectors.
//! Of the changes of a directory since its last sync, a first part reaches the disk, in order.
//! [`Power`] counts the operations of all its disks and fails before the operation with a given
//! number. The disks continue to work after that, because the process does not notice that it is
//! dead, but the content that a restart finds was fixed at the moment of the failure.
//!
//! The seed alone determines what happens, as long as one thread at a time uses the disks.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::{
    Clock, Directory, DirectoryEntry, Entropy, Environment, File, FileSystem, Lock, Metadata,
    OpenMode, Space,
};

/// A small generator (SplitMix64) that the seed alone determines.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which counts as at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_number() % bound.max(1)
    }

    /// Returns `true` with a probability of 1 in `count`.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// The content of a disk, by absolute path: the content of a file, `None` for a directory.
pub type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// The events that are passed to the hook of [`Power::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerEvent {
    /// An operation is about to run.
    Operation,
    /// The power fails now.
    Cut,
}

type Hook = Box<dyn FnMut(PowerEvent) + Send>;

struct Room {
    random: Random,
    operations: u64,
    cut_at: u64,
    is_cut: bool,
    disks: Vec<Arc<Mutex<Nodes>>>,
}

/// The power supply of several disks.
#[derive(Clone)]
pub struct Power {
    room: Arc<Mutex<Room>>,
    hook: Arc<Mutex<Hook>>,
}

impl fmt::Debug for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Power")
    }
}

impl Power {
    /// Creates a supply that fails before operation number `cut_at`; the first operation has number
    /// 1. `hook` is called before each operation, and once at the moment of the failure.
    #[must_use]
    pub fn new(seed: u64, cut_at: u64, hook: impl FnMut(PowerEvent) + Send + 'static) -> Self {
        let room = Room {
            random: Random(seed),
            operations: 0,
            cut_at,
            is_cut: false,
            disks: Vec::new(),
        };
        Self {
            room: Arc::new(Mutex::new(room)),
            hook: Arc::new(Mutex::new(Box::new(hook))),
        }
    }

    /// Connects a disk that holds `image`, all of it synced.
    #[must_use]
    pub fn disk(&self, image: Image) -> SimulatedDisk {
        let nodes = Arc::new(Mutex::new(Nodes::new(image)));
        self.room.lock().disks.push(Arc::clone(&nodes));
        SimulatedDisk {
            power: self.clone(),
            nodes,
        }
    }

    /// Returns whether the power has failed.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.room.lock().is_cut
    }

    /// Returns the number of operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.room.lock().operations
    }

    /// Fails now, unless the power has already failed.
    pub fn cut(&self) {
        self.room.lock().cut_at = 0;
        self.tick();
    }

    fn tick(&self) {
        let is_cut_now = {
            let room = &mut *self.room.lock();
            room.operations += 1;
            let is_cut_now = !room.is_cut && room.operations >= room.cut_at;
            if is_cut_now {
                room.is_cut = true;
                for disk in &room.disks {
                    disk.lock().lose_power(&mut room.random);
                }
            }
            is_cut_now
        };
        (self.hook.lock())(if is_cut_now {
            PowerEvent::Cut
        } else {
            PowerEvent::Operation
        });
    }
}

/// The names in a directory, and the node that each refers to.
type Names = BTreeMap<OsString, usize>;

#[derive(Debug)]
enum Node {
    /// The content that is certainly on the disk, and the content after each later change.
    File {
        versions: Vec<Vec<u8>>,
        modified: SystemTime,
    },
    /// The names that are certainly on the disk, and the names after each later change.
    Directory { versions: Vec<Names> },
}

fn newest<T>(versions: &[T]) -> &T {
    versions.last().expect("there is a version")
}

fn sync<T>(versions: &mut Vec<T>) {
    versions.drain(..versions.len() - 1);
}

/// The files and directories of one disk; the first is the root.
#[derive(Debug)]
struct Nodes {
    nodes: Vec<Node>,
    locked: BTreeSet<PathBuf>,
    /// The parts of files whose write-back was started: position and length.
    started: Vec<(u64, u64)>,
    /// The system's error for all further calls that start a write-back.
    write_back_error: Option<i32>,
    /// How often a part of an open file was read.
    reads: usize,
    /// The content of the disk after the loss of power.
    image: Option<Image>,
}

const ROOT: usize = 0;

impl Nodes {
    fn new(image: Image) -> Self {
        let root = Node::Directory {
            versions: vec![Names::new()],
        };
        let mut nodes = Self {
            nodes: vec![root],
            locked: BTreeSet::new(),
            started: Vec::new(),
            write_back_error: None,
            reads: 0,
            image: None,
        };
        for (path, content) in image {
            let Some(content) = content else {
                nodes.create_directories(&path).expect("a directory");
                continue;
            };
            let parent = path.parent().expect("a file has a directory");
            nodes.create_directories(parent).expect("a directory");
            let file = nodes.create(&path, OpenMode::CreateNew).expect("a file");
            nodes.change(file, |bytes| *bytes = content);
        }
        nodes.sync_all();
        nodes
    }

    fn sync_all(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::File { versions, .. } => sync(versions),
                Node::Directory { versions } => sync(versions),
            }
        }
    }

    fn names(&self, node: usize) -> io::Result<&Names> {
        match &self.nodes[node] {
            Node::Directory { versions } => Ok(newest(versions)),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn content(&self, node: usize) -> &Vec<u8> {
        match &self.nodes[node] {
            Node::File { versions, .. } => newest(versions),
            Node::Directory { .. } => unreachable!("only files are opened as files"),
        }
    }

    fn change(&mut self, node: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let Node::File { versions, .. } = &mut self.nodes[node] {
            let mut content = newest(versions).clone();
            change(&mut content);
            versions.push(content);
        }
    }

    fn change_names(&mut self, node: usize, change: impl FnOnce(&mut Names)) -> io::Result<()> {
        let mut names = self.names(node)?.clone();
        change(&mut names);
        if let Node::Directory { versions } = &mut self.nodes[node] {
            versions.push(names);
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let found = self.names(node)?.get(name).copied();
                node = found.ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// Returns the directory of a path, and the last name of the path.
    fn place(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.names(parent)?;
        Ok((parent, name.to_owned()))
    }

    fn create(&mut self, path: &Path, mode: OpenMode) -> io::Result<usize> {
        let (parent, name) = self.place(path)?;
        self.create_in(parent, &name, mode)
    }

    fn create_in(&mut self, parent: usize, name: &OsString, mode: OpenMode) -> io::Result<usize> {
        if let Some(found) = self.names(parent)?.get(name).copied() {
            if mode == OpenMode::CreateNew {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.change(found, Vec::clear);
            return Ok(found);
        }
        let node = self.nodes.len();
        self.nodes.push(Node::File {
            versions: vec![Vec::new()],
            modified: SystemTime::UNIX_EPOCH,
        });
        self.change_names(parent, |names| {
            names.insert(name.clone(), node);
        })?;
        Ok(node)
    }

    fn create_directories(&mut self, path: &Path) -> io::Result<bool> {
        let (mut node, mut is_new) = (ROOT, false);
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let found = self.names(node)?.get(name).copied();
            node = match found {
                Some(found) => found,
                None => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::Directory {
                        versions: vec![Names::new()],
                    });
                    self.change_names(node, |names| {
                        names.insert(name.to_owned(), new);
                    })?;
                    is_new = true;
                    new
                }
            };
        }
        self.names(node).map(|_| is_new)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let (old_parent, old_name) = self.place(from)?;
        let (new_parent, new_name) = self.place(to)?;
        if old_parent == new_parent {
            return self.change_names(old_parent, |names| {
                names.remove(&old_name);
                names.insert(new_name, node);
            });
        }
        self.change_names(new_parent, |names| {
            names.insert(new_name, node);
        })?;
        self.change_names(old_parent, |names| {
            names.remove(&old_name);
        })
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (parent, name) = self.place(path)?;
        self.change_names(parent, |names| {
            names.remove(&name);
        })
    }

    fn lose_power(&mut self, random: &mut Random) {
        let mut image = Image::new();
        let mut found = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = found.pop() {
            let content = match &self.nodes[node] {
                Node::File { versions, .. } => Some(torn(versions, random)),
                Node::Directory { versions } => {
                    let names = &versions[random.below(versions.len() as u64) as usize];
                    found.extend(names.iter().map(|(name, node)| (path.join(name), *node)));
                    None
                }
            };
            image.insert(path, content);
        }
        self.image = Some(image);
    }
}

/// Returns one of the many contents that a file may have after a loss of power, given its versions
/// since the last sync.
#[must_use]
pub fn torn(versions: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
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

/// A disk with a file system on it. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    power: Power,
    nodes: Arc<Mutex<Nodes>>,
}

impl SimulatedDisk {
    /// Returns an environment of this disk, a clock that does not wait, and numbers that derive
    /// from the power's seed.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment {
            files: Arc::new(self.clone()),
            clock: Arc::new(self.power.clone()),
            entropy: Arc::new(self.power.clone()),
        }
    }

    /// Returns the parts of files whose write-back was started, as position and length, in order.
    #[must_use]
    pub fn started_write_backs(&self) -> Vec<(u64, u64)> {
        self.nodes.lock().started.clone()
    }

    /// Makes all further calls that start a write-back fail with this error of the system.
    pub fn fail_write_backs(&self, errno: i32) {
        self.nodes.lock().write_back_error = Some(errno);
    }

    /// Returns how often a part of an open file was read.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.nodes.lock().reads
    }

    /// Returns the content that a restart finds on the disk. The power fails now if it has not
    /// failed yet.
    #[must_use]
    pub fn after_power_loss(&self) -> Image {
        if !self.power.is_cut() {
            self.power.cut();
        }
        let image = self.nodes.lock().image.clone();
        image.expect("the power has failed")
    }

    fn with<T>(&self, operation: impl FnOnce(&mut Nodes) -> T) -> T {
        self.power.tick();
        operation(&mut self.nodes.lock())
    }

    fn file(&self, node: usize) -> Arc<dyn File> {
        let disk = self.clone();
        Arc::new(Opened { disk, node })
    }
}

impl FileSystem for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let node = self.with(|nodes| match mode {
            OpenMode::Read | OpenMode::ReadWrite => nodes.find(path),
            OpenMode::CreateNew | OpenMode::CreateOrTruncate => nodes.create(path, mode),
        })?;
        match self.nodes.lock().nodes[node] {
            Node::File { .. } => Ok(self.file(node)),
            Node::Directory { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        let node = self.with(|nodes| {
            let node = nodes.find(path)?;
            nodes.names(node).map(|_| node)
        })?;
        let disk = self.clone();
        Ok(Arc::new(Opened { disk, node }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.with(|nodes| {
            let node = nodes.find(path)?;
            Ok(match &nodes.nodes[node] {
                Node::File { versions, modified } => Metadata {
                    len: newest(versions).len() as u64,
                    modified: *modified,
                    is_directory: false,
                },
                Node::Directory { .. } => Metadata {
                    len: 0,
                    modified: SystemTime::UNIX_EPOCH,
                    is_directory: true,
                },
            })
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.with(|nodes| {
            let names = nodes.names(nodes.find(path)?)?;
            let entry = |(name, node): (&OsString, &usize)| DirectoryEntry {
                name: name.clone(),
                is_directory: matches!(nodes.nodes[*node], Node::Directory { .. }),
            };
            Ok(names.iter().map(entry).collect())
        })
    }

    fn create_directories(&self, path: &Path) -> io::Result<bool> {
        self.with(|nodes| nodes.create_directories(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|nodes| nodes.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.with(|nodes| nodes.remove(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.with(|nodes| nodes.remove(path))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let is_new = self.with(|nodes| nodes.locked.insert(path.to_owned()));
        let lock = || Box::new(Locked(Arc::clone(&self.nodes), path.to_owned())) as Lock;
        Ok(is_new.then(lock))
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space {
            free: 1 << 40,
            total: 1 << 40,
            has_files: true,
        })
    }
}

struct Locked(Arc<Mutex<Nodes>>, PathBuf);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.lock().locked.remove(&self.1);
    }
}

/// An open file or directory.
#[derive(Debug)]
struct Opened {
    disk: SimulatedDisk,
    node: usize,
}

impl File for Opened {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.nodes.lock().content(self.node).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut nodes = self.disk.nodes.lock();
        nodes.reads += 1;
        let content = nodes.content(self.node);
        let from = content.len().min(position as usize);
        let len = buffer.len().min(content.len() - from);
        buffer[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        self.read_at(buffer, position).map(Some)
    }

    fn read_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        let mut read = vec![0; buffer.capacity() - buffer.len()];
        let len = self.read_at(&mut read, position)?;
        buffer.extend_from_slice(&read[..len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let at = position as usize;
        self.disk.with(|nodes| {
            nodes.change(self.node, |content| {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            });
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.with(|nodes| {
            nodes.change(self.node, |content| content.resize(len as usize, 0));
        });
        Ok(())
    }

    fn start_write_back(&self, position: u64, len: u64) -> io::Result<()> {
        let mut nodes = self.disk.nodes.lock();
        if let Some(errno) = nodes.write_back_error {
            return Err(io::Error::from_raw_os_error(errno));
        }
        nodes.started.push((position, len));
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.disk.with(|nodes| {
            if let Node::File { modified, .. } = &mut nodes.nodes[self.node] {
                *modified = time;
            }
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.with(|nodes| {
            if let Node::File { versions, .. } = &mut nodes.nodes[self.node] {
                sync(versions);
            }
        });
        Ok(())
    }
}

impl Directory for Opened {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let name = OsString::from(name);
        let node = self
            .disk
            .with(|nodes| nodes.create_in(self.node, &name, OpenMode::CreateOrTruncate))?;
        Ok(self.disk.file(node))
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        let name = OsString::from(name);
        self.disk.with(|nodes| {
            if !nodes.names(self.node)?.contains_key(&name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            nodes.change_names(self.node, |names| {
                names.remove(&name);
            })
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.with(|nodes| {
            if let Node::Directory { versions } = &mut nodes.nodes[self.node] {
                sync(versions);
            }
        });
        Ok(())
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.disk.with(Nodes::sync_all);
        Ok(())
    }
}

impl Clock for Power {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, _: Duration) {}
}

impl Entropy for Power {
    fn next(&self) -> u64 {
        self.room.lock().random.next_number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power() -> Power {
        Power::new(1, u64::MAX, |_| {})
    }

    fn write(disk: &SimulatedDisk, path: &str, content: &[u8]) -> Arc<dyn File> {
        let file = disk.open(Path::new(path), OpenMode::CreateOrTruncate);
        let file = file.unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    #[test]
    fn what_is_synced_survives_and_what_is_not_may_be_lost() {
        let mut lost = 0;
        for seed in 0..50 {
            let power = Power::new(seed, u64::MAX, |_| {});
            let disk = power.disk(Image::new());
            disk.create_directories(Path::new("/d")).unwrap();
            disk.sync_directory(Path::new("/")).unwrap();
            write(&disk, "/d/synced", b"content").sync_data().unwrap();
            disk.sync_directory(Path::new("/d")).unwrap();
            write(&disk, "/d/unsynced", b"content");
            let image = disk.after_power_loss();
            assert_eq!(
                image[Path::new("/d/synced")].as_deref(),
                Some(&b"content"[..])
            );
            lost += usize::from(!image.contains_key(Path::new("/d/unsynced")));
        }
        assert!((1..50).contains(&lost), "{lost} of 50");
    }

    #[test]
    fn an_open_file_and_an_open_directory_follow_their_names() {
        let disk = power().disk(Image::new());
        disk.create_directories(Path::new("/a")).unwrap();
        let file = write(&disk, "/a/f", b"x");
        let directory = disk.open_directory(Path::new("/a")).unwrap();
        disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
        file.write_all_at(b"y", 0).unwrap();
        assert_eq!(disk.read(Path::new("/b/f")).unwrap(), b"y");
        directory.remove_file("f").unwrap();
        assert_eq!(file.len().unwrap(), 1, "it stays open");
        assert_eq!(disk.list(Path::new("/b")).unwrap(), []);
        assert!(!disk.exists(Path::new("/a")).unwrap());
    }

    #[test]
    fn the_power_fails_before_the_operation_with_that_number() {
        let power = Power::new(1, 3, |_| {});
        let disk = power.disk(Image::new());
        let file = write(&disk, "/f", b"x");
        assert!(!power.is_cut(), "two operations");
        file.sync_data().unwrap();
        assert!(power.is_cut());
        let left = disk.after_power_loss();
        file.write_all_at(b"later", 0).unwrap();
        assert_eq!(
            disk.after_power_loss(),
            left,
            "it was decided at the failure"
        );
    }

    #[test]
    fn a_lock_of_another_value_is_respected() {
        let disk = power().disk(Image::new());
        let held = disk.try_lock(Path::new("/lock")).unwrap();
        assert!(disk.try_lock(Path::new("/lock")).unwrap().is_none());
        drop(held);
        assert!(disk.try_lock(Path::new("/lock")).unwrap().is_some());
    }
}
