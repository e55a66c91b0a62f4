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
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use foldhash::HashMap;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use self::mark::Marker;
use self::record::{Past, SUSPECT_BYTES, Suspect};
use crate::event::Message;
use crate::handler::HandlerName;
use crate::known_stores::{Acquaintance, KnownStores, StoreLabel};
use crate::memory::kills::KillCounts;
use crate::mender::Mend;
use crate::sandbox::CallEvent;
use crate::state::Surroundings;
use crate::trouble::{About, Watch};

pub(crate) use mark::EventMark;

/// Deaths of the host with an event in a guest, after which that event does not run again, unless otherwise configured.
pub(crate) const DEATHS_MAX: u32 = 3;

/// Journals bear no ids: one that is there is the one that was.
const JOURNAL_ID: u64 = 1;

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
    /// Events that were in guests when the last host was killed for want of memory, and are not suspected of it.
    pub(crate) pardoned: u64,
}

impl Suspects {
    /// The deaths that each of these events has seen, and how many condemn one.
    pub(crate) fn new(deaths: HashMap<EventMark, u32>, deaths_max: u32) -> Self {
        Self { deaths, deaths_max, pardoned: 0 }
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
    /// Another one takes its place only when it was removed.
    file: RwLock<File>,
    path: PathBuf,
    slots: usize,
    epoch: u32,
    /// Suspects that may still run, with their places in the file.
    suspects: Mutex<HashMap<EventMark, usize>>,
    suspects_left: AtomicUsize,
    /// Held by the one suspect that runs.
    running_suspect: Mutex<()>,
    watch: Watch,
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
        surroundings: &Surroundings,
    ) -> Result<(Self, Suspects), CrashJournalError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |cause| CrashJournalError::File { path, cause }
        };
        fs::create_dir_all(dir).map_err(error(dir))?;
        for number in 0..JOURNALS_MAX {
            let path = dir.join(format!("crash-{number}.journal"));
            let is_new = !path.exists();
            if let Some(file) = lock(&path).map_err(error(&path))? {
                let past = read(&file).map_err(error(&path))?;
                note_loss(surroundings, &path, is_new, past.is_readable());
                let kills = KillCounts::now();
                let opened = Opened { file, path: path.clone(), past, slots, deaths_max, kills };
                return opened.start(surroundings).map_err(error(&path));
            }
        }
        Err(CrashJournalError::Taken { dir: dir.to_owned() })
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
        if let Err(error) = self.file().write_all_at(bytes, at) {
            self.watch.fails(&error);
        }
    }

    fn file(&self) -> RwLockReadGuard<'_, File> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its path still leads to the open file: nobody finds again what is written to a removed one.
    fn is_in_place(&self) -> bool {
        let places = [self.file().metadata(), fs::metadata(&self.path)]
            .map(|found| found.map(|found| (found.dev(), found.ino())).ok());
        places[0].is_some() && places[0] == places[1]
    }

    /// Puts a copy of the open file, which was removed, back in its place.
    fn put_back(&self) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(record::slot_at(0)).unwrap_or_default()];
        self.file().read_exact_at(&mut bytes, 0)?;
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let file = lock(&self.path)?.ok_or_else(|| io::Error::other("another process has its place"))?;
        file.write_all_at(&bytes, 0)?;
        reserve(&file, self.slots)?;
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }
}

/// A journal that was just opened.
struct Opened {
    file: File,
    path: PathBuf,
    past: Past,
    slots: usize,
    deaths_max: u32,
    /// Processes that the kernel has killed for want of memory until now.
    kills: KillCounts,
}

impl Opened {
    fn start(self, surroundings: &Surroundings) -> io::Result<(CrashJournal, Suspects)> {
        let Self { file, path, mut past, slots, deaths_max, kills } = self;
        let pardoned = past.killed_for_memory(&kills);
        match pardoned {
            None => past.count_death(),
            Some(events) => tracing::error!(
                events,
                "the last host was killed while events were in guests, and the kernel has killed for want of memory since \
                 it started: the events are not blamed; give the host more memory or lower its bounds"
            ),
        }
        // The deaths first. If this process dies between the two writes, the next one finds them counted.
        file.write_all_at(&past.suspects_bytes(), record::SUSPECTS_AT)?;
        let epoch = past.epoch().wrapping_add(1);
        file.write_all_at(&record::header(epoch), 0)?;
        file.write_all_at(&kills.to_bytes(), record::KILLS_AT)?;
        reserve(&file, slots)?;
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
        let about = About {
            cause: "journal_unwritable",
            subject: format!("the crash journal {}", path.display()),
            consequence: "events go on, but one that kills the host may not be recognised until it can be written",
        };
        let journal = CrashJournal {
            file: RwLock::new(file),
            path,
            slots,
            epoch,
            suspects_left: AtomicUsize::new(left.len()),
            suspects: Mutex::new(left),
            running_suspect: Mutex::new(()),
            watch: surroundings.troubles.watch(about),
        };
        let pardoned = pardoned.unwrap_or_default() as u64;
        Ok((journal, Suspects { pardoned, ..Suspects::new(deaths, deaths_max) }))
    }
}

impl Mend for CrashJournal {
    fn is_failing(&self) -> bool {
        self.watch.is_failing()
    }

    fn check(&self) {
        if !self.is_in_place() {
            self.watch.fails(&"the file was removed or replaced while it was open");
        }
    }

    fn mend(&self) {
        let mended = if self.is_in_place() {
            // The header is the same all the time, so nobody minds that it is written again.
            self.file()
                .write_all_at(&record::header(self.epoch), 0)
                .and_then(|()| reserve(&self.file(), self.slots))
        } else {
            self.put_back()
        };
        match mended {
            Ok(()) => self.watch.works(),
            Err(error) => self.watch.fails(&error),
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

fn read(mut file: &File) -> io::Result<Past> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Past::read(&bytes))
}

/// Gives the file the length that it needs, and takes the room on the disk now: it would be missing when the disk is
/// full and events fail.
fn reserve(file: &File, slots: usize) -> io::Result<()> {
    let bytes = record::slot_at(slots);
    file.set_len(bytes)?;
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system can promise that.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says aloud when a journal says nothing of a past that there was.
fn note_loss(surroundings: &Surroundings, path: &Path, is_new: bool, is_readable: bool) {
    let name = KnownStores::name_of(path);
    let label = StoreLabel { id: JOURNAL_ID, openings: None };
    let was_there = match surroundings.known.as_ref().map(|known| known.meet(&name, label)) {
        Some(Ok(Acquaintance::Same)) => true,
        Some(Err(error)) => {
            tracing::warn!(path = name, %error, "cannot remember that there is a crash journal; should it be lost, nobody will notice");
            false
        }
        _ => false,
    };
    if (is_new && was_there) || (!is_new && !is_readable) {
        let lost = format!(
            "the crash journal {name} says nothing of earlier lives of the host: it was removed or emptied, and events \
             that killed the host are not recognised by what they did before"
        );
        tracing::warn!("{lost}");
        surroundings.troubles.happened("journal_lost", &name, lost);
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
