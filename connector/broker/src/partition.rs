//! One partition: its log, the offsets reserved for it, and the message ids it has seen. A lock guards them and
//! is never held while waiting for the disk to sync.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use iggy_common::IggyErrorDiscriminants as Code;

use crate::clock::now_micros;
use crate::log::{
    AppendError, Appended, LogBounds, LogError, LogSettings, PartitionLog, ReadFrom, Recovery, Slice,
};
use crate::recent::{RecentIds, WINDOW_IDS, ids_of};
use crate::store::{PartitionKey, Store};
use crate::wire::Refusal;

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    key: PartitionKey,
    dir: PathBuf,
    state: Mutex<State>,
    /// How many appends are known to be on the disk. Held while one caller syncs for all that wait.
    synced: tokio::sync::Mutex<u64>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each partition, and almost all are open")]
enum State {
    Open(Open),
    /// Its files cannot be opened, for this reason. They are left as they are.
    Offline(String),
    Deleted,
}

#[derive(Debug)]
struct Open {
    log: PartitionLog,
    /// No offset at or above it may be given away before it is raised in the store.
    floor: u64,
    recent: RecentIds,
    /// Appends since the start. What was there before is on the disk: opening the log synced it.
    appends: u64,
}

/// The extent of a partition's log.
pub(crate) use crate::log::LogBounds as Extent;

/// Whether a partition does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It takes and gives messages.
    Serving,
    /// It gives messages and takes none, for this reason.
    Refusing(String),
    /// It gives none and takes none, for this reason.
    Offline(String),
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accepted {
    /// It was written.
    Appended(Appended),
    /// All its messages had been written before.
    Duplicate,
}

impl Partition {
    /// Creates an empty partition.
    pub(crate) fn create(key: PartitionKey, dir: &Path, settings: LogSettings) -> Result<Self, LogError> {
        let log = PartitionLog::create(dir, settings)?;
        Ok(Self::with_log(key, log, RecentIds::default()))
    }

    /// A partition that does not serve, for this reason.
    pub(crate) fn offline(key: PartitionKey, dir: &Path, reason: String) -> Self {
        Self {
            key,
            dir: dir.to_owned(),
            state: Mutex::new(State::Offline(reason)),
            synced: tokio::sync::Mutex::new(0),
        }
    }

    /// Opens a partition that was there at the last run. Its next offset is at least `floor`.
    pub(crate) fn open(
        key: PartitionKey,
        dir: &Path,
        settings: LogSettings,
        floor: u64,
    ) -> Result<(Self, Recovery), LogError> {
        let (log, recovery) = PartitionLog::open(dir, settings, floor)?;
        let mut recent = RecentIds::default();
        match log.recent_ids(u32::try_from(WINDOW_IDS).unwrap_or(u32::MAX)) {
            Ok(ids) => recent.extend(ids),
            Err(error) => tracing::warn!(%error, "message ids of the last run are not known"),
        }
        Ok((Self::with_log(key, log, recent), recovery))
    }

    fn with_log(key: PartitionKey, log: PartitionLog, recent: RecentIds) -> Self {
        let dir = log.dir().to_owned();
        let open = Open { log, floor: 0, recent, appends: 0 };
        Self { key, dir, state: Mutex::new(State::Open(open)), synced: tokio::sync::Mutex::new(0) }
    }

    /// Appends a batch record of `messages` messages, unless it is a repetition. It is then in the hands of the
    /// operating system; [`Partition::sync`] waits for the disk.
    pub(crate) fn append(&self, store: &Store, batch: &[u8], messages: u32) -> Result<Accepted, Refusal> {
        let ids = ids_of(batch).map_err(|error| AppendError::InvalidBatch(error.to_string()))?;
        self.with(|open| {
            if open.recent.contains_all(&ids) {
                return Ok(Accepted::Duplicate);
            }
            let next_offset = open.log.bounds().next_offset;
            // By the messages that are there: the number that the client claims is checked only by the log.
            let needed = u32::try_from(ids.len()).map_err(|_| Code::TooManyMessages)?;
            if next_offset.saturating_add(u64::from(needed)) > open.floor {
                open.floor = store.reserve_floor(self.key, next_offset, needed)?;
            }
            let appended = open.log.append(self.key.partition_id, batch, messages, now_micros())?;
            open.recent.extend(ids);
            open.appends += 1;
            Ok(Accepted::Appended(appended))
        })
    }

