//! The form of the journal's file, and what is made of it after a death.
//!
//! A header with the epoch, which counts the processes; a table of suspects; and the slots of the threads. A slot
//! counts only if it bears the epoch of the last process and is whole. All numbers are little-endian.

use std::hash::BuildHasher;

use foldhash::HashMap;
use foldhash::fast::FixedState;

use super::{DEATHS_MAX, EventMark};
use crate::memory::kills::KillCounts;

/// What a file begins with.
const MAGIC: &[u8; 8] = b"ghcrash1";
/// Where it stands how many processes the kernel had killed for want of memory when the process of the epoch began.
pub(super) const KILLS_AT: u64 = 16;
/// Where the table of suspects begins.
pub(super) const SUSPECTS_AT: u64 = 64;
/// Length of an entry of the table.
pub(super) const SUSPECT_BYTES: usize = 16;
/// Events that are suspected at once; of more, the latest are forgotten.
pub(super) const SUSPECTS_MAX: usize = 16_384;
/// Events of a call that are noted; a call has no more by its configuration.
const EVENTS_MAX: usize = 1_024;
const SLOT_HEAD_BYTES: usize = 16;
const SLOT_BYTES: usize = SLOT_HEAD_BYTES + EVENTS_MAX * 8;
/// The head of a slot whose thread is in no call.
pub(super) const EMPTY_SLOT: [u8; 8] = [0; 8];

/// An event that was in a guest when the host died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) mark: EventMark,
    /// Deaths of the host that it has seen; none means that the entry is free.
    pub(super) deaths: u32,
    /// The process whose death was counted last.
    epoch: u32,
}

impl Suspect {
    /// A free entry.
    pub(super) const NOBODY: Self = Self { mark: EventMark(0), deaths: 0, epoch: 0 };

    pub(super) fn to_bytes(self) -> [u8; SUSPECT_BYTES] {
        let number = u128::from(self.mark.0) | u128::from(self.deaths) << 64 | u128::from(self.epoch) << 96;
        number.to_le_bytes()
    }

    fn read(bytes: &[u8]) -> Self {
        Self { mark: EventMark(u64_at(bytes, 0)), deaths: u32_at(bytes, 8), epoch: u32_at(bytes, 12) }
    }
}

/// The header for a process.
pub(super) fn header(epoch: u32) -> [u8; 12] {
    let mut header = [0; 12];
    let (magic, number) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&epoch.to_le_bytes());
    header
}

/// Where a slot begins; that of the number of slots is the length of the file.
pub(super) fn slot_at(slot: usize) -> u64 {
    SUSPECTS_AT + (SUSPECTS_MAX * SUSPECT_BYTES + slot * SLOT_BYTES) as u64
}

/// Makes the bytes of a slot whose thread is in a call of these events.
pub(super) fn write_slot(bytes: &mut Vec<u8>, epoch: u32, marks: impl ExactSizeIterator<Item = EventMark>) {
    let count = marks.len().min(EVENTS_MAX);
    bytes.clear();
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    for mark in marks.take(count) {
        bytes.extend_from_slice(&mark.0.to_le_bytes());
    }
    let check = check(bytes);
    if let Some(place) = bytes.get_mut(8..SLOT_HEAD_BYTES) {
        place.copy_from_slice(&check.to_le_bytes());
    }
}

/// What a process left behind.
#[derive(Debug)]
pub(super) struct Past {
    epoch: u32,
    suspects: Vec<Suspect>,
    /// The events of each call that it was in.
    calls: Vec<Vec<EventMark>>,
    kills: KillCounts,
}

