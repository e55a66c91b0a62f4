//! One partition: its log, the offsets reserved for it, and the message ids it has seen. A lock guards them and
//! is never held while waiting for the disk to sync.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use iggy_common::IggyErrorDiscriminants as Code;
use tokio::task::JoinHandle;

use crate::clock::steady_micros;
use crate::group::MemberId;
use crate::log::{
    AppendError, Appended, Gap, LogBounds, LogError, LogSettings, PartitionLog, ReadFrom, Recovery, Slice,
    WAY_OUT,
};
use crate::recent::{NOBODY, RecentIds, WINDOW_IDS, ids_of};
use crate::store::{PartitionKey, Store};
use crate::wire::{Refusal, in_one_line};

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
    Offline(Offline),
    Deleted,
}

/// A partition whose files cannot be opened.
#[derive(Debug)]
struct Offline {
    reason: String,
    /// Offsets that may have been given to messages, if the files are gone.
    missing_offsets: u64,
}

/// What the store knows of a partition that was there at the last run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected<'a> {
    /// No offset below it is given to a new message. Above zero, the machine may have lost power.
    pub(crate) floor: u64,
    /// No offset at or above it was ever given to a message.
    pub(crate) reserved: u64,
    /// An offset below which all were given to messages, as consumers have read them.
    pub(crate) stored_end: u64,
    /// Floors at which the log went on after a loss of power.
    pub(crate) skips: &'a [u64],
}

/// What the start of a partition found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) recovery: Recovery,
    /// Offsets that no segment holds, though nothing skipped or dropped them.
    pub(crate) missing: Vec<Gap>,
}

#[derive(Debug)]
struct Open {
    log: PartitionLog,
    /// No offset at or above it may be given away before it is raised in the store.
    floor: u64,
    recent: RecentIds,
    /// Messages since the start that were sent again after a lost answer, and not stored a second time.
    repeats: u64,
    /// Appends since the start. What was there before is on the disk: opening the log synced it.
    appends: u64,
    era: Era,
    /// Not before this the log is mended again after a try that failed.
    mend_due: Option<Instant>,
    /// The last place that could not be read.
    damage: Option<KnownDamage>,
    /// Floors at which the log went on after a loss of power: what lies before them was skipped.
    skips: Vec<u64>,
    /// Whether the log has said that the file for messages is gone.
    is_gone_told: bool,
    /// The last sync that nobody waits for.
    sync_task: Option<JoinHandle<()>>,
}

/// A place in a segment that does not hold what was written there.
#[derive(Debug)]
struct KnownDamage {
    segment: PathBuf,
    /// What is wrong, and the way out.
    text: String,
    /// The read that met it. Once that succeeds, the segment was put right.
    met_by: Option<ReadFrom>,
}

/// The time between two failures of the disk. A sync that fails says nothing about what was appended before it, not
/// even once a later one succeeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// What is not on the disk is brought there once it is so many bytes, though nobody waits for it. An operating system
/// left to itself collects a tenth of the memory first, and then holds up whoever writes: with messages of 1 KiB at
/// 100,000 per second through a host, the 99th percentile from append to handled is 0.5 to 1 s, and 13 to 27 ms so.
const SYNC_BEHIND_BYTES: u64 = 8 * 1024 * 1024;

/// How long a log whose disk fails is left alone before it is mended again.
const MEND_PAUSE: Duration = Duration::from_secs(2);

/// Whether a partition does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It takes and gives messages.
    Serving,
    /// It gives messages and takes none, for this reason.
    Refusing(String),
    /// It takes messages, and gives those that do not lie behind a place that is damaged, for this reason.
    Damaged(String),
    /// It gives none and takes none, for this reason.
    Offline(String),
}

/// A batch that came over the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    /// The batch record.
    pub(crate) batch: &'a [u8],
    /// How many messages are in it, as the client says.
    pub(crate) messages: u32,
    /// Whose it is.
    pub(crate) sender: MemberId,
    /// What to do when all of it was sent before.
    pub(crate) repeats: Repeats,
}

