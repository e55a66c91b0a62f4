//! The disk behind some steps, in every state that a loss of power can leave: what was not synced is there, missing,
//! torn, or there without what was written before it; names are as at the last sync of their directory, or later.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;

use super::fault::{Mark, Step};

const SECTOR: usize = 512;

/// How many states are to be tried: what `GUESTHOUSE_CRASH_IMAGES` says, or this many.
pub(crate) fn images_wanted(otherwise: usize) -> usize {
    std::env::var("GUESTHOUSE_CRASH_IMAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(otherwise)
}

/// A file as the disk may have it.
#[derive(Debug, Clone, Default)]
struct Known {
    synced: Vec<u8>,
    /// What was done since, in order.
    unsynced: Vec<Change>,
    name: Name,
}

#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Shorten(usize),
}

/// Whether the directory on the disk knows the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Unsynced,
    Synced,
    Removed,
}

/// The disk behind some steps, and what had been promised by then.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<PathBuf, Known>,
    pub(crate) promised: Mark,
}

impl Disk {
    /// Takes a step.
    pub(crate) fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Create(path) => drop(self.files.insert(path, Known::default())),
            Step::Write { path, position, bytes } => {
                let position = usize::try_from(position).unwrap();
                self.at(&path).unsynced.push(Change::Write { position, bytes });
            }
            Step::Shorten { path, length } => {
                self.at(&path).unsynced.push(Change::Shorten(usize::try_from(length).unwrap()));
            }
            Step::Replace { path, bytes } => {
                let known = self.files.entry(path).or_default();
                known.unsynced.extend([Change::Shorten(0), Change::Write { position: 0, bytes }]);
            }
            Step::Remove(path) => self.at(&path).name = Name::Removed,
            Step::Sync(path) => {
                let known = self.at(&path);
                for change in std::mem::take(&mut known.unsynced) {
                    change.apply(&mut known.synced, usize::MAX);
                }
            }
            Step::SyncNames => {
                self.files.retain(|_, known| known.name != Name::Removed);
                self.files.values_mut().for_each(|known| known.name = Name::Synced);
            }
            Step::Mark(mark) => self.promised = mark,
        }
    }

    fn at(&mut self, path: &Path) -> &mut Known {
        self.files.get_mut(path).expect("a file is created before it is used")
    }

    /// Writes one of the states that the disk may be in.
    pub(crate) fn write_image(&self, dir: &Path, random: &mut StdRng) {
        for (path, known) in &self.files {
            if known.name == Name::Synced || random.random_bool(0.5) {
                let content = known.content(random);
                fs::write(dir.join(path.file_name().unwrap()), content).unwrap();
            }
        }
    }
}

impl Known {
    fn content(&self, random: &mut StdRng) -> Vec<u8> {
        let mut content = self.synced.clone();
        for change in &self.unsynced {
            let length = if let Change::Write { bytes, .. } = change { bytes.len() } else { usize::MAX };
            match random.random_range(0..5) {
                0 => {}
                1 | 2 => change.apply(&mut content, length),
                3 => change.apply(&mut content, random.random_range(0..=length.min(4_096))),
                _ => change.apply(&mut content, random.random_range(0..=length.min(4_096)) / SECTOR * SECTOR),
            }
        }
        content
    }
}

impl Change {
    /// Does the first `bytes_max` bytes of it. What lies between the end and a write behind it reads as zeros.
    fn apply(&self, content: &mut Vec<u8>, bytes_max: usize) {
        match self {
            Self::Shorten(length) => content.resize(*length, 0),
            Self::Write { position, bytes } => {
                let bytes = &bytes[..bytes.len().min(bytes_max)];
                if bytes.is_empty() {
                    return;
                }
                content.resize(content.len().max(position + bytes.len()), 0);
                content[*position..position + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}
