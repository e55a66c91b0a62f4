//! The crash journal: which events were in a guest when the host last died, in a file that outlives the process.
//!
//! Before a call its thread writes the marks of the call's events over those of its last one, and wipes them when it
//! has no further call. What a dead process left makes suspects, which run alone from then on: until they end, or have
//! seen [`DEATHS_MAX`] deaths of the host and are condemned. Written is what the operating system took over: it
//! survives the process, not the machine.

mod mark;
mod record;

#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use self::mark::Marker;
use self::record::{Past, SUSPECT_BYTES, Suspect};
use crate::event::Message;
use crate::handler::HandlerName;
use crate::sandbox::CallEvent;

pub(crate) use mark::EventMark;

/// Deaths of the host with an event in a guest, after which that event does not run again, unless otherwise configured.
pub(crate) const DEATHS_MAX: u32 = 3;

/// Processes that may keep their journals in one directory.
const JOURNALS_MAX: u32 = 256;

/// The journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CrashJournalError {
    /// A file cannot be used.
    #[error("cannot use the crash journal {}: {cause}; check the disk and the rights of the directory", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The thread that opened it panicked.
    #[error(
        "the crash journal could not be opened: the thread that did so stopped; this is a fault of the host"
    )]
    Stopped,
    /// Every journal of the directory belongs to a process that runs.
    #[error(
        "{JOURNALS_MAX} hosts keep their crash journals in {}; give this one a directory of its own",
        dir.display()
    )]
    Taken {
        /// The directory.
        dir: PathBuf,
    },
}

/// What the deaths of earlier hosts say about events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspects {
    deaths: HashMap<EventMark, u32>,
    deaths_max: u32,
}

impl Suspects {
    /// The deaths that each of these events has seen, and how many condemn one.
    pub(crate) fn new(deaths: HashMap<EventMark, u32>, deaths_max: u32) -> Self {
        Self { deaths, deaths_max }
    }

    /// Whether an event that has seen so many deaths runs no more.
    pub(crate) fn condemn(&self, deaths: u32) -> bool {
        deaths > 0 && deaths >= self.deaths_max
    }

    /// Deaths of the host that an event has seen from inside a guest of a handler.
    pub(crate) fn deaths(&self, handler: &HandlerName, message: &Message) -> u32 {
        if self.deaths.is_empty() {
            return 0;
        }
        self.deaths.get(&EventMark::of(handler, message)).copied().unwrap_or_default()
    }
}

/// The journal of this process. Others leave it alone while it is open.
#[derive(Debug)]
pub(crate) struct CrashJournal {
    file: File,
    epoch: u32,
    /// Suspects that may still run, with their places in the file.
    suspects: Mutex<HashMap<EventMark, usize>>,
    suspects_left: AtomicUsize,
    /// Held by the one suspect that runs.
    running_suspect: Mutex<()>,
    write_failed: AtomicBool,
}

/// A call under way. Dropping it clears a suspect, since the process outlived it.
#[derive(Debug)]
pub(crate) struct InCall<'a> {
    journal: &'a CrashJournal,
    slot: usize,
    suspect: Option<(EventMark, MutexGuard<'a, ()>)>,
}