/// What becomes of a batch whose messages were all sent before by another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// It is taken for a retry after a lost answer, and not stored again.
    Recognised,
    /// It is stored again, as on Iggy's server.
    Stored,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Accepted {
    /// It was written.
    Appended(Appended),
    /// All its messages had been written before, for a connection whose answer may be lost.
    Repeated,
}

impl Partition {
    /// Creates an empty partition.
    pub(crate) fn create(key: PartitionKey, dir: &Path, settings: LogSettings) -> Result<Self, LogError> {
        let log = PartitionLog::create(dir, settings)?;
        let open = Open::new(log, RecentIds::default());
        Ok(Self::with_state(key, dir, State::Open(open)))
    }

    /// A partition that does not serve, for this reason. Its files are gone if it misses offsets.
    pub(crate) fn offline(key: PartitionKey, dir: &Path, reason: String, missing_offsets: u64) -> Self {
        Self::with_state(key, dir, State::Offline(Offline { reason, missing_offsets }))
    }

    /// Opens a partition that was there at the last run. A log whose end is gone goes on at its reserved floor, so that
    /// no offset is given away a second time.
    pub(crate) fn open(
        key: PartitionKey,
        dir: &Path,
        settings: LogSettings,
        expected: Expected<'_>,
    ) -> Result<(Self, Found), LogError> {
        let (mut log, mut recovery) = PartitionLog::open(dir, settings, expected.floor)?;
        let next_offset = log.bounds().next_offset;
        let is_end_missing = recovery.is_end_missing || expected.stored_end > next_offset;
        if is_end_missing && next_offset < expected.reserved {
            drop(log);
            let (lifted, again) = PartitionLog::open(dir, settings, expected.reserved)?;
            recovery.skipped_offsets += again.skipped_offsets;
            log = lifted;
        }
        let recent = recent_of(&log);
        let damage = recovery.damage.first().map(|damage| KnownDamage {
            segment: damage.path.clone(),
            text: damage.to_string(),
            met_by: None,
        });
        let mut open = Open::new(log, recent);
        (open.damage, open.skips) = (damage, expected.skips.to_vec());
        let missing = open.missing();
        Ok((Self::with_state(key, dir, State::Open(open)), Found { recovery, missing }))
    }

    fn with_state(key: PartitionKey, dir: &Path, state: State) -> Self {
        Self { key, dir: dir.to_owned(), state: Mutex::new(state), synced: tokio::sync::Mutex::new(0) }
    }

    /// Appends a batch, unless its sender repeats what another connection has sent, whose answer may be lost. The operating system has the batch then; [`Partition::sync`] waits for the disk, and needs the
    /// era. A log that refuses because its disk failed is mended first, if the disk works again.
    pub(crate) fn append(&self, store: &Store, incoming: Incoming<'_>) -> Result<(Accepted, Era), Refusal> {
        let Incoming { batch, messages, sender, repeats } = incoming;
        let ids = ids_of(batch).map_err(|error| AppendError::InvalidBatch(error.to_string()))?;
        self.with(|open| {
            open.mend(self.key);
            if repeats == Repeats::Recognised && open.recent.take_retry(&ids, sender) {
                if open.repeats == 0 {
                    tracing::info!(
                        key = ?self.key,
                        "messages came again from another connection and were not stored a second time; \
                         guesthouse_broker_topic_repeats_total counts them"
                    );
                }
                open.repeats = open.repeats.saturating_add(ids.len() as u64);
                return Ok((Accepted::Repeated, open.era));
            }
            let next_offset = open.log.bounds().next_offset;
            // By the messages that are there: the number that the client claims is checked only by the log.
            let needed = u32::try_from(ids.len()).map_err(|_| Code::TooManyMessages)?;
            if next_offset.saturating_add(u64::from(needed)) > open.floor {
                open.floor = store.reserve_floor(self.key, next_offset, needed)?;
            }
            let appended = open.log.append(self.key.partition_id, batch, messages, steady_micros());
            open.note_place(self.key, &appended);
            let appended = appended?;
            open.recent.extend(ids, sender);
            open.appends += 1;
            open.sync_behind(self.key);
            Ok((Accepted::Appended(appended), open.era))
        })
    }

