//! Which stores a host has met: a small file for each, in the directory of the crash journal.
//!
//! A store that is empty where it was not (its file was removed, its disk is not mounted, its server lost everything)
//! looks like a new one. The id of the one that was there before tells them apart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of the files, inside that of the crash journal.
const DIR: &str = "stores";

/// Remembers stores by the ids that they bear. Clones share the directory.
#[derive(Debug, Clone)]
pub(crate) struct KnownStores(PathBuf);

/// What is known of a store that was just opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// No store was met under this name.
    First,
    /// The same one was.
    Same,
    /// Another one was.
    Other,
}

impl KnownStores {
    /// Over the directory of a crash journal; nothing is made before the first store.
    pub(crate) fn new(journal_dir: &Path) -> Self {
        Self(journal_dir.join(DIR))
    }

    /// The name of a file: where it is, from wherever one looks.
    pub(crate) fn name_of(file: &Path) -> String {
        // Without a current directory the path as it is written has to do.
        std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
    }

    /// Says whether the store of this name is the one that was there before, and remembers it.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn meet(&self, name: &str, id: u64) -> io::Result<Acquaintance> {
        // Names are paths and addresses; their hashes are names of files.
        let path = self.0.join(blake3::hash(name.as_bytes()).to_hex().as_str());
        let known = match fs::read_to_string(&path) {
            Ok(text) => text.lines().next().and_then(|first| u64::from_str_radix(first, 16).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let found = match known {
            Some(known) if known == id => return Ok(Acquaintance::Same),
            Some(_) => Acquaintance::Other,
            None => Acquaintance::First,
        };
        fs::create_dir_all(&self.0)?;
        let draft = path.with_extension(format!("{:x}.draft", std::process::id()));
        fs::write(&draft, format!("{id:016x}\n{name}\n"))?;
        fs::rename(&draft, &path)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_under_a_known_name_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let stores = KnownStores::new(directory.path());
        let meet = |name, id| stores.meet(name, id).unwrap();
        assert_eq!(
            (meet("./state.redb", 7), meet("./state.redb", 7)),
            (Acquaintance::First, Acquaintance::Same)
        );
        assert_eq!(meet("redis://elsewhere/0", 8), Acquaintance::First);
        assert_eq!(
            (meet("./state.redb", 8), meet("./state.redb", 8)),
            (Acquaintance::Other, Acquaintance::Same)
        );
    }
}