impl CrashJournal {
    /// Opens the first journal of a directory that no other process has open, or makes one with a slot for each of
    /// so many threads, and tells what it says about the past, where so many deaths condemn an event. Blocks for a few
    /// reads and writes of the disk.
    ///
    /// # Errors
    /// When the files cannot be used, or all belong to others.
    pub(crate) fn open(
        dir: &Path,
        slots: usize,
        deaths_max: u32,
    ) -> Result<(Self, Suspects), CrashJournalError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |cause| CrashJournalError::File { path, cause }
        };
        fs::create_dir_all(dir).map_err(error(dir))?;
        for number in 0..JOURNALS_MAX {
            let path = dir.join(format!("crash-{number}.journal"));
            if let Some(file) = lock(&path).map_err(error(&path))? {
                return Self::start(file, slots, deaths_max).map_err(error(&path));
            }
        }
        Err(CrashJournalError::Taken { dir: dir.to_owned() })
    }

    fn start(mut file: File, slots: usize, deaths_max: u32) -> io::Result<(Self, Suspects)> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut past = Past::read(&bytes);
        past.count_death();
        // The deaths first. If this process dies between the two writes, the next one finds them counted.
        file.write_all_at(&past.suspects_bytes(), record::SUSPECTS_AT)?;
        let epoch = past.epoch().wrapping_add(1);
        file.write_all_at(&record::header(epoch), 0)?;
        file.set_len(record::slot_at(slots))?;
        let deaths: HashMap<EventMark, u32> = past.suspects().map(|(_, s)| (s.mark, s.deaths)).collect();
        let left = past.suspects().filter(|(_, suspect)| suspect.deaths < deaths_max);
        let left: HashMap<EventMark, usize> = left.map(|(place, suspect)| (suspect.mark, place)).collect();
        if !left.is_empty() {
            let (suspects, condemned) = (left.len(), deaths.len() - left.len());
            tracing::warn!(
                suspects,
                condemned,
                "the last host died while events were in guests; they run alone"
            );
        }
        let journal = Self {
            file,
            epoch,
            suspects_left: AtomicUsize::new(left.len()),
            suspects: Mutex::new(left),
            running_suspect: Mutex::new(()),
            write_failed: AtomicBool::new(false),
        };
        Ok((journal, Suspects::new(deaths, deaths_max)))
    }

    /// Notes that events go into a guest, on the thread that owns the slot. A suspect waits for the one that runs.
    /// `scratch` is room to work in.
    pub(crate) fn enter(
        &self,
        slot: usize,
        handler: &HandlerName,
        events: &[CallEvent],
        scratch: &mut Vec<u8>,
    ) -> InCall<'_> {
        let mut marker = Marker::new(handler);
        record::write_slot(scratch, self.epoch, events.iter().map(|call| marker.mark(&call.event.message)));
        let suspect = self.suspect_among(handler, events);
        self.write(scratch, record::slot_at(slot));
        InCall { journal: self, slot, suspect }
    }

    /// Notes that the thread of a slot is in no call.
    pub(crate) fn leave(&self, slot: usize) {
        self.write(&record::EMPTY_SLOT, record::slot_at(slot));
    }

    /// Suspects run alone, so more than one event means none.
    fn suspect_among(
        &self,
        handler: &HandlerName,
        events: &[CallEvent],
    ) -> Option<(EventMark, MutexGuard<'_, ()>)> {
        let [only] = events else { return None };
        if self.suspects_left.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mark = EventMark::of(handler, &only.event.message);
        let is_suspect = self.suspects().contains_key(&mark);
        is_suspect.then(|| (mark, self.running_suspect.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn acquit(&self, mark: EventMark) {
        let place = {
            let mut suspects = self.suspects();
            let place = suspects.remove(&mark);
            self.suspects_left.store(suspects.len(), Ordering::Release);
            place
        };
        if let Some(place) = place {
            self.write(&Suspect::NOBODY.to_bytes(), record::SUSPECTS_AT + (place * SUSPECT_BYTES) as u64);
        }
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<EventMark, usize>> {
        // Each change is a single removal, so a panic cannot leave half of one.
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A journal that cannot be written protects less; events go on.
    fn write(&self, bytes: &[u8], at: u64) {
        if let Err(error) = self.file.write_all_at(bytes, at)
            && !self.write_failed.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, "cannot write the crash journal; an event that kills the host may not be recognised");
        }
    }
}

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        if let Some((mark, _running)) = self.suspect.take() {
            self.journal.leave(self.slot);
            self.journal.acquit(mark);
        }
    }
}

/// `None` when another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
