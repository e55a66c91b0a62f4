//! The offset journal: a file of fixed slots that takes an offset with one small write, where a commit of the
//! database would cost a sync. The database absorbs it from time to time; an epoch tells which slots are still news.
//! What was written survives the death of the process, and the loss of power once synced.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iggy_common::calculate_checksum;

use super::{ConsumerKey, OffsetKey, StoreError};
use crate::log::file;

const FILE_NAME: &str = "offsets.journal";
const WORDS: usize = 10;
const SLOT_BYTES: usize = 8 + 4 * WORDS;
/// Slots after which the database should absorb the journal: 768 KiB. Tests come by more often.
const SLOTS_MAX: usize = if cfg!(test) { 64 } else { 16 * 1024 };
const CONSUMER: u32 = 0;
const GROUP: u32 = 1;
const ABSENT: u32 = 0;
const PRESENT: u32 = 1;

/// A change of one offset; `None` deletes it.
pub(super) type Change = (OffsetKey, Option<u64>);

/// What the file of a journal holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The changes of the epoch, oldest first.
    pub(super) changes: Vec<Change>,
    /// Bytes behind them that are no slot of any epoch: one that was not completely written.
    pub(super) torn_bytes: usize,
}

impl Content {
    /// Reads a journal without opening it. One that is missing is empty.
    pub(super) fn read(data_dir: &Path, epoch: u64) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::of(&bytes, epoch)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(StoreError::Journal { action: "read", path, source }),
        }
    }

    fn of(bytes: &[u8], epoch: u64) -> Self {
        let (slots, unfinished) = bytes.as_chunks::<SLOT_BYTES>();
        let changes: Vec<Change> = slots.iter().map_while(|slot| decode(slot, epoch)).collect();
        let torn_bytes = match slots.get(changes.len()) {
            None => unfinished.len(),
            Some(next) if is_intact(next) => 0,
            Some(_) => SLOT_BYTES,
        };
        Self { changes, torn_bytes }
    }
}

fn is_intact(slot: &[u8; SLOT_BYTES]) -> bool {
    let Some((checksum, content)) = slot.split_first_chunk::<8>() else { return false };
    calculate_checksum(content) == u64::from_le_bytes(*checksum)
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: Arc<File>,
    path: PathBuf,
    epoch: u64,
    position: u64,
}

impl Journal {
    /// Opens or creates the journal and reads the changes of `epoch`, oldest first.
    pub(super) fn open(data_dir: &Path, epoch: u64) -> Result<(Self, Vec<Change>), StoreError> {
        let path = data_dir.join(FILE_NAME);
        let failed = |source| StoreError::Journal { action: "open", path: path.clone(), source };
        if epoch > 0 && !path.exists() {
            tracing::warn!(
                path = %path.display(),
                "the journal of stored offsets is gone; offsets that were stored since the catalog last took it in are \
                 older now, and their consumers read those messages again"
            );
        }
        let file = file::open_for_writing(&path).map_err(failed)?;
        let bytes = std::fs::read(&path).map_err(failed)?;
        let Content { changes, .. } = Content::of(&bytes, epoch);
        let position = (changes.len() * SLOT_BYTES) as u64;
        Ok((Self { file: Arc::new(file), path, epoch, position }, changes))
    }

    /// Writes changes with one write. A failed write is written over by the next.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let bytes: Vec<u8> = changes.iter().flat_map(|change| encode(change, self.epoch)).collect();
        file::rewrite(&self.file, self.position, &bytes).map_err(|source| self.error("write", source))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Whether the database should absorb what was written.
    pub(super) fn is_full(&self) -> bool {
        self.position >= (SLOTS_MAX * SLOT_BYTES) as u64
    }

    /// The epoch that the database has to store when it absorbs the journal.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch + 1
    }

    /// Starts over after the database absorbed everything. The old slots stay until they are written over.
    pub(super) fn start_over(&mut self) {
        self.epoch = self.next_epoch();
        self.position = 0;
    }

    /// What is needed to sync without holding the journal.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// An error about this file.
    pub(super) fn error(&self, action: &'static str, source: io::Error) -> StoreError {
        StoreError::Journal { action, path: self.path.clone(), source }
    }
}

fn encode((key, offset): &Change, epoch: u64) -> [u8; SLOT_BYTES] {
    let (kind, consumer) = match key.consumer {
        ConsumerKey::Consumer(id) => (CONSUMER, id),
        ConsumerKey::Group(id) => (GROUP, id),
    };
    let state = if offset.is_some() { PRESENT } else { ABSENT };
    let (epoch, offset) = (halves(epoch), halves(offset.unwrap_or_default()));
    let (stream, topic, partition) = (key.stream_id, key.topic_id, key.partition_id);
    let words = [epoch[0], epoch[1], offset[0], offset[1], stream, topic, partition, kind, consumer, state];
    let mut slot = [0; SLOT_BYTES];
    let (checksum, content) = slot.split_at_mut(8);
    for (place, word) in content.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
    checksum.copy_from_slice(&calculate_checksum(content).to_le_bytes());
    slot
}

fn decode(slot: &[u8; SLOT_BYTES], due_epoch: u64) -> Option<Change> {
    if !is_intact(slot) {
        return None;
    }
    let (_checksum, content) = slot.split_first_chunk::<8>()?;
    let words: &[[u8; 4]; WORDS] = content.as_chunks().0.try_into().ok()?;
    let [e0, e1, o0, o1, stream_id, topic_id, partition_id, kind, consumer, state] =
        words.map(u32::from_le_bytes);
    let consumer = match kind {
        CONSUMER => ConsumerKey::Consumer(consumer),
        GROUP => ConsumerKey::Group(consumer),
        _ => return None,
    };
    let offset = (state == PRESENT).then(|| whole([o0, o1]));
    (whole([e0, e1]) == due_epoch)
        .then_some((OffsetKey { stream_id, topic_id, partition_id, consumer }, offset))
}

fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn whole([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | (u64::from(high) << 32)
}
