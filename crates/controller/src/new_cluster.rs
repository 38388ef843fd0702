//! Reads and writes `bootstrap.features`, a file beside the metadata log with the feature levels
//! that this voter finalizes if it is the first active controller of a new cluster.
//!
//! `storage format` writes the file. Without it a new cluster finalizes the default levels of this
//! release.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const FILE: &str = "bootstrap.features";
const TEMPORARY: &str = "bootstrap.features.tmp";
const LAST_LINE: &str = "end";

/// Reads the levels that the metadata directory `dir` was formatted with, if any.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn read_features(dir: &Path) -> io::Result<Option<BTreeMap<String, i16>>> {
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let levels = std::str::from_utf8(&text).ok().and_then(parse);
    let damaged = || {
        io::Error::other(format!(
            "{} is damaged. Delete it: only a new cluster needs it, and gets the default levels of \
             all features without it",
            path.display()
        ))
    };
    levels.map(Some).ok_or_else(damaged)
}

fn parse(text: &str) -> Option<BTreeMap<String, i16>> {
    let mut levels = BTreeMap::new();
    // A truncated file does not have the last line.
    for line in text.strip_suffix(&format!("{LAST_LINE}\n"))?.lines() {
        let (name, level) = line.split_once('=')?;
        levels.insert(name.to_owned(), level.parse().ok()?);
    }
    Some(levels)
}

/// Writes the levels to the metadata directory `dir` durably.
///
/// # Errors
/// The directory or the file cannot be written.
pub fn write_features(dir: &Path, levels: &BTreeMap<String, i16>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let temporary = dir.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    for (name, level) in levels {
        writeln!(file, "{name}={level}")?;
    }
    writeln!(file, "{LAST_LINE}")?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_were_written_and_damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_features(dir.path()).unwrap(), None);
        let mut levels = dohle_model::features::defaults();
        levels.insert("transaction.version".to_owned(), 1);
        write_features(dir.path(), &levels).unwrap();
        assert_eq!(read_features(dir.path()).unwrap().as_ref(), Some(&levels));
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let error = read_features(dir.path()).unwrap_err().to_string();
            assert!(error.contains("is damaged"), "{len} bytes: {error}");
        }
    }
}
