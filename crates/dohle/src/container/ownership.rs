//! Changes the owner of data folders to the user that the server runs as.
//!
//! Invariant: symbolic links below a data folder are never followed, and nothing outside of the
//! data folders changes its owner.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::Path;

/// The new owner of folders that belong to root: the user of Kafka's own image.
const USER: Owner = Owner {
    uid: 1000,
    gid: 1000,
};

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// An operation on a file or folder that failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {error}")]
pub struct OwnershipError {
    doing: &'static str,
    path: String,
    error: io::Error,
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| effective_user(&status) == Some(0))
}

/// Returns the effective user id in the text of `/proc/self/status`, the second of its user ids.
fn effective_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Creates missing folders, and changes the owner of the folders and everything in them to one
/// user: the owner of the first folder, or the image's user if that is root. Returns that user.
///
/// # Errors
/// The first file whose owner cannot be changed.
pub fn take(folders: &[&Path]) -> Result<Owner, OwnershipError> {
    let first = folders.first().and_then(|folder| fs::metadata(folder).ok());
    let owner = first.as_ref().map_or(USER, adopted);
    for folder in folders {
        make(folder, owner)?;
        let changed = give(folder, owner)?;
        if changed > 0 {
            tracing::info!(
                "changed the owner of {} and its content to user {} ({changed} files)",
                folder.display(),
                owner.uid
            );
        }
    }
    Ok(owner)
}

/// Returns the owner of a folder, with root replaced by the image's user and group.
fn adopted(folder: &Metadata) -> Owner {
    let or = |id: u32, ours: u32| if id == 0 { ours } else { id };
    Owner {
        uid: or(folder.uid(), USER.uid),
        gid: or(folder.gid(), USER.gid),
    }
}

/// Creates a folder and its missing parents.
fn make(folder: &Path, owner: Owner) -> Result<(), OwnershipError> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make(above, owner)?;
    }
    fs::create_dir(folder).map_err(|error| failed("make", folder, error))?;
    set(folder, owner, true)
}

/// Changes the owner of a folder and its content; returns the number of changed files.
fn give(folder: &Path, owner: Owner) -> Result<u64, OwnershipError> {
    let mut changed = 0;
    let top =
        fs::metadata(folder).map_err(|error| failed("read the metadata of", folder, error))?;
    if (top.uid(), top.gid()) != (owner.uid, owner.gid) {
        set(folder, owner, true)?;
        changed += 1;
    }
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| failed("read", &folder, error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| failed("read", &folder, error))?
                .path();
            let found = fs::symlink_metadata(&path);
            let found = found.map_err(|error| failed("read the metadata of", &path, error))?;
            if (found.uid(), found.gid()) != (owner.uid, owner.gid) {
                set(&path, owner, false)?;
                changed += 1;
            }
            if found.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(changed)
}

fn set(path: &Path, owner: Owner, follow: bool) -> Result<(), OwnershipError> {
    let (uid, gid) = (Some(owner.uid), Some(owner.gid));
    let result = if follow {
        chown(path, uid, gid)
    } else {
        lchown(path, uid, gid)
    };
    result.map_err(|error| failed("change the owner of", path, error))
}

fn failed(doing: &'static str, path: &Path, error: io::Error) -> OwnershipError {
    OwnershipError {
        doing,
        path: path.display().to_string(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\tdohle\nUid:\t1000\t0\t1000\t1000\nGid:\t7\t7\t7\t7\n";
        assert_eq!(effective_user(status), Some(0));
        assert_eq!(effective_user("Name:\tdohle\n"), None);
    }

    #[test]
    fn missing_folders_are_made_and_everything_in_them_has_one_owner() {
        let base = tempfile::tempdir().unwrap();
        let (first, second) = (base.path().join("a/b/data"), base.path().join("metadata"));
        fs::create_dir_all(first.join("t-0")).unwrap();
        fs::write(first.join("t-0/00000000000000000000.log"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", first.join("link")).unwrap();
        let owner = take(&[&first, &second]).unwrap();
        let of = |path: &Path| {
            let found = fs::symlink_metadata(path).unwrap();
            (found.uid(), found.gid())
        };
        for path in [&first, &first.join("t-0"), &first.join("link"), &second] {
            assert_eq!(of(path), (owner.uid, owner.gid), "{}", path.display());
        }
        let etc = of(Path::new("/etc/passwd"));
        assert_eq!(etc, (0, 0), "a link's target changed hands");
        // Who owns the folder keeps it.
        assert_eq!(take(&[&first]).unwrap(), owner);
    }
}
