//! Group commit: whoever waits for the disk first syncs for all that were written before it started. The log
//! itself is not needed for waiting, so its lock is free meanwhile.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{LogError, file};

/// A promise to make durable what was appended before it was taken. Holds no reference to the log, so the
/// caller waits for the disk without holding the partition's lock.
#[derive(Debug, Clone)]
pub(crate) struct SyncTicket {
    progress: Arc<SyncProgress>,
    position: u64,
}

impl SyncTicket {
    /// Waits until everything appended before this ticket was taken is on the disk. Blocks the thread. Tickets
    /// that wait at the same time share a sync.
    ///
    /// # Errors
    /// When the disk refused. What reached it is then unknown for good, so every later ticket of this log fails
    /// too and the log refuses appends until it is mended or opened again.
    pub(crate) fn wait(&self) -> Result<(), LogError> {
        self.progress.reach(self.position)
    }
}

/// How far a log is written and synced, in bytes appended since it was opened. Outlives the segments.
#[derive(Debug)]
pub(super) struct SyncProgress {
    path: PathBuf,
    active: Mutex<Arc<File>>,
    leader: Mutex<()>,
    written: AtomicU64,
    synced: AtomicU64,
    failure: OnceLock<String>,
    syncs: AtomicU64,
}

impl SyncProgress {
    /// Starts with all that `active` holds on the disk.
    pub(super) fn new(path: PathBuf, active: Arc<File>) -> Arc<Self> {
        Arc::new(Self {
            path,
            active: Mutex::new(active),
            leader: Mutex::new(()),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            failure: OnceLock::new(),
            syncs: AtomicU64::new(0),
        })
    }

    /// Takes note of bytes written to the active file.
    pub(super) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Release);
    }

    /// A ticket for everything written so far.
    pub(super) fn ticket(self: &Arc<Self>) -> SyncTicket {
        SyncTicket { progress: Arc::clone(self), position: self.written.load(Ordering::Acquire) }
    }

    /// Why a sync failed, if one did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Bytes that were written and are not known to be on the disk. All of them stand at the end of the active file:
    /// what is sealed was synced.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.written.load(Ordering::Acquire).saturating_sub(self.synced.load(Ordering::Acquire))
    }

    /// Goes on with a new file. Everything written before must have been synced.
    pub(super) fn switch(&self, active: Arc<File>) {
        *lock(&self.active) = active;
    }

    fn reach(&self, position: u64) -> Result<(), LogError> {
        if self.is_synced(position) {
            return Ok(());
        }
        let leader = lock(&self.leader);
        if self.failure().is_none() && self.is_synced(position) {
            return Ok(());
        }
        self.sync_as(&leader)
    }

    /// Waits until the active file is on the disk with its present length.
    ///
    /// # Errors
    /// As [`SyncTicket::wait`].
    pub(super) fn sync_file(&self) -> Result<(), LogError> {
        self.sync_as(&lock(&self.leader))
    }

    fn sync_as(&self, _leader: &MutexGuard<'_, ()>) -> Result<(), LogError> {
        if let Some(reason) = self.failure() {
            return Err(self.error(std::io::Error::other(reason)));
        }
        // The mark is read before the file: bytes below it are in this file or in one synced when it was sealed.
        let mark = self.written.load(Ordering::Acquire);
        let active = Arc::clone(&lock(&self.active));
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = file::sync_data(&active) {
            // The kernel drops the pages it could not write, so a second try would succeed without them.
            let _already_set = self.failure.set(error.to_string());
            return Err(self.error(error));
        }
        self.synced.store(mark, Ordering::Release);
        Ok(())
    }

    fn is_synced(&self, position: u64) -> bool {
        self.synced.load(Ordering::Acquire) >= position
    }

    fn error(&self, source: std::io::Error) -> LogError {
        LogError::Io { action: "sync the active segment in", path: self.path.clone(), source }
    }

    /// Syncs done so far.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// A panic elsewhere leaves these values whole, so poisoning carries no news.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