impl Past {
    /// Reads a file. One without the right beginning has no past.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (suspects, kills) = (vec![Suspect::NOBODY; SUSPECTS_MAX], KillCounts::default());
        let mut past = Self { epoch: 0, suspects, calls: Vec::new(), kills };
        if !bytes.starts_with(MAGIC) {
            return past;
        }
        past.epoch = u32_at(bytes, MAGIC.len());
        let after = |at: u64| usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        past.kills = KillCounts::read(after(KILLS_AT).get(..KillCounts::BYTES).unwrap_or_default());
        let entries = after(SUSPECTS_AT).chunks_exact(SUSPECT_BYTES);
        for (place, entry) in past.suspects.iter_mut().zip(entries) {
            *place = Suspect::read(entry);
        }
        past.calls = after(slot_at(0)).chunks(SLOT_BYTES).filter_map(|slot| call(slot, past.epoch)).collect();
        past
    }

    /// Whether there was a process before.
    pub(super) fn is_readable(&self) -> bool {
        self.epoch > 0
    }

    /// Counts the death of the last process against the events that may have caused it: the suspects that ran
    /// alone, or, where none did, all that were in a guest. Doing it again changes nothing.
    pub(super) fn count_death(&mut self) {
        let is_suspect = |call: &&Vec<EventMark>| match call.as_slice() {
            [only] => self.suspects.iter().any(|known| known.deaths > 0 && known.mark == *only),
            _ => false,
        };
        let mut blamed: Vec<EventMark> = self.calls.iter().filter(is_suspect).flatten().copied().collect();
        if blamed.is_empty() {
            blamed = self.calls.iter().flatten().copied().collect();
        }
        blamed.sort_unstable();
        blamed.dedup();
        let mut known: HashMap<EventMark, usize> = self.suspects().map(|(at, s)| (s.mark, at)).collect();
        let (again, new): (Vec<_>, Vec<_>) = blamed.into_iter().partition(|mark| known.contains_key(mark));
        for mark in again {
            let suspect = known.remove(&mark).and_then(|at| self.suspects.get_mut(at));
            if let Some(suspect) = suspect.filter(|suspect| suspect.epoch != self.epoch) {
                suspect.deaths = suspect.deaths.saturating_add(1);
                suspect.epoch = self.epoch;
            }
        }
        for (mark, at) in new.into_iter().zip(self.places()) {
            if let Some(place) = self.suspects.get_mut(at) {
                *place = Suspect { mark, deaths: 1, epoch: self.epoch };
            }
        }
    }

    /// The places of the table in the order in which they are given away: the free ones, those of the longest
    /// suspected, those of the condemned.
    fn places(&self) -> Vec<usize> {
        let mut places: Vec<(bool, bool, u32, usize)> = Vec::with_capacity(self.suspects.len());
        for (at, suspect) in self.suspects.iter().enumerate() {
            let age = self.epoch.wrapping_sub(suspect.epoch);
            places.push((suspect.deaths > 0, suspect.deaths >= DEATHS_MAX, u32::MAX - age, at));
        }
        places.sort_unstable();
        places.into_iter().map(|(.., at)| at).collect()
    }

    /// How many events were in guests when the last process died for want of memory, by what the kernel has counted until
    /// now; none when it did not, or was in no guest. They are not blamed: the memory of guests is bounded.
    pub(super) fn killed_for_memory(&self, now: &KillCounts) -> Option<usize> {
        let events = self.calls.iter().map(Vec::len).sum();
        (events > 0 && now.have_risen_since(&self.kills)).then_some(events)
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// All suspects with their places in the table.
    pub(super) fn suspects(&self) -> impl Iterator<Item = (usize, &Suspect)> {
        self.suspects.iter().enumerate().filter(|(_, suspect)| suspect.deaths > 0)
    }

    /// The table as it is written.
    pub(super) fn suspects_bytes(&self) -> Vec<u8> {
        self.suspects.iter().flat_map(|suspect| suspect.to_bytes()).collect()
    }
}

/// The events of the call that a thread was in, if it was in one in that epoch.
fn call(slot: &[u8], epoch: u32) -> Option<Vec<EventMark>> {
    let count = usize::try_from(u32_at(slot, 4)).ok().filter(|count| (1..=EVENTS_MAX).contains(count))?;
    let whole = slot.get(..SLOT_HEAD_BYTES + count * 8)?;
    let is_meant = u32_at(slot, 0) == epoch && u64_at(slot, 8) == check(whole);
    let marks = whole.get(SLOT_HEAD_BYTES..)?.chunks_exact(8);
    is_meant.then(|| marks.map(|mark| EventMark(u64_at(mark, 0))).collect())
}

/// Tells a slot that was written whole from one that was not.
fn check(slot: &[u8]) -> u64 {
    let (head, marks) = (slot.get(..8).unwrap_or_default(), slot.get(SLOT_HEAD_BYTES..).unwrap_or_default());
    FixedState::with_seed(0).hash_one((head, marks))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}
