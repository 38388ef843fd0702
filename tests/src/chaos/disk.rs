//! A small disk for each node: a tmpfs that is made as large as its content to fill it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::statvfs;

use super::namespaces::run;
use crate::until;
use crate::wait::DEADLINE;

/// The size of a disk that is not full.
const SIZE: &str = "size=1g";

/// The disk of a node.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk on a folder that does not exist yet, in the program's own mount namespace.
    pub fn mount(path: &Path) -> Result<Self> {
        std::fs::create_dir(path)?;
        let path = path.to_owned();
        let target = path.display().to_string();
        run("mount", &["-t", "tmpfs", "-o", SIZE, "disk", &target])?;
        Ok(Self { path })
    }

    /// Leaves no free byte.
    pub fn fill(&self) -> Result<()> {
        // The size may be rejected because the node has written meanwhile.
        until(DEADLINE, "the disk is full", || {
            let space = statvfs(&self.path)?;
            let used = (space.f_blocks - space.f_bfree) * space.f_frsize;
            self.resize(&format!("size={used}"))?;
            let free = statvfs(&self.path)?.f_bfree;
            ensure!(free == 0, "{free} free blocks");
            Ok(true)
        })
    }

    /// Ends [`Disk::fill`].
    pub fn make_space(&self) -> Result<()> {
        self.resize(SIZE)
    }

    fn resize(&self, size: &str) -> Result<()> {
        let options = format!("remount,{size}");
        run("mount", &["-o", &options, &self.path.display().to_string()])
            .with_context(|| format!("resize {}", self.path.display()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Detached at once, even while a node uses it, so that the folder can be removed.
        let _ = run("umount", &["-l", &self.path.display().to_string()]);
    }
}
