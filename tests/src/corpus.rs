//! The corpus: real text that any machine with the Rust toolchain has.
//!
//! It is built from the sources of this workspace's own dependencies, as `cargo fetch` unpacks
//! them: the `.rs` files of the packages in `Cargo.lock`, in the order of their paths, without the
//! lines that are not UTF-8 or shorter than [`SHORTEST`] bytes (mostly brackets), until there are a
//! million lines and 100 MB. If the sources are too small, they are read again, with the number of
//! the pass as a prefix of each line.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};

use crate::digest::Digest;

/// The smallest number of lines of the full corpus.
pub const LINES_MIN: u64 = 1_000_000;
/// The smallest size of the full corpus in bytes.
pub const BYTES_MIN: u64 = 100_000_000;
/// The length of the shortest line that is included, in bytes.
pub const SHORTEST: usize = 24;
/// The number of keys: the key of a line is its number modulo this value.
pub const KEYS: u64 = 10_007;

/// A corpus on disk, one record a line, with the digest that its consumers must compute.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// The file.
    pub path: PathBuf,
    /// Its digest, keys included.
    pub digest: Digest,
}

/// The key of a line.
pub fn key(line_number: u64) -> String {
    format!("key-{:05}", line_number % KEYS)
}

impl Corpus {
    /// Returns the full corpus, or its first `DOHLE_CORPUS_LINES` lines.
    pub fn full() -> Result<Self> {
        let lines = match std::env::var("DOHLE_CORPUS_LINES") {
            Ok(lines) => Some(lines.parse().context("DOHLE_CORPUS_LINES")?),
            Err(_) => None,
        };
        Self::made(lines)
    }

    /// Returns the first `lines` lines of the corpus, or `DOHLE_CORPUS_LINES` if that is fewer.
    pub fn slice(lines: u64) -> Result<Self> {
        let limit = std::env::var("DOHLE_CORPUS_LINES")
            .ok()
            .and_then(|v| v.parse().ok());
        Self::made(Some(limit.map_or(lines, |limit: u64| limit.min(lines))))
    }

    fn made(lines: Option<u64>) -> Result<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let name = lines.map_or("corpus.txt".to_owned(), |lines| {
            format!("corpus-{lines}.txt")
        });
        let path = crate::compat().join(name);
        if !path.exists() {
            std::fs::create_dir_all(crate::compat())?;
            let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
            build(&unfinished, lines).context("build the corpus")?;
            std::fs::rename(&unfinished, &path)?;
        }
        let mut digest = Digest::default();
        for_each_line(&path, |number, line| {
            digest.add(key(number).as_bytes(), line)
        })?;
        if lines.is_none() {
            ensure!(
                digest.count() >= LINES_MIN,
                "the corpus has {} lines only",
                digest.count()
            );
        }
        Ok(Self { path, digest })
    }

    /// Writes the corpus as `KEY TAB LINE`, which kcat reads, and returns that file.
    pub fn keyed(&self, directory: &Path) -> Result<PathBuf> {
        let path = directory.join("keyed.txt");
        let mut out = BufWriter::new(File::create(&path)?);
        let mut result = Ok(());
        for_each_line(&self.path, |number, line| {
            if result.is_ok() {
                result = write_keyed(&mut out, number, line);
            }
        })?;
        result?;
        out.flush()?;
        Ok(path)
    }
}

fn write_keyed(out: &mut impl Write, number: u64, line: &[u8]) -> std::io::Result<()> {
    out.write_all(key(number).as_bytes())?;
    out.write_all(b"\t")?;
    out.write_all(line)?;
    out.write_all(b"\n")
}

fn for_each_line(path: &Path, mut with: impl FnMut(u64, &[u8])) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    let mut number = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        with(number, line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
        number += 1;
    }
    Ok(())
}

fn build(path: &Path, lines: Option<u64>) -> Result<()> {
    let files = sources()?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut count, mut bytes) = (0u64, 0u64);
    for pass in 1.. {
        let before = count;
        for file in &files {
            let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
            for line in text.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let unusable = line.contains(&b'\r') || line.contains(&0);
                if line.len() < SHORTEST || unusable || std::str::from_utf8(line).is_err() {
                    continue;
                }
                if pass > 1 {
                    write!(out, "{pass}: ")?;
                }
                out.write_all(line)?;
                out.write_all(b"\n")?;
                count += 1;
                bytes += line.len() as u64;
                let enough = match lines {
                    Some(lines) => count >= lines,
                    None => count >= LINES_MIN && bytes >= BYTES_MIN,
                };
                if enough {
                    out.flush()?;
                    return Ok(());
                }
            }
        }
        ensure!(
            count > before,
            "no source of a dependency found: run `cargo fetch`"
        );
    }
    bail!("unreachable: passes do not end")
}

/// Returns the `.rs` files of the packages in Cargo.lock, in the order of their paths.
fn sources() -> Result<Vec<PathBuf>> {
    let lock = std::fs::read_to_string(crate::root().join("Cargo.lock")).context("Cargo.lock")?;
    let mut packages = Vec::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = Some(value.trim_matches('"').to_owned());
        } else if let (Some(value), Some(name)) = (line.strip_prefix("version = "), name.take()) {
            packages.push(format!("{name}-{}", value.trim_matches('"')));
        }
    }
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let registries = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src");
    let mut files = Vec::new();
    let listed = std::fs::read_dir(&registries)
        .with_context(|| format!("{}: run `cargo fetch`", registries.display()))?;
    for registry in listed {
        let registry = registry?.path();
        for package in &packages {
            walk(&registry.join(package), &mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
