//! Everything the broker remembers besides messages: the catalog, consumer offsets, offset floors, and the
//! users. One redb file, `meta.redb`, and a small journal for offsets. All calls block on file I/O. A change of the
//! catalog is on the disk when its call returns.

mod boot;
mod database;
mod examine;
mod journal;
mod meta;
mod offsets;
#[cfg(test)]
mod recorded;
mod skips;
mod users;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{ReadableTable, WriteTransaction};

use crate::log::file;

use boot::{BootMark, Ending};
use database::{COUNTERS, Database, FLOORS, GROUPS, SKIPS, STREAMS, TOPICS};
pub(crate) use examine::{StoreImage, examine};
pub(crate) use meta::{
    CatalogImage, ConsumerKey, GroupMeta, OffsetKey, OptionEntry, PartitionKey, StreamMeta, TopicMeta,
};
use offsets::Offsets;
pub(crate) use skips::KnownEnds;
pub(crate) use users::{ROOT_USER_ID, STATUS_ACTIVE, TokenMeta, UserMeta};

/// Offsets reserved at once for a partition, so that appends seldom wait for the database.
const FLOOR_BLOCK: u64 = 65_536;

const BOOT_KEY: &str = "boot";
const NEXT_STREAM_KEY: &str = "next-stream-id";

/// How much the ends of the logs can be trusted at this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogEnds {
    /// The last run ended cleanly, or only its process died: what was acknowledged is in the files.
    Exact,
    /// The machine may have lost power: every log goes on at its reserved floor.
    Uncertain,
}

/// How long an offset must last before [`Store::put_offset_if`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetDurability {
    /// Handed to the operating system: survives the death of the process.
    Written,
    /// On the disk: survives the loss of power.
    Synced,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database answered an error.
    #[error("cannot {action} in {}", path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: Box<redb::Error>,
    },
    /// The file was written by another version of the broker.
    #[error(
        "{} has format {found}, this broker knows format {known}; run the version that wrote it, or choose another data directory",
        path.display()
    )]
    UnknownFormat {
        /// The database file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this broker.
        known: u64,
    },
    /// The file is not what was written: the database panicked over it.
    #[error("{} is damaged; put it back from a copy, or choose another data directory", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
    },
    /// A stored value does not have its type.
    #[error("a value in {} cannot be read or written", path.display())]
    Value {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: postcard::Error,
    },
    /// The offset journal cannot be used.
    #[error("cannot {action} the offset journal {}", path.display())]
    Journal {
        /// What was tried.
        action: &'static str,
        /// The journal file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl StoreError {
    fn database(action: &'static str, path: &Path, error: impl Into<redb::Error>) -> Self {
        Self::Database { action, path: path.to_owned(), source: Box::new(error.into()) }
    }
}

/// The open store. Shared between threads; one writer at a time inside.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    /// Taken before a transaction begins, never inside one.
    offsets: Mutex<Offsets>,
    boot_id: Option<String>,
    log_ends: LogEnds,
}

impl Store {
    /// Opens or creates `meta.redb` in `data_dir`, which must exist.
    ///
    /// # Errors
    /// When the files cannot be opened, are open in another process, or have an unknown format.
    pub(crate) fn open(data_dir: &Path) -> Result<Store, StoreError> {
        database::guard(data_dir, || {
            let database = Database::open(data_dir)?;
            let offsets = Mutex::new(Offsets::open(data_dir, &database)?);
            let boot_id = boot::current_boot_id();
            let last: Option<BootMark> = database.value(BOOT_KEY)?;
            let log_ends = boot::log_ends(last.as_ref(), boot_id.as_deref());
            let failed =
                |source| StoreError::Journal { action: "make durable", path: data_dir.to_owned(), source };
            file::sync_names(data_dir).map_err(failed)?;
            Ok(Store { database, offsets, boot_id, log_ends })
        })
    }

    /// Whether the ends of the logs were exact when this store was opened. Decides between `0` and
    /// [`Store::floor`] as the floor of every log.
    pub(crate) fn log_ends(&self) -> LogEnds {
        self.log_ends
    }

