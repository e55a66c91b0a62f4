//! Compiled code on disk, so that a host starts without compiling.
//!
//! Machine code that is loaded can do anything, so each file carries a keyed hash over the code and over what it was
//! made of and for. The key lies beside the files, readable by this user alone. Whatever does not match is compiled
//! again: a file that was altered, cut, put in another one's place, or made by another engine. A cache that
//! cannot be used costs time, never a start.

mod file;
mod key;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::sandbox::artifact::Artifact;
use crate::sandbox::engine::Engines;

use file::{Header, Mismatch};
use key::Key;

pub(super) use file::CodeFor;

/// What files of the cache end in.
const ENTRY: &str = "code";
/// Bytes that are written to see whether the disk takes any.
const PROOF_BYTES: usize = 64 << 10;
/// What they end in while they are written.
const UNFINISHED: &str = "unfinished";

/// Where compiled code is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The directory; made when it is missing, for this user alone.
    pub dir: PathBuf,
    /// Bytes that its files take; the ones used longest ago make room for others.
    pub bytes_max: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { dir: "./data/cache".into(), bytes_max: 1 << 30 }
    }
}

/// A cache that is open. Its methods block on files.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    bytes_max: u64,
    key: Key,
    engine: [u8; blake3::OUT_LEN],
    /// One at a time makes room and moves files in.
    writing: Mutex<()>,
}

impl Cache {
    /// Opens the directory, and makes it and its key when they are missing.
    ///
    /// # Errors
    /// When the directory cannot be made, is another user's, or cannot be written.
    pub(super) fn open(settings: &CacheSettings, engines: &Engines) -> io::Result<Self> {
        let CacheSettings { dir, bytes_max } = settings.clone();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        if fs::metadata(&dir)?.mode() & 0o077 != 0 {
            fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        }
        let key = Key::open(&dir)?;
        let cache = Self { dir, bytes_max, key, engine: file::fingerprint(engines), writing: Mutex::new(()) };
        cache.sweep()?;
        Ok(cache)
    }

    /// The code made for this, if there is any that matches.
    pub(super) fn read(&self, code: &CodeFor<'_>) -> Option<Artifact> {
        let path = self.path(code);
        match self.read_file(&path, code) {
            Ok(Ok(artifact)) => return Some(artifact),
            Ok(Err(Mismatch::OtherEngine)) => {
                tracing::info!(path = %path.display(), "compiled code of another engine is made again");
            }
            Ok(Err(Mismatch::Altered)) => {
                tracing::warn!(path = %path.display(), "compiled code that does not match its keyed hash is made again");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "compiled code cannot be read"),
        }
        None
    }

    /// Keeps code. What is larger than the whole cache may be is not kept.
    ///
    /// # Errors
    /// When the file cannot be written; nothing of it is left then.
    pub(super) fn write(&self, code: &CodeFor<'_>, artifact: &Artifact) -> io::Result<()> {
        let path = self.path(code);
        let header = Header::new(&self.key, &self.engine, code, artifact);
        if header.len() > self.bytes_max {
            tracing::info!(path = %path.display(), "compiled code is larger than the cache and not kept");
            return Ok(());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = path.with_extension(UNFINISHED);
        let kept = self
            .make_room(header.len())
            .and_then(|()| header.write(&unfinished))
            .and_then(|()| fs::rename(&unfinished, &path));
        if kept.is_err() {
            // It may not even have been begun.
            drop(fs::remove_file(&unfinished));
        }
        kept
    }

    /// Writes some bytes and removes them again, to see whether the disk takes any.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn prove(&self) -> io::Result<()> {
        let file = self.dir.join("proof").with_extension(UNFINISHED);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = fs::write(&file, vec![0x5a; PROOF_BYTES]);
        // One that stays is swept away by the next start.
        drop(fs::remove_file(&file));
        written
    }

    fn path(&self, code: &CodeFor<'_>) -> PathBuf {
        self.dir.join(self.key.name(code)).with_extension(ENTRY)
    }

    fn read_file(&self, path: &Path, code: &CodeFor<'_>) -> io::Result<Result<Artifact, Mismatch>> {
        let mut file = fs::File::open(path)?;
        let bytes = file::read(&mut file, self.bytes_max)?;
        let artifact = file::open(&bytes, &self.key, &self.engine, code);
        if artifact.is_ok() {
            // Only the order in which files make room hangs on it.
            drop(file.set_modified(SystemTime::now()));
        }
        Ok(artifact)
    }

    /// Removes what a host left unfinished when it was killed.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes the files used longest ago until so many bytes fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == ENTRY) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), path));
            }
        }
        files.sort();
        let mut taken = files.iter().map(|(_, length, _)| length).sum::<u64>().saturating_add(bytes);
        for (_, length, path) in files {
            if taken <= self.bytes_max {
                break;
            }
            fs::remove_file(&path)?;
            taken = taken.saturating_sub(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
