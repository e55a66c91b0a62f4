//! Random histories of appends, reads, retention, kills and power losses against a list that knows better.

use std::fs::OpenOptions;
use std::io::Write;

use super::super::ReadFrom;
use super::*;

const SETTINGS: LogSettings = LogSettings { segment_bytes_max: 3_000, preallocate_bytes: 4_000 };

/// A small generator of numbers (SplitMix64): the same seed gives the same history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A log and what must be in it.
struct History {
    dir: TempDir,
    log: PartitionLog,
    dice: Dice,
    kept: Vec<(u64, String)>,
    /// Offset behind the last one ever given away.
    minted: u64,
    /// Offset behind the last message known to be on the disk, and how much its file held then.
    synced: (u64, PathBuf, u64),
}

impl History {
    fn new(seed: u64) -> Self {
        let (dir, log) = new_log(SETTINGS);
        let synced = (0, PathBuf::new(), 0);
        Self { dir, log, dice: Dice(seed), kept: Vec::new(), minted: 0, synced }
    }

    fn step(&mut self) {
        match self.dice.below(40) {
            0 => self.reopen(0),
            1 => self.lose_power(),
            2 => self.log.purge().unwrap(),
            3 => drop(self.log.delete_segments(1).unwrap()),
            4 => drop(self.log.delete_beyond(9_000).unwrap()),
            5..10 => self.sync(),
            10..20 => self.check_a_read(),
            _ => self.append(),
        }
        let first = self.log.bounds().first_offset;
        self.kept.retain(|(offset, _)| *offset >= first);
        assert_eq!(self.log.bounds().messages, self.kept.len() as u64);
    }

    fn append(&mut self) {
        let count = 1 + self.dice.below(5);
        let names: Vec<_> =
            (0..count).map(|_| "x".repeat(1 + usize::try_from(self.dice.below(200)).unwrap())).collect();
        let payloads: Vec<_> = names.iter().map(String::as_str).collect();
        let base = append_at(&mut self.log, &payloads, 0).base_offset;
        assert!(base >= self.minted, "offset {base} was given before");
        self.kept.extend((base..).zip(names));
        self.minted = base + count;
    }

    fn sync(&mut self) {
        self.log.sync().wait().unwrap();
        self.synced = (self.log.bounds().next_offset, self.last_file(), self.log.active.bytes);
    }

    fn check_a_read(&mut self) {
        let from = self.dice.below(self.minted + 2);
        let count = 1 + u32::try_from(self.dice.below(30)).unwrap();
        let found = messages(&self.log.read(ReadFrom::Offset(from), count, ALL).unwrap());
        let due = self.kept.iter().filter(|(offset, _)| *offset >= from).take(count as usize);
        assert!(found.iter().eq(due));
    }

    /// The process dies: what was appended is in the files.
    fn reopen(&mut self, floor: u64) {
        let (log, recovery) = open(self.dir.path(), SETTINGS, floor);
        assert_eq!((recovery.damage, recovery.cut), (vec![], None));
        self.log = log;
        assert_eq!(read_all(&self.log), self.kept);
    }

    /// The machine dies: of the last file, any part that was not synced may be missing or spoilt.
    fn lose_power(&mut self) {
        let path = self.last_file();
        let length = path.metadata().unwrap().len();
        let safe = if self.synced.1 == path { self.synced.2.min(length) } else { 0 };
        let cut = safe + self.dice.below(length - safe + 1);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.set_len(cut).unwrap();
        let garbage: Vec<u8> =
            (0..self.dice.below(500)).map(|_| u8::try_from(self.dice.below(256)).unwrap()).collect();
        file.write_all(&garbage).unwrap();
        let end = file.metadata().unwrap().len();
        // Where zeros had been written before, they may still be there.
        file.set_len(end.max(self.dice.below(length + 1))).unwrap();

        let floor = self.minted + 100;
        let (log, recovery) = open(self.dir.path(), SETTINGS, floor);
        assert_eq!(recovery.damage, []);
        self.log = log;
        let found = read_all(&self.log);
        assert!(self.kept.starts_with(&found), "only the end may be missing");
        let lost = &self.kept[found.len()..];
        assert!(lost.iter().all(|(offset, _)| *offset >= self.synced.0), "what was synced is there");
        self.kept = found;
        self.minted = floor;
        self.reopen(0);
        assert!(self.log.bounds().next_offset >= floor);
    }

    fn last_file(&self) -> PathBuf {
        segment_files(self.dir.path()).pop().unwrap()
    }
}

#[test]
fn random_histories_lose_nothing_that_was_promised() {
    for seed in 0..12 {
        let mut history = History::new(seed);
        (0..400).for_each(|_| history.step());
        history.reopen(0);
    }
}