    /// Records that the broker runs on this boot of the machine. Call it once EVERY log has been opened with its
    /// floor, and before the first append.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn mark_running(&self) -> Result<(), StoreError> {
        self.mark(Ending::Open)
    }

    /// Records a clean stop. Call it after every log has been synced, as the last thing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn mark_clean(&self) -> Result<(), StoreError> {
        self.offsets().absorb(&self.database, "absorb the offset journal", |_| Ok(()), |_| false)?;
        self.mark(Ending::Clean)
    }

    /// Reads the catalog.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn load(&self) -> Result<CatalogImage, StoreError> {
        load(&self.database)
    }

    /// Creates or replaces a stream.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn put_stream(&self, stream: &StreamMeta) -> Result<(), StoreError> {
        let value = self.database.encode(stream)?;
        self.database.write("store a stream", |txn| {
            txn.open_table(STREAMS)?.insert(stream.id, value.as_slice())?;
            let mut counters = txn.open_table(COUNTERS)?;
            let next = counters.get(NEXT_STREAM_KEY)?.map_or(0, |next| next.value());
            counters.insert(NEXT_STREAM_KEY, next.max(u64::from(stream.id) + 1))?;
            Ok(())
        })
    }

    /// Deletes a stream with its topics, their groups, offsets and floors, at once.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn delete_stream(&self, stream_id: u32) -> Result<(), StoreError> {
        let work = |txn: &WriteTransaction| {
            txn.open_table(STREAMS)?.remove(stream_id)?;
            txn.open_table(TOPICS)?.retain(|(stream, _), _| stream != stream_id)?;
            txn.open_table(GROUPS)?.retain(|(stream, ..), _| stream != stream_id)?;
            txn.open_table(FLOORS)?.retain(|(stream, ..), _| stream != stream_id)?;
            txn.open_table(SKIPS)?.retain(|(stream, ..), _| stream != stream_id)?;
            Ok(())
        };
        self.offsets().absorb(&self.database, "delete a stream", work, |key| key.stream_id == stream_id)
    }

    /// Creates or replaces a topic. Offsets and floors of partitions at or above `partitions_count` go with it.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn put_topic(&self, topic: &TopicMeta) -> Result<(), StoreError> {
        let value = self.database.encode(topic)?;
        let (stream_id, topic_id, count) = (topic.stream_id, topic.id, topic.partitions_count);
        let gone =
            |(stream, topic, partition)| (stream, topic) == (stream_id, topic_id) && partition >= count;
        let work = |txn: &WriteTransaction| {
            txn.open_table(TOPICS)?.insert((stream_id, topic_id), value.as_slice())?;
            txn.open_table(FLOORS)?.retain(|partition, _| !gone(partition))?;
            txn.open_table(SKIPS)?
                .retain(|(stream, topic, partition, _), ()| !gone((stream, topic, partition)))?;
            Ok(())
        };
        let gone_offset = |key: &OffsetKey| gone((key.stream_id, key.topic_id, key.partition_id));
        self.offsets().absorb(&self.database, "store a topic", work, gone_offset)
    }

    /// Deletes a topic with its groups, offsets and floors, at once.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn delete_topic(&self, stream_id: u32, topic_id: u32) -> Result<(), StoreError> {
        let gone = (stream_id, topic_id);
        let work = |txn: &WriteTransaction| {
            txn.open_table(TOPICS)?.remove(gone)?;
            txn.open_table(GROUPS)?.retain(|(stream, topic, _), _| (stream, topic) != gone)?;
            txn.open_table(FLOORS)?.retain(|(stream, topic, _), _| (stream, topic) != gone)?;
            txn.open_table(SKIPS)?.retain(|(stream, topic, ..), ()| (stream, topic) != gone)?;
            Ok(())
        };
        let gone_offset = |key: &OffsetKey| (key.stream_id, key.topic_id) == gone;
        self.offsets().absorb(&self.database, "delete a topic", work, gone_offset)
    }

    /// Creates or replaces a consumer group.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(crate) fn put_group(&self, group: &GroupMeta) -> Result<(), StoreError> {
        let value = self.database.encode(group)?;
        self.database.write("store a consumer group", |txn| {
            let key = (group.stream_id, group.topic_id, group.id);
            txn.open_table(GROUPS)?.insert(key, value.as_slice())?;
            Ok(())
        })
    }

    /// Deletes a consumer group with its offsets, at once.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn delete_group(
        &self,
        stream_id: u32,
        topic_id: u32,
        group_id: u32,
    ) -> Result<(), StoreError> {
        let work = |txn: &WriteTransaction| {
            txn.open_table(GROUPS)?.remove((stream_id, topic_id, group_id))?;
            Ok(())
        };
        let gone = |key: &OffsetKey| {
            (key.stream_id, key.topic_id, key.consumer) == (stream_id, topic_id, ConsumerKey::Group(group_id))
        };
        self.offsets().absorb(&self.database, "delete a consumer group", work, gone)
    }

    /// The stored offset. From memory.
    pub(crate) fn offset(&self, key: OffsetKey) -> Option<u64> {
        self.offsets().get(key)
    }

    /// All offsets stored for a topic. From memory.
    pub(crate) fn offsets_of_topic(&self, stream_id: u32, topic_id: u32) -> Vec<(OffsetKey, u64)> {
        self.offsets().of_topic(stream_id, topic_id)
    }

    /// How many offsets are stored. From memory.
    pub(crate) fn offsets_count(&self) -> usize {
        self.offsets().count()
    }

    /// Stores one offset if `check`, which is told the stored one, agrees. Nobody can read or store an offset between
    /// the check and the write.
    ///
    /// # Errors
    /// What `check` says; or when the journal cannot be written, and the offset is as before, or cannot be synced.
    pub(crate) fn put_offset_if<E: From<StoreError>>(
        &self,
        key: OffsetKey,
        offset: u64,
        durability: OffsetDurability,
        check: impl FnOnce(Option<u64>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (file, failed_syncs) = {
            let mut offsets = self.offsets();
            check(offsets.get(key))?;
            let file = offsets.change(&self.database, &[(key, Some(offset))])?;
            (file, offsets.failed_syncs())
        };
        match durability {
            OffsetDurability::Written => Ok(()),
            OffsetDurability::Synced => Ok(self.settle(&file, failed_syncs)?),
        }
    }

    /// Deletes a stored offset; answers whether there was one.
    ///
    /// # Errors
    /// When the journal cannot be written; the offset is as before then.
    pub(crate) fn delete_offset(&self, key: OffsetKey) -> Result<bool, StoreError> {
        let mut offsets = self.offsets();
        if offsets.get(key).is_none() {
            return Ok(false);
        }
        offsets.change(&self.database, &[(key, None)]).map(|_file| true)
    }

    /// Deletes all offsets stored for a topic, for a purge.
    ///
    /// # Errors
    /// When the database cannot be written; everything is as before then.
    pub(crate) fn delete_topic_offsets(&self, stream_id: u32, topic_id: u32) -> Result<(), StoreError> {
        let gone = |key: &OffsetKey| (key.stream_id, key.topic_id) == (stream_id, topic_id);
        self.offsets().absorb(&self.database, "delete the offsets of a topic", |_| Ok(()), gone)
    }

    /// The floor reserved for a partition: no offset at or above it was ever given to a message. Zero when none
    /// was reserved.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn floor(&self, partition: PartitionKey) -> Result<u64, StoreError> {
        self.database.read("read a floor", |txn| {
            let floor = txn.open_table(FLOORS)?.get(partition.row())?;
            Ok(floor.map_or(0, |floor| floor.value()))
        })
    }

    /// Reserves offsets for a partition durably, from `next_offset` on, `messages` and a whole block of 65,536
    /// beyond. Answers the new floor: offsets below it may be minted. Call it before the first append of a run and
    /// whenever an append would reach the last answer.
    ///
    /// # Errors
    /// When the database cannot be written; nothing may be appended then.
    pub(crate) fn reserve_floor(
        &self,
        partition: PartitionKey,
        next_offset: u64,
        messages: u32,
    ) -> Result<u64, StoreError> {
        let wanted = next_offset.saturating_add(u64::from(messages)).saturating_add(FLOOR_BLOCK);
        self.database.write("reserve offsets", |txn| {
            let mut floors = txn.open_table(FLOORS)?;
            let held = floors.get(partition.row())?.map_or(0, |floor| floor.value());
            let floor = wanted.max(held);
            floors.insert(partition.row(), floor)?;
            Ok(floor)
        })
    }

    /// Waits until what was written to the journal is on the disk, if no sync failed since.
    fn settle(&self, file: &File, failed_syncs: u64) -> Result<(), StoreError> {
        let synced = file::sync_data(file);
        let mut offsets = self.offsets();
        match synced {
            Ok(()) if offsets.failed_syncs() == failed_syncs => Ok(()),
            Ok(()) => {
                let lost = io::Error::other("another sync failed meanwhile");
                Err(offsets.journal_error("sync", lost))
            }
            Err(source) => {
                offsets.note_failed_sync();
                Err(offsets.journal_error("sync", source))
            }
        }
    }

    fn mark(&self, ending: Ending) -> Result<(), StoreError> {
        self.database.put_value(BOOT_KEY, &BootMark { boot_id: self.boot_id.clone(), ending })
    }

    /// Offsets change all at once or not at all, so a panic elsewhere leaves them usable.
    fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(database: &Database) -> Result<CatalogImage, StoreError> {
    Ok(CatalogImage {
        next_stream_id: u32::try_from(database.counter(NEXT_STREAM_KEY)?).unwrap_or(u32::MAX),
        streams: database.all(STREAMS)?,
        topics: database.all(TOPICS)?,
        groups: database.all(GROUPS)?,
    })
}

#[cfg(test)]
mod tests;
