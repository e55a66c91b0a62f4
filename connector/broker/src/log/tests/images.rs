//! Every state of the disk that a loss of power can leave: what was not synced is there, missing, torn, or there
//! without what was written before it; and the names of files as they were at the last sync of their directory, or
//! later. The log must come back from each with all that it promised, and give no offset twice.
//!
//! `GUESTHOUSE_CRASH_IMAGES` says how many states are tried, 5,000 otherwise.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::file::fault::{self, Mark, STEPS, Step};
use super::*;

const IMAGES: usize = 5_000;
const SECTOR: usize = 512;
/// Offsets that the store of this test reserves at once.
const BLOCK: u64 = 7;

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
struct Disk {
    files: BTreeMap<PathBuf, Known>,
    promised: Mark,
}

impl Disk {
    fn take(&mut self, step: &Step) {
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
    fn write_image(&self, dir: &Path, random: &mut StdRng) {
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
            Self::Shorten(length) => content.truncate(*length),
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

/// A life of a log, step by step: appends of different sizes, syncs, new segments, deletions, a purge, restarts.
fn record_a_life() -> Vec<Step> {
    let dir = tempfile::tempdir().unwrap();
    STEPS.set(Some(Vec::new()));
    let mut mark = Mark::default();
    let (mut log, _) = open(dir.path(), TINY, 0);
    for round in 0..24u64 {
        append_marked(&mut log, &mut mark, if round % 5 == 4 { 3 } else { 1 });
        if round % 3 == 2 {
            log.sync().wait().unwrap();
            mark.persisted_end = mark.next_offset;
            fault::mark(mark);
        }
        match round {
            9 => drop_marked(&mut mark, &mut log, |log| assert_eq!(log.delete_segments(2).unwrap(), 2)),
            15 => {
                drop(log);
                log = open(dir.path(), TINY, 0).0;
                mark.persisted_end = mark.next_offset;
                fault::mark(mark);
            }
            19 => drop_marked(&mut mark, &mut log, |log| log.purge().unwrap()),
            _ => {}
        }
    }
    STEPS.take().unwrap()
}

fn append_marked(log: &mut PartitionLog, mark: &mut Mark, messages: u64) {
    let next = log.bounds().next_offset;
    if next + messages > mark.floor {
        mark.floor = next + messages + BLOCK;
    }
    // From the first byte on the offsets may be on the disk.
    mark.next_offset = next + messages;
    fault::mark(*mark);
    let payloads: Vec<String> = (next..next + messages).map(|offset| format!("m{offset}")).collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    append_at(log, &payloads, next);
}

fn drop_marked(mark: &mut Mark, log: &mut PartitionLog, act: impl FnOnce(&mut PartitionLog)) {
    mark.dropped_end = mark.next_offset;
    fault::mark(*mark);
    act(log);
}

#[test]
fn every_legal_state_after_a_loss_of_power_keeps_what_was_promised() {
    let steps = record_a_life();
    let wanted = std::env::var("GUESTHOUSE_CRASH_IMAGES").ok().and_then(|count| count.parse().ok());
    let of_each = wanted.unwrap_or(IMAGES).div_ceil(steps.len());
    let mut disk = Disk::default();
    let mut tried = 0;
    for (at, step) in steps.iter().enumerate() {
        disk.take(step);
        for seed in 0..of_each {
            let place = u64::try_from(at * of_each + seed).unwrap();
            expect_recovery(&disk, place);
            tried += 1;
        }
    }
    assert!(tried >= wanted.unwrap_or(IMAGES), "{tried} images of {} steps", steps.len());
}

fn expect_recovery(disk: &Disk, seed: u64) {
    // Nothing here waits for the real disk.
    STEPS.set(Some(Vec::new()));
    let image = tempfile::tempdir().unwrap();
    disk.write_image(image.path(), &mut StdRng::seed_from_u64(seed));
    let promised = disk.promised;
    let (mut log, recovery) = open(image.path(), TINY, promised.floor);
    assert_eq!(recovery.damage, [], "image {seed}");
    let found = read_all(&log);
    for (offset, payload) in &found {
        assert_eq!(*payload, format!("m{offset}"), "image {seed}");
    }
    for offset in promised.dropped_end..promised.persisted_end {
        assert!(found.iter().any(|(found, _)| *found == offset), "image {seed} lost {offset}: {found:?}");
    }
    let next = log.bounds().next_offset;
    assert!(next >= promised.next_offset, "image {seed} gives {next} again, {promised:?}");
    append_singles(&mut log, 1);
    drop(log);
    let (log, recovery) = open(image.path(), TINY, 0);
    assert_eq!(recovery, Recovery::default(), "image {seed}");
    let again = read_all(&log);
    assert_eq!((&again[..found.len()], again.len()), (&found[..], found.len() + 1), "image {seed}");
    STEPS.set(None);
}