    /// The present era, for those who want everything on the disk and appended nothing.
    pub(crate) fn era(&self) -> Result<Era, Refusal> {
        self.with(|open| Ok(open.era))
    }

    /// Waits until everything appended in `era` and before the call is on the disk. Callers that wait at the same time
    /// share a sync, and only one of them occupies a thread. Cancelling loses nothing. Fails when the era is over.
    pub(crate) async fn sync(&self, era: Era) -> Result<(), Refusal> {
        let wanted = self.with(|open| Ok(open.appends))?;
        let mut synced = self.synced.lock().await;
        if *synced >= wanted {
            return Ok(());
        }
        let (ticket, covered) = self.with(|open| match open.era == era {
            true => Ok((open.log.sync(), open.appends)),
            // It may be among what was lost; sent again, it is recognised if it is not.
            false => Err(Code::CannotAppendMessage.into()),
        })?;
        tokio::task::block_in_place(|| ticket.wait())?;
        *synced = covered;
        Ok(())
    }

    /// Reads messages. A place that is damaged is remembered for [`Partition::condition`].
    pub(crate) fn read(&self, from: ReadFrom, messages_max: u32, bytes_max: u32) -> Result<Slice, Refusal> {
        self.with(|open| {
            let read = open.log.read(from, messages_max, bytes_max);
            open.note_damage(from, &read);
            Ok(read?)
        })
    }

    /// The extent of the log.
    pub(crate) fn bounds(&self) -> Result<LogBounds, Refusal> {
        self.with(|open| Ok(open.log.bounds()))
    }

    /// The extent for those who look on: nothing when the partition is offline or was deleted.
    pub(crate) fn extent(&self) -> LogBounds {
        self.bounds().unwrap_or_default()
    }

    /// Messages since the start that came again from another connection and were not stored a second time.
    pub(crate) fn repeats(&self) -> u64 {
        self.with(|open| Ok(open.repeats)).unwrap_or_default()
    }

    /// Offsets that may have been given to messages and that no segment holds, though nothing skipped or dropped them.
    pub(crate) fn missing_offsets(&self) -> u64 {
        match &*self.lock() {
            State::Open(open) => open.missing().into_iter().map(Gap::offsets).sum(),
            State::Offline(offline) => offline.missing_offsets,
            State::Deleted => 0,
        }
    }

    /// The newest stamp of its messages, in microseconds since the epoch; zero when there is none.
    pub(crate) fn newest_stamp(&self) -> u64 {
        self.with(|open| Ok(open.log.newest_stamp())).unwrap_or_default()
    }

