//! Reads and writes snapshot files: `<index>-<term>.checkpoint` in the metadata directory.
//!
//! ```text
//! "DOHLESNP" | version (4) | length of meta (4) | RaftSnapshotMeta | body | CRC32C of all (4)
//! ```
//! Integers are big endian; the state machine defines the body.
//!
//! Invariant: a file with its final name is whole and durable: it was written under a temporary
//! name, `fdatasync`ed, renamed, and the directory was synced. Temporary files are removed at
//! start.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use dohle_rpc::v1;
use dohle_storage::{File, FileReader};
use prost::Message;

use super::files::Files;
use super::types::{LogId, SnapshotMeta, snapshot_meta_from_proto, snapshot_meta_to_proto};

const MAGIC: &[u8; 8] = b"DOHLESNP";
const VERSION: u32 = 1;
const HEAD_LEN: u64 = 16;
const TRAILER_LEN: u64 = 4;
/// Limits the memory that a damaged length can make the reader allocate.
const META_LEN_MAX: u32 = 1024 * 1024;
const SUFFIX: &str = ".checkpoint";
const TMP_SUFFIX: &str = ".tmp";

/// An open snapshot. The file stays readable after a newer snapshot has removed its name.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub meta: SnapshotMeta,
    /// The length of the whole file in bytes.
    pub len: u64,
    body_start: u64,
}

