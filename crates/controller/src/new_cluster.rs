//! Reads and writes two files beside the metadata log: `bootstrap.features` with the feature levels
//! that this voter finalizes if it is the first active controller of a new cluster, and
//! `bootstrap.scram` with the SCRAM credentials that the cluster begins with.
//!
//! `storage format` writes the files. Without the first a new cluster finalizes the default levels
//! of this release, and without the second it has no users. The second is readable by its owner
//! alone.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_model::record::MetadataRecord;
use dohle_model::scram::{ScramCredential, ScramMechanism};

const FILE: &str = "bootstrap.features";
const SCRAM_FILE: &str = "bootstrap.scram";
const LAST_LINE: &str = "end";

/// Reads the levels that the metadata directory `dir` was formatted with, if any.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn read_features(dir: &Path) -> io::Result<Option<BTreeMap<String, i16>>> {
    let without = "gets the default levels of all features";
    read(&dir.join(FILE), without, parse)
}

/// Reads the SCRAM credentials that the metadata directory `dir` was formatted with.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn read_scram(dir: &Path) -> io::Result<Vec<MetadataRecord>> {
    let records = read(&dir.join(SCRAM_FILE), "has no users", parse_scram)?;
    Ok(records.unwrap_or_default())
}

/// Reads a file, if there is one. `without` is what a new cluster does without it.
fn read<T>(
    path: &Path,
    without: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let parsed = std::str::from_utf8(&text).ok().and_then(parse);
    let damaged = || {
        io::Error::other(format!(
            "{} is damaged. Delete it: only a new cluster needs it, and {without} without it",
            path.display()
        ))
    };
    parsed.map(Some).ok_or_else(damaged)
}

/// Reads lines of five fields: user, mechanism, iterations, salt, stored key and server key, texts
/// and bytes in base64.
fn parse_scram(text: &str) -> Option<Vec<MetadataRecord>> {
    let mut records = Vec::new();
    for line in text.strip_suffix(&format!("{LAST_LINE}\n"))?.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [user, mechanism, iterations, salt, stored_key, server_key] = fields[..] else {
            return None;
        };
        let bytes = |text| STANDARD.decode(text).ok();
        let user = String::from_utf8(bytes(user)?).ok()?;
        records.push(MetadataRecord::UserScramCredential {
            user: user.into(),
            mechanism: ScramMechanism::from_name(mechanism)?,
            credential: ScramCredential {
                salt: bytes(salt)?.into(),
                stored_key: bytes(stored_key)?.into(),
                server_key: bytes(server_key)?.into(),
                iterations: iterations.parse().ok()?,
            },
        });
    }
    Some(records)
}

/// Writes the SCRAM credentials of a new cluster's users to the metadata directory `dir` durably.
///
/// # Errors
/// The directory or the file cannot be written.
pub fn write_scram<'a>(
    dir: &Path,
    users: impl IntoIterator<Item = (&'a str, ScramMechanism, &'a ScramCredential)>,
) -> io::Result<()> {
    let mut text = String::new();
    for (user, mechanism, credential) in users {
        let fields = [
            STANDARD.encode(user),
            mechanism.name().to_owned(),
            credential.iterations.to_string(),
            STANDARD.encode(&credential.salt),
            STANDARD.encode(&credential.stored_key),
            STANDARD.encode(&credential.server_key),
        ];
        text.push_str(&fields.join(" "));
        text.push('\n');
    }
    write(dir, SCRAM_FILE, &text)
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
    let lines = levels
        .iter()
        .map(|(name, level)| format!("{name}={level}\n"));
    write(dir, FILE, &lines.collect::<String>())
}

/// Writes a file that only its owner can read, durably, with a last line that shows that it is
/// complete.
fn write(dir: &Path, name: &str, lines: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let temporary = dir.join(format!("{name}.tmp"));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    writeln!(file, "{lines}{LAST_LINE}")?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, dir.join(name))?;
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

    #[test]
    fn users_are_read_as_they_were_written_and_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_scram(dir.path()).unwrap(), []);
        let credential = ScramCredential {
            salt: b"salt".as_slice().into(),
            stored_key: [1; 32].as_slice().into(),
            server_key: [2; 32].as_slice().into(),
            iterations: 8192,
        };
        let user = "a user\nwith=signs";
        let users = [(user, ScramMechanism::Sha256, &credential)];
        write_scram(dir.path(), users).unwrap();
        let record = MetadataRecord::UserScramCredential {
            user: user.into(),
            mechanism: ScramMechanism::Sha256,
            credential: credential.clone(),
        };
        assert_eq!(read_scram(dir.path()).unwrap(), [record]);
        let path = dir.path().join(SCRAM_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let error = read_scram(dir.path()).unwrap_err().to_string();
            assert!(error.contains("is damaged"), "{len} bytes: {error}");
        }
    }
}