    /// Waits until everything appended before the call is on the disk. Callers that wait at the same time share
    /// a sync, and only one of them occupies a thread. Cancelling loses nothing.
    pub(crate) async fn sync(&self) -> Result<(), Refusal> {
        let wanted = self.with(|open| Ok(open.appends))?;
        let mut synced = self.synced.lock().await;
        if *synced >= wanted {
            return Ok(());
        }
        let (ticket, covered) = self.with(|open| Ok((open.log.sync(), open.appends)))?;
        tokio::task::block_in_place(|| ticket.wait())?;
        *synced = covered;
        Ok(())
    }

    /// Reads messages.
    pub(crate) fn read(&self, from: ReadFrom, messages_max: u32, bytes_max: u32) -> Result<Slice, Refusal> {
        self.with(|open| Ok(open.log.read(from, messages_max, bytes_max)?))
    }

    /// The extent of the log.
    pub(crate) fn bounds(&self) -> Result<LogBounds, Refusal> {
        self.with(|open| Ok(open.log.bounds()))
    }

    /// The extent for those who look on: nothing when the partition is offline or was deleted.
    pub(crate) fn extent(&self) -> Extent {
        self.bounds().unwrap_or_default()
    }

    /// Whether it serves.
    pub(crate) fn condition(&self) -> Condition {
        match &*self.lock() {
            State::Open(open) => {
                let refusal = open.log.refusal().map(str::to_owned);
                refusal.map_or(Condition::Serving, Condition::Refusing)
            }
            State::Offline(reason) => Condition::Offline(reason.clone()),
            State::Deleted => Condition::Serving,
        }
    }

    /// Drops all messages. Offsets go on counting.
    pub(crate) fn purge(&self) -> Result<(), Refusal> {
        self.with(|open| {
            open.recent = RecentIds::default();
            Ok(open.log.purge()?)
        })
    }

    /// Drops up to `count` of the oldest sealed segments.
    pub(crate) fn delete_segments(&self, count: u32) -> Result<u32, Refusal> {
        self.with(|open| Ok(open.log.delete_segments(count)?))
    }

    /// Drops sealed segments that are older than `time_micros` or do not fit in `bytes_max`.
    pub(crate) fn retain(&self, time_micros: Option<u64>, bytes_max: Option<u64>) -> Result<u32, Refusal> {
        self.with(|open| {
            let older = time_micros.map_or(Ok(0), |time| open.log.delete_older_than(time))?;
            let beyond = bytes_max.map_or(Ok(0), |bytes| open.log.delete_beyond(bytes))?;
            Ok(older + beyond)
        })
    }

    /// Removes the partition and its files. Calls that come later are refused.
    pub(crate) fn delete(&self) -> Result<(), LogError> {
        match std::mem::replace(&mut *self.lock(), State::Deleted) {
            State::Open(open) => open.log.delete(),
            State::Offline(_) => PartitionLog::remove(&self.dir),
            State::Deleted => Ok(()),
        }
    }

    fn with<T>(&self, action: impl FnOnce(&mut Open) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match &mut *self.lock() {
            State::Open(open) => action(open),
            State::Offline(reason) => Err(Refusal::Offline { key: self.key, reason: reason.clone() }),
            State::Deleted => Err(Code::PartitionNotFound.into()),
        }
    }

    /// The log keeps itself consistent at every return, so a panic elsewhere under the lock spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