impl SnapshotFile {
    /// Reads the head. [`Self::read_body`] and [`Self::verify`] check the checksum.
    fn open(files: &Files, name: &str) -> io::Result<Self> {
        let path = &files.path().join(name);
        let file = files.open_to_read(name)?;
        let len = file.len()?;
        let mut head = [0; HEAD_LEN as usize];
        file.read_exact_at(&mut head, 0)?;
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| head[at + i]));
        if &head[..8] != MAGIC || word(8) != VERSION {
            return Err(corrupt(
                path,
                "the head is not that of a snapshot of version 1",
            ));
        }
        let meta_len = word(12);
        let body_start = HEAD_LEN + u64::from(meta_len);
        if meta_len > META_LEN_MAX || body_start + TRAILER_LEN > len {
            return Err(corrupt(path, "it is cut short"));
        }
        let mut meta = vec![0; meta_len as usize];
        file.read_exact_at(&mut meta, HEAD_LEN)?;
        let meta = v1::RaftSnapshotMeta::decode(Bytes::from(meta))
            .map_err(|error| corrupt(path, &error.to_string()))?;
        let meta =
            snapshot_meta_from_proto(meta).map_err(|error| corrupt(path, &error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            meta,
            len,
            body_start,
        })
    }

    /// Passes the body to `read`, and then verifies the file's checksum.
    pub(super) fn read_body<E>(
        &mut self,
        read: impl FnOnce(&mut dyn Read) -> Result<(), E>,
    ) -> io::Result<()>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut reader = Checked {
            inner: BufReader::new(FileReader::new(&*self.file, 0)),
            digest: Digest::new(CRC32C),
        };
        io::copy(&mut (&mut reader).take(self.body_start), &mut io::sink())?;
        let mut body = (&mut reader).take(self.len - self.body_start - TRAILER_LEN);
        read(&mut body).map_err(io::Error::other)?;
        io::copy(&mut body, &mut io::sink())?;
        let expected = reader.digest.finalize() as u32;
        let mut trailer = [0; TRAILER_LEN as usize];
        reader.inner.read_exact(&mut trailer)?;
        if u32::from_be_bytes(trailer) != expected {
            return Err(corrupt(&self.path, "it does not match its checksum"));
        }
        Ok(())
    }

    pub(super) fn verify(&mut self) -> io::Result<()> {
        self.read_body(|_| Ok::<(), io::Error>(()))
    }

    /// Gives the file its final name, durably, and removes older snapshots. The file must already
    /// be synced. Does nothing when the file already has its final name.
    pub(super) fn persist(&mut self, files: &Files) -> io::Result<()> {
        let name = file_name(self.meta.last_log_id.as_ref());
        let path = files.path().join(&name);
        if path != self.path {
            let here = self.path.strip_prefix(files.path());
            let temporary = here.unwrap_or(&self.path).to_string_lossy();
            files.rename(&temporary, &name)?;
            files.sync_dir()?;
            self.path = path;
        }
        for name in files.names()? {
            if parse(&name).is_some_and(|id| Some(id) < key(self.meta.last_log_id.as_ref())) {
                files.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// Writes a snapshot with `body` and makes it the current snapshot.
pub(super) fn create(
    files: &Arc<Files>,
    meta: &SnapshotMeta,
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<SnapshotFile> {
    let mut incoming = Incoming::create_in(Arc::clone(files))?;
    let encoded = snapshot_meta_to_proto(meta).encode_to_vec();
    let meta_len = u32::try_from(encoded.len())
        .ok()
        .filter(|len| *len <= META_LEN_MAX);
    let meta_len = meta_len.ok_or_else(|| io::Error::other("snapshot with too many voters"))?;
    let mut writer = Checked {
        inner: BufWriter::new(&mut incoming),
        digest: Digest::new(CRC32C),
    };
    writer.write_all(MAGIC)?;
    writer.write_all(&VERSION.to_be_bytes())?;
    writer.write_all(&meta_len.to_be_bytes())?;
    writer.write_all(&encoded)?;
    body(&mut writer)?;
    let checksum = writer.digest.finalize() as u32;
    writer.inner.write_all(&checksum.to_be_bytes())?;
    writer.inner.flush()?;
    drop(writer);
    let mut snapshot = incoming.finish()?;
    snapshot.persist(files)?;
    Ok(snapshot)
}

/// Opens the newest snapshot; its body has not been read yet.
pub(super) fn open_latest(files: &Files) -> io::Result<Option<SnapshotFile>> {
    match list(files)?.into_iter().max() {
        Some((_, name)) => SnapshotFile::open(files, &name).map(Some),
        None => Ok(None),
    }
}

/// Whether the directory holds a snapshot, readable or not.
pub(super) fn exists(files: &Files) -> io::Result<bool> {
    Ok(!list(files)?.is_empty())
}

/// Removes the incomplete files that a crash left.
pub(super) fn remove_temporary(files: &Files) -> io::Result<()> {
    for name in files.names()? {
        if name.contains(SUFFIX) && name.ends_with(TMP_SUFFIX) {
            files.remove(&name)?;
        }
    }
    Ok(())
}

/// A snapshot that is being written; removed when dropped before [`Self::finish`].
#[derive(Debug)]
pub(super) struct Incoming {
    files: Arc<Files>,
    name: String,
    file: Arc<dyn File>,
    len: u64,
    finished: bool,
}

impl Incoming {
    /// Creates a temporary file in the directory of the operating system.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        Self::create_in(Arc::new(Files::new(dir)))
    }

    fn create_in(files: Arc<Files>) -> io::Result<Self> {
        let mut number = 0_u64;
        loop {
            // Files that one process writes at the same time have different numbers.
            let name = format!("incoming-{number}{SUFFIX}{TMP_SUFFIX}");
            match files.create(&name) {
                Ok(file) => {
                    return Ok(Self {
                        files,
                        name,
                        file,
                        len: 0,
                        finished: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    /// Syncs the file and opens it, still under its temporary name.
    pub(super) fn finish(mut self) -> io::Result<SnapshotFile> {
        self.file.sync_data()?;
        let snapshot = SnapshotFile::open(&self.files, &self.name)?;
        self.finished = true;
        Ok(snapshot)
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.finished {
            // An incomplete file is never used; if it cannot be removed now, the next start removes
            // it.
            drop(self.files.remove(&self.name));
        }
    }
}

const CRC32C: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

struct Checked<T> {
    inner: T,
    digest: Digest,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.digest.update(&buffer[..len]);
        Ok(len)
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(buffer)?;
        self.digest.update(&buffer[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Orders snapshots: by index, then by term.
type Key = (u64, u64);

fn key(id: Option<&LogId>) -> Option<Key> {
    Some(id.map_or((0, 0), |id| (id.index, id.leader_id.term)))
}

fn file_name(id: Option<&LogId>) -> String {
    let (index, term) = key(id).unwrap_or_default();
    format!("{index:020}-{term:010}{SUFFIX}")
}

/// Parses the index and term of a snapshot's file name.
fn parse(name: &str) -> Option<Key> {
    let (index, term) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((index.parse().ok()?, term.parse().ok()?))
}

/// Whether this is the name of a complete snapshot.
pub(super) fn is_snapshot(name: &str) -> bool {
    parse(name).is_some()
}

fn list(files: &Files) -> io::Result<Vec<(Key, String)>> {
    let names = files.names()?.into_iter();
    Ok(names
        .filter_map(|name| Some((parse(&name)?, name)))
        .collect())
}

fn corrupt(path: &Path, what: &str) -> io::Error {
    let message = format!("metadata snapshot {} is corrupt: {what}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}
