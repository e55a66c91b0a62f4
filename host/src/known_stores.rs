//! Which stores a host has met: a small file for each, in the directory of the crash journal.
//!
//! A store that is empty where it was not (its file was removed, its disk is not mounted, its server lost everything)
//! looks like a new one. The id of the one that was there before tells them apart. A copy of an earlier day that was put
//! back bears the same id, but was opened less often.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of the files, inside that of the crash journal.
const DIR: &str = "stores";

/// Remembers stores by the ids that they bear. Clones share the directory.
#[derive(Debug, Clone)]
pub(crate) struct KnownStores(PathBuf);

/// What a store says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreLabel {
    /// Another one for each store that was ever made.
    pub(crate) id: u64,
    /// How often it was opened, this time included; `None` where nobody counts.
    pub(crate) openings: Option<u64>,
}

/// What is known of a store that was just opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// No store was met under this name.
    First,
    /// The same one was.
    Same,
    /// Another one was.
    Other,
    /// The same one was, at a later time of its life.
    Earlier,
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
    pub(crate) fn meet(&self, name: &str, found: StoreLabel) -> io::Result<Acquaintance> {
        // Names are paths and addresses; their hashes are names of files.
        let path = self.0.join(blake3::hash(name.as_bytes()).to_hex().as_str());
        let known = match fs::read_to_string(&path) {
            Ok(text) => text.lines().next().and_then(StoreLabel::read),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if known == Some(found) && found.openings.is_none() {
            return Ok(Acquaintance::Same);
        }
        let acquaintance = match known {
            None => Acquaintance::First,
            Some(known) if known.id != found.id => Acquaintance::Other,
            Some(known) if found.openings.is_some() && found.openings <= known.openings => {
                Acquaintance::Earlier
            }
            Some(_) => Acquaintance::Same,
        };
        fs::create_dir_all(&self.0)?;
        let draft = path.with_extension(format!("{:x}.draft", std::process::id()));
        fs::write(&draft, format!("{found}\n{name}\n"))?;
        fs::rename(&draft, &path)?;
        Ok(acquaintance)
    }
}

impl StoreLabel {
    /// Reads what [`fmt::Display`] writes: the id in hexadecimal and, where it is counted, the number of openings.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let id = u64::from_str_radix(words.next()?, 16).ok()?;
        Some(Self { id, openings: words.next().and_then(|word| word.parse().ok()) })
    }
}

impl fmt::Display for StoreLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.id)?;
        self.openings.map_or(Ok(()), |openings| write!(f, " {openings}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_store_under_a_known_name_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let stores = KnownStores::new(directory.path());
        let meet = |name, id| stores.meet(name, StoreLabel { id, openings: None }).unwrap();
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

    #[test]
    fn a_copy_of_an_earlier_day_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let stores = KnownStores::new(directory.path());
        let meet = |openings| stores.meet("s", StoreLabel { id: 7, openings }).unwrap();
        assert_eq!(
            (meet(None), meet(Some(1)), meet(Some(2))),
            (Acquaintance::First, Acquaintance::Same, Acquaintance::Same)
        );
        // Others may open it in between.
        assert_eq!(meet(Some(9)), Acquaintance::Same);
        assert_eq!((meet(Some(9)), meet(Some(10))), (Acquaintance::Earlier, Acquaintance::Same));
        assert_eq!((meet(Some(3)), meet(Some(4))), (Acquaintance::Earlier, Acquaintance::Same));
    }
}
