//! A small disk of its own for a host or a broker, which can be full to the brim for a while.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Attempts to shrink a disk to what lies on it while others write to it.
const TRIES: usize = 1_000;

/// A mounted file system in memory. Dropping it takes it away.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    bytes: u64,
    is_kept: bool,
}

impl Disk {
    /// Mounts one that holds so many bytes.
    ///
    /// # Errors
    /// What the system says when it does not permit that.
    pub fn mount(directory: &Path, bytes: u64) -> Result<Self, String> {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let options = format!("size={bytes}");
        system("mount", &["-t", "tmpfs", "-o", &options, "guesthouse-torture"], directory)?;
        Ok(Self { directory: directory.to_owned(), bytes, is_kept: false })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets it hold nothing more than what lies on it.
    ///
    /// # Errors
    /// When the system refuses, which it also does while others write faster than this can look.
    pub fn fill(&self) -> Result<(), String> {
        let mut refused = String::new();
        for _ in 0..TRIES {
            let stat = rustix::fs::statvfs(&self.directory).map_err(|error| error.to_string())?;
            let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
            match self.resize(used.max(stat.f_frsize)) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn free(&self) -> Result<(), String> {
        self.resize(self.bytes)
    }

    /// Leaves it mounted for somebody to look at.
    pub fn keep(mut self) {
        self.is_kept = true;
    }

    fn resize(&self, bytes: u64) -> Result<(), String> {
        system("mount", &["-o", &format!("remount,size={bytes}")], &self.directory)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.is_kept {
            // Who still has a file open keeps that one until it ends.
            drop(system("umount", &["--lazy"], &self.directory));
        }
    }
}

fn system(program: &str, arguments: &[&str], directory: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(directory).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
