//! Runs a test in a small file system of its own: a tmpfs that only the test's process sees.
//!
//! The test runs itself again in a mount namespace of its own, as root, or in a user namespace
//! where that is allowed. Where neither is possible the test fails with that message: it must not
//! pass without having run.
//!
//! `DOHLE_SMALL_FS_TYPE=ext4` mounts ext4 images through loop devices instead, for a run by hand as
//! root: ext4 allocates blocks long after a write and keeps some for root.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = "DOHLE_SMALL_FS";
/// The exit code of the script when a file system cannot be mounted here.
const CANNOT_MOUNT: i32 = 77;

/// Runs `test` in a tmpfs with these mount options, such as `size=1m`. `name` is the test's full
/// name, as the test runner lists it.
#[track_caller]
pub fn in_small_fs(name: &str, options: &str, test: impl FnOnce(&Path)) {
    if let Some(root) = std::env::var_os(ROOT) {
        let root = PathBuf::from(root);
        if is_ext4() {
            mount(&root, options);
        }
        return test(&root);
    }
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o \"$1\" dohle-test \"$2\" || exit {CANNOT_MOUNT}; shift 2; exec \"$@\""
    );
    let mut reasons = String::new();
    for namespaces in [&["--mount"][..], &["--mount", "--user", "--map-root-user"]] {
        let run = Command::new("unshare")
            .args(namespaces)
            .args(["--", "sh", "-c", &script, "sh", options])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(ROOT, dir.path())
            .output();
        let output = match run {
            Ok(output) => output,
            Err(error) => panic!("{name} did not run: unshare (util-linux) is missing: {error}"),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() {
            assert!(stdout.contains("1 passed"), "{name} is no test: {stdout}");
            return;
        }
        let was_refused = stdout.is_empty() && stderr.contains("unshare");
        if was_refused || output.status.code() == Some(CANNOT_MOUNT) {
            reasons.push_str(&stderr);
            continue;
        }
        panic!("{name} failed in its small file system\n{stdout}\n{stderr}");
    }
    panic!(
        "{name} did not run: it needs root, or user namespaces, to mount a small file system; \
         {reasons}"
    );
}

/// Mounts another file system with these options on `dir`, inside [`in_small_fs`].
pub fn mount(dir: &Path, options: &str) {
    let mut command = Command::new("mount");
    if is_ext4() {
        let image = ext4_image(options);
        command.args(["-o", "loop"]).arg(image.path()).arg(dir);
        // The loop device keeps the image after its name is removed.
        check(&mut command);
    } else {
        command.args(["-t", "tmpfs", "-o", options, "dohle-test"]);
        check(command.arg(dir));
    }
}

fn is_ext4() -> bool {
    match std::env::var("DOHLE_SMALL_FS_TYPE").as_deref() {
        Err(_) | Ok("tmpfs") => false,
        Ok("ext4") => true,
        Ok(other) => panic!("DOHLE_SMALL_FS_TYPE={other}: it is tmpfs or ext4"),
    }
}

/// Creates an ext4 image with the `size` and `nr_inodes` that the options for a tmpfs name.
fn ext4_image(options: &str) -> tempfile::NamedTempFile {
    let option = |name: &str| {
        let mut pairs = options.split(',').filter_map(|it| it.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let size = option("size").and_then(|size| size.strip_suffix('m'));
    let size: u64 = size.expect("size=NUMBERm").parse().unwrap();
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(size << 20).unwrap();
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F"]);
    if let Some(inodes) = option("nr_inodes") {
        command.args(["-N", inodes]);
    }
    check(command.arg(image.path()));
    image
}

#[track_caller]
fn check(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "{command:?}: {status:?}"
    );
}

/// A file that occupies free space; dropping it releases the space.
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Fills the file system of `dir` except for `free` bytes.
    pub fn leave(dir: &Path, free: u64) -> Self {
        let path = dir.join("ballast");
        let space = rustix::fs::statvfs(dir).unwrap();
        let len = (space.f_bavail * space.f_frsize).saturating_sub(free);
        std::fs::write(&path, vec![0; usize::try_from(len).unwrap()]).unwrap();
        Self { path }
    }

    /// Fills the file system of `dir`.
    pub fn fill(dir: &Path) -> Self {
        use std::io::Write;
        let path = dir.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [64 * 1024, 4096, 1] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
        Self { path }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}
