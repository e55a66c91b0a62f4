//! The key of a cache: 32 random bytes in its directory, readable by this user alone.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::process::geteuid;

use super::CodeFor;

/// Its file.
const FILE: &str = "key";
/// The context of names, so that no name is the hash of a file's content.
const NAMES: &[u8] = b"guesthouse cache: name";

/// The key of a cache.
pub(super) struct Key([u8; blake3::KEY_LEN]);

impl Key {
    /// Reads the key of a directory, or makes one if there is none that nobody else can know.
    ///
    /// # Errors
    /// When the files of the directory cannot be read or written.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        match Self::read(&path) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the key of the cache is not this user's alone, or cut; a new one is made");
                fs::remove_file(&path)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Self::make(dir, &path)?;
        // Another host may have been first; then its key counts.
        Self::read(&path)?.ok_or_else(|| io::Error::other("the key of the cache changes while it is read"))
    }

    /// A hash that nobody makes without the key.
    pub(super) fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }

    /// The name of the file for some code.
    pub(super) fn name(&self, code: &CodeFor<'_>) -> String {
        let mut hasher = self.hasher();
        hasher.update(NAMES);
        code.add_to(&mut hasher);
        hasher.finalize().to_hex().to_string()
    }

    /// `None` when others could read it, own it, or it is cut.
    fn read(path: &Path) -> io::Result<Option<Self>> {
        let metadata = fs::symlink_metadata(path)?;
        let ours = metadata.is_file() && metadata.mode() & 0o077 == 0 && metadata.uid() == geteuid().as_raw();
        if !ours || metadata.len() != blake3::KEY_LEN as u64 {
            return Ok(None);
        }
        Ok(fs::read(path)?.try_into().ok().map(Self))
    }

    /// Puts a key in its place, whole or not at all, and not in another one's.
    fn make(dir: &Path, path: &Path) -> io::Result<()> {
        let key: [u8; blake3::KEY_LEN] = rand::random();
        let name: u64 = rand::random();
        let beside = dir.join(format!("{FILE}-{name:016x}.{}", super::UNFINISHED));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&key)?;
        file.sync_all()?;
        let placed = match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            placed => placed,
        };
        fs::remove_file(&beside)?;
        placed
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