    /// Bytes that a loss of power may take.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.with(|open| Ok(open.log.unsynced_bytes())).unwrap_or_default()
    }

    /// Whether it serves.
    pub(crate) fn condition(&self) -> Condition {
        match &*self.lock() {
            State::Open(open) => open.condition(),
            State::Offline(offline) => Condition::Offline(offline.reason.clone()),
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
            State::Offline(offline) => {
                Err(Refusal::Offline { key: self.key, reason: offline.reason.clone() })
            }
            State::Deleted => Err(Code::PartitionNotFound.into()),
        }
    }

    /// The log keeps itself consistent at every return, so a panic elsewhere under the lock spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(log: PartitionLog, recent: RecentIds) -> Self {
        Self {
            log,
            floor: 0,
            recent,
            repeats: 0,
            appends: 0,
            era: Era::default(),
            mend_due: None,
            damage: None,
            skips: Vec::new(),
            is_gone_told: false,
            sync_task: None,
        }
    }

    fn condition(&self) -> Condition {
        if let Some(refusal) = self.log.refusal() {
            return Condition::Refusing(refusal.to_owned());
        }
        if !self.log.is_in_place() {
            let gone = AppendError::Gone { path: self.log.active_path().to_owned() };
            return Condition::Refusing(gone.to_string());
        }
        // Damage is over when its segment is deleted.
        if let Some(damage) = self.damage.as_ref().filter(|damage| self.log.has_segment(&damage.segment)) {
            return Condition::Damaged(damage.text.clone());
        }
        match self.missing().first() {
            Some(gap) => Condition::Damaged(missing_text(self.log.dir(), *gap)),
            None => Condition::Serving,
        }
    }

    /// Gaps in the log that no loss of power explains.
    fn missing(&self) -> Vec<Gap> {
        let mut gaps = self.log.gaps();
        gaps.retain(|gap| !self.skips.contains(&gap.end));
        gaps
    }

    /// Tells once that the file for messages is gone, and once that it is back.
    fn note_place(&mut self, key: PartitionKey, appended: &Result<Appended, AppendError>) {
        match appended {
            Err(error @ AppendError::Gone { .. }) if !self.is_gone_told => {
                self.is_gone_told = true;
                tracing::error!(?key, %error, "a partition takes no messages");
            }
            Ok(_) if self.is_gone_told => {
                self.is_gone_told = false;
                tracing::warn!(?key, "the segment for messages is back; the partition takes messages again");
            }
            _ => {}
        }
    }

    fn note_damage(&mut self, from: ReadFrom, read: &Result<Slice, LogError>) {
        match read {
            Err(error @ LogError::Damaged { path, .. }) => {
                let (segment, text) = (path.clone(), error.to_string());
                self.damage = Some(KnownDamage { segment, text, met_by: Some(from) });
            }
            Err(LogError::Io { path, source, .. }) if source.kind() == ErrorKind::NotFound => {
                let text = format!("segment {} is gone; {WAY_OUT}", path.display());
                self.damage = Some(KnownDamage { segment: path.clone(), text, met_by: Some(from) });
            }
            Ok(_) if self.damage.as_ref().is_some_and(|damage| damage.met_by == Some(from)) => {
                self.damage = None;
            }
            _ => {}
        }
    }

    /// Brings what was appended to the disk on another thread, if it is much and that is not under way.
    fn sync_behind(&mut self, key: PartitionKey) {
        let is_running = self.sync_task.as_ref().is_some_and(|sync| !sync.is_finished());
        if is_running || self.log.unsynced_bytes() < SYNC_BEHIND_BYTES {
            return;
        }
        let ticket = self.log.sync();
        self.sync_task = Some(tokio::task::spawn_blocking(move || {
            // The log refuses appends from then on, and is mended with the next one.
            if let Err(error) = ticket.wait() {
                tracing::error!(
                    ?key,
                    error = in_one_line(&error),
                    "messages could not be brought to the disk"
                );
            }
        }));
    }

    /// Mends the log if it refuses appends and the last try was long enough ago.
    fn mend(&mut self, key: PartitionKey) {
        if self.log.refusal().is_none() || self.mend_due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        match self.log.mend() {
            Ok(mended) => {
                self.mend_due = None;
                self.era = Era(self.era.0 + 1);
                self.recent = recent_of(&self.log);
                let lost_messages = mended.lost_messages;
                if lost_messages > 0 {
                    tracing::error!(
                        ?key,
                        lost_messages,
                        "messages that were written are lost with their disk"
                    );
                } else {
                    tracing::warn!(?key, "the disk works again, nothing is lost");
                }
            }
            Err(error) => {
                self.mend_due = Some(Instant::now() + MEND_PAUSE);
                tracing::warn!(?key, error = in_one_line(&error), "the disk still fails");
            }
        }
    }
}

/// What to tell of offsets that are missing, and the way out.
pub(crate) fn missing_text(dir: &Path, gap: Gap) -> String {
    format!(
        "no segment in {} holds the offsets {} to {}, and they were not skipped: a file with messages is gone; put it back \
         while the broker is stopped, or delete the oldest segments up to there",
        dir.display(),
        gap.first,
        gap.end - 1,
    )
}

/// The ids of the messages at the end of a log.
fn recent_of(log: &PartitionLog) -> RecentIds {
    let mut recent = RecentIds::default();
    match log.recent_ids(u32::try_from(WINDOW_IDS).unwrap_or(u32::MAX)) {
        Ok(ids) => recent.extend(ids, NOBODY),
        Err(error) => tracing::warn!(%error, "message ids of the last run are not known"),
    }
    recent
}
