//! Consumer offsets: all of them in memory, the recent changes in the journal, the rest in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};

use super::database::{COUNTERS, Database, OFFSETS, OffsetRow};
use super::journal::{Change, Content, Journal};
use super::{ConsumerKey, OffsetKey, StoreError};

const EPOCH_KEY: &str = "journal-epoch";
const KIND_CONSUMER: u8 = 0;
const KIND_GROUP: u8 = 1;

/// The offsets of all consumers and groups.
#[derive(Debug)]
pub(super) struct Offsets {
    known: BTreeMap<OffsetKey, u64>,
    /// Keys whose value in the database is out of date.
    changed: BTreeSet<OffsetKey>,
    journal: Journal,
    failed_syncs: u64,
    /// The disk may not have what the journal holds, whatever a later sync says.
    is_doubtful: bool,
}

impl Offsets {
    /// Reads what the database and the journal hold.
    pub(super) fn open(data_dir: &Path, database: &Database) -> Result<Self, StoreError> {
        let epoch = database.counter(EPOCH_KEY)?;
        let known = stored(database)?;
        let (journal, changes) = Journal::open(data_dir, epoch)?;
        let mut offsets =
            Self { known, changed: BTreeSet::new(), journal, failed_syncs: 0, is_doubtful: false };
        offsets.apply(&changes);
        Ok(offsets)
    }

    /// The offset stored under `key`.
    pub(super) fn get(&self, key: OffsetKey) -> Option<u64> {
        self.known.get(&key).copied()
    }

    /// The offsets stored for a topic, in the order of its partitions.
    pub(super) fn of_topic(&self, stream_id: u32, topic_id: u32) -> Vec<(OffsetKey, u64)> {
        let consumer = ConsumerKey::Consumer(0);
        let first = OffsetKey { stream_id, topic_id, partition_id: 0, consumer };
        let of_topic = |key: &OffsetKey| (key.stream_id, key.topic_id) == (stream_id, topic_id);
        let found = self.known.range(first..).take_while(|(key, _)| of_topic(key));
        found.map(|(key, offset)| (*key, *offset)).collect()
    }

    /// All offsets that are stored.
    pub(super) fn all(&self) -> impl Iterator<Item = (&OffsetKey, u64)> {
        self.known.iter().map(|(key, offset)| (key, *offset))
    }

    /// How many offsets are stored.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Writes changes to the journal. Answers the file to sync if they must survive the loss of power.
    pub(super) fn change(
        &mut self,
        database: &Database,
        changes: &[Change],
    ) -> Result<Arc<File>, StoreError> {
        if self.journal.is_full() || self.is_doubtful {
            self.absorb(database, "absorb the offset journal", |_| Ok(()), |_| false)?;
        }
        self.journal.append(changes)?;
        self.apply(changes);
        Ok(self.journal.file())
    }

    /// Commits `work` together with everything the journal holds, and forgets the offsets that `gone` names, all or
    /// nothing. An old journal can therefore not bring back offsets of what `work` deleted.
    pub(super) fn absorb(
        &mut self,
        database: &Database,
        action: &'static str,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
        gone: impl Fn(&OffsetKey) -> bool,
    ) -> Result<(), StoreError> {
        let dropped: Vec<OffsetKey> = self.known.keys().filter(|key| gone(key)).copied().collect();
        let epoch = self.journal.next_epoch();
        // Should this fail, then perhaps only after the new epoch was on the disk: a slot of the old one would count
        // for nothing at the next start.
        self.is_doubtful = true;
        database.write(action, |txn| {
            work(txn)?;
            let mut table = txn.open_table(OFFSETS)?;
            for key in self.changed.iter().chain(&dropped) {
                match self.known.get(key).filter(|_| !gone(key)) {
                    Some(offset) => table.insert(row_of(key), offset)?,
                    None => table.remove(row_of(key))?,
                };
            }
            txn.open_table(COUNTERS)?.insert(EPOCH_KEY, epoch)?;
            Ok(())
        })?;
        self.known.retain(|key, _| !gone(key));
        self.changed.clear();
        self.journal.start_over();
        self.is_doubtful = false;
        Ok(())
    }

    /// Takes note that a sync of the journal failed: the database absorbs what it holds before anything is added.
    pub(super) fn note_failed_sync(&mut self) {
        self.failed_syncs += 1;
        self.is_doubtful = true;
    }

    /// How often a sync failed. One that succeeds says nothing about what was written before a failure.
    pub(super) fn failed_syncs(&self) -> u64 {
        self.failed_syncs
    }

    /// An error about the journal.
    pub(super) fn journal_error(&self, action: &'static str, source: std::io::Error) -> StoreError {
        self.journal.error(action, source)
    }

    fn apply(&mut self, changes: &[Change]) {
        apply(&mut self.known, changes);
        self.changed.extend(changes.iter().map(|(key, _)| *key));
    }
}

/// The offsets that a start would know, without opening the journal, and the torn bytes at the end of that.
pub(super) fn examine(
    data_dir: &Path,
    database: &Database,
) -> Result<(BTreeMap<OffsetKey, u64>, usize), StoreError> {
    let mut known = stored(database)?;
    let journal = Content::read(data_dir, database.counter(EPOCH_KEY)?)?;
    apply(&mut known, &journal.changes);
    Ok((known, journal.torn_bytes))
}

fn stored(database: &Database) -> Result<BTreeMap<OffsetKey, u64>, StoreError> {
    database.read("read the offsets", |txn| {
        let mut known = BTreeMap::new();
        for row in txn.open_table(OFFSETS)?.iter()? {
            let (key, offset) = row?;
            known.insert(key_of(key.value()), offset.value());
        }
        Ok(known)
    })
}

fn apply(known: &mut BTreeMap<OffsetKey, u64>, changes: &[Change]) {
    for (key, offset) in changes {
        match offset {
            Some(offset) => known.insert(*key, *offset),
            None => known.remove(key),
        };
    }
}

fn row_of(key: &OffsetKey) -> OffsetRow {
    let (kind, consumer) = match key.consumer {
        ConsumerKey::Consumer(id) => (KIND_CONSUMER, id),
        ConsumerKey::Group(id) => (KIND_GROUP, id),
    };
    (key.stream_id, key.topic_id, key.partition_id, kind, consumer)
}

fn key_of((stream_id, topic_id, partition_id, kind, consumer): OffsetRow) -> OffsetKey {
    let consumer =
        if kind == KIND_GROUP { ConsumerKey::Group(consumer) } else { ConsumerKey::Consumer(consumer) };
    OffsetKey { stream_id, topic_id, partition_id, consumer }
}
