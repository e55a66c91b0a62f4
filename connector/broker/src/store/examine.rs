//! What the store of a data directory holds and what the next start would do to it, without changing a byte.

use std::collections::BTreeMap;
use std::path::Path;

use redb::ReadableTable;

use super::database::{Database, FLOORS, FORMAT, USERS};
use super::{
    BOOT_KEY, CatalogImage, LogEnds, OffsetKey, PartitionKey, StoreError, UserMeta, boot, database, offsets,
};

/// The content of a store at rest.
#[derive(Debug)]
pub(crate) struct StoreImage {
    /// Its format; an older one is migrated by the next start.
    pub(crate) format: u64,
    /// The format of this broker.
    pub(crate) known_format: u64,
    /// Whether the database was left in the middle of a change.
    pub(crate) is_unfinished: bool,
    /// Bytes at the end of the offset journal that are no offset.
    pub(crate) torn_journal_bytes: usize,
    pub(crate) catalog: CatalogImage,
    pub(crate) floors: BTreeMap<PartitionKey, u64>,
    pub(crate) offsets: BTreeMap<OffsetKey, u64>,
    pub(crate) users: usize,
    pub(crate) log_ends: LogEnds,
}

/// Reads the store of a data directory that no broker holds. The database is read into memory.
///
/// # Errors
/// As [`Store::open`](super::Store::open).
pub(crate) fn examine(data_dir: &Path) -> Result<StoreImage, StoreError> {
    database::guard(data_dir, || read(data_dir))
}

fn read(data_dir: &Path) -> Result<StoreImage, StoreError> {
    let (database, copied) = Database::open_copy(data_dir)?;
    let (offsets, torn_journal_bytes) = offsets::examine(data_dir, &database)?;
    let floors = database.read("read the floors", |txn| {
        let mut floors = BTreeMap::new();
        for row in txn.open_table(FLOORS)?.iter()? {
            let (key, floor) = row?;
            let (stream_id, topic_id, partition_id) = key.value();
            floors.insert(PartitionKey { stream_id, topic_id, partition_id }, floor.value());
        }
        Ok(floors)
    })?;
    let last = database.value(BOOT_KEY)?;
    Ok(StoreImage {
        format: copied.format,
        known_format: FORMAT,
        is_unfinished: copied.repaired,
        torn_journal_bytes,
        catalog: super::load(&database)?,
        floors,
        offsets,
        users: database.all::<u32, UserMeta>(USERS)?.len(),
        log_ends: boot::log_ends(last.as_ref(), boot::current_boot_id().as_deref()),
    })
}
