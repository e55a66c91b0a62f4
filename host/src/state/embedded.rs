//! The embedded state store: one redb file, of this process alone.
//!
//! A transaction is on the disk when it is applied. There is one writer at a time; readers never wait for it. Those
//! that wait to write go to the disk together, so that the disk's pace bounds groups and not transactions.

mod group;
mod memory;

use std::fs::OpenOptions;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use self::group::{Group, Pending};
use self::memory::Left;
use super::{
    Applied, MarkId, MarkPlace, Namespace, Opened, PAGE_KEYS_MAX, Seen, SeenPlace, StateError, StateStore,
    Transaction, Usage,
};
use crate::handler::HandlerName;
use crate::identity::EventKey;

/// Values by [`Namespace::entry`].
const VALUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values");
/// Bytes and version by namespace.
const USAGE: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("usage");
/// Done-marks by [`MarkId::entry`].
const MARKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("marks");
/// The version of all this, under [`FORMAT_KEY`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

const FORMAT_KEY: &str = "format";
const FORMAT: u64 = 1;
/// Memory for pages of the file.
const CACHE_BYTES: usize = 32 << 20;
/// Marks that are forgotten in one transaction, so that guests' writes get their turn in between.
const FORGET_MARKS_MAX: usize = 10_000;

/// The open file.
#[derive(Debug)]
pub(super) struct EmbeddedStore {
    database: Database,
    path: PathBuf,
    group: Group,
}

impl EmbeddedStore {
    /// Opens or creates the file; only its owner may read it.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |error: redb::Error| file_error("open", path, error);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| failed(error.into()))?;
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| failed(error.into()))?;
        let database = match Database::builder().set_cache_size(CACHE_BYTES).create_file(file) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(StateError::InUse { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        };
        let store = Self { database, path: path.to_owned(), group: Group::default() };
        let found = store.write("open", |txn| {
            txn.open_table(VALUES)?;
            txn.open_table(USAGE)?;
            txn.open_table(MARKS)?;
            memory::create(txn)?;
            let mut meta = txn.open_table(META)?;
            let found = meta.get(FORMAT_KEY)?.map_or(FORMAT, |format| format.value());
            meta.insert(FORMAT_KEY, found)?;
            Ok(Some(found))
        })?;
        match found {
            None | Some(FORMAT) => Ok(store),
            Some(found) => Err(StateError::UnknownFormat { path: store.path, found, known: FORMAT }),
        }
    }

    /// Runs `work` on an unchanging view.
    fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let run = || work(&self.database.begin_read()?);
        run().map_err(|error: redb::Error| file_error("read", &self.path, error))
    }

    /// Runs `work` in a transaction that is on the disk when this returns; without a result nothing is changed.
    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&WriteTransaction) -> Result<Option<T>, redb::Error>,
    ) -> Result<Option<T>, StateError> {
        let run = || {
            let mut txn = self.database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            let done = work(&txn)?;
            match done {
                Some(_) => txn.commit()?,
                None => txn.abort()?,
            }
            Ok(done)
        };
        run().map_err(|error: redb::Error| file_error(action, &self.path, error))
    }
}

impl EmbeddedStore {
    /// Applies transactions, each whole or not at all, in one that is on the disk when this returns.
    fn apply_group(&self, group: &[Arc<Pending>]) -> Result<Vec<Applied>, redb::Error> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let applied =
            group.iter().map(|pending| apply(&txn, pending.transaction())).collect::<Result<_, _>>()?;
        txn.commit()?;
        Ok(applied)
    }
}

impl StateStore for EmbeddedStore {
    fn open(&self, namespace: &Namespace, marks: &[MarkId], _: Duration) -> Result<Opened, StateError> {
        self.read(|txn| {
            let table = txn.open_table(MARKS)?;
            let mark = |id: &MarkId| -> Result<_, redb::Error> {
                Ok(table.get(id.entry().as_slice())?.map(|mark| mark.value().to_vec()))
            };
            let marks = marks.iter().map(mark).collect::<Result<_, _>>()?;
            Ok(Opened { usage: usage(&txn.open_table(USAGE)?, namespace)?, marks })
        })
    }

    fn seen(
        &self,
        place: &SeenPlace,
        keys: &[EventKey],
        _: Duration,
    ) -> Result<Vec<Option<Seen>>, StateError> {
        self.read(|txn| memory::find(txn, place, keys))
    }

    fn get(&self, namespace: &Namespace, key: &str, _: Duration) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|txn| {
            let value = txn.open_table(VALUES)?.get(namespace.entry(key).as_slice())?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    fn value_bytes(&self, namespace: &Namespace, key: &str, _: Duration) -> Result<Option<u64>, StateError> {
        self.read(|txn| {
            let value = txn.open_table(VALUES)?.get(namespace.entry(key).as_slice())?;
            Ok(value.map(|value| value.value().len() as u64))
        })
    }

    fn keys_after(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        _: Duration,
    ) -> Result<Vec<String>, StateError> {
        let prefix = namespace.as_bytes();
        let first = namespace.entry(after.unwrap_or_default());
        let first = match after {
            Some(_) => Bound::Excluded(first.as_slice()),
            None => Bound::Included(first.as_slice()),
        };
        self.read(|txn| {
            let table = txn.open_table(VALUES)?;
            let mut keys = Vec::new();
            for row in table.range::<&[u8]>((first, Bound::Unbounded))? {
                let (entry, _) = row?;
                let Some(key) = entry.value().strip_prefix(prefix) else { break };
                keys.push(String::from_utf8_lossy(key).into_owned());
                if keys.len() == PAGE_KEYS_MAX {
                    break;
                }
            }
            Ok(keys)
        })
    }

    fn apply(&self, transaction: Transaction) -> Result<Applied, StateError> {
        let applied = self.group.apply(transaction, |group| self.apply_group(group));
        applied.map_err(|cause| StateError::File {
            action: "write",
            path: self.path.clone(),
            cause: Box::new(cause),
        })
    }

    fn forget_marks(&self, place: &MarkPlace, below: u64) -> Result<(), StateError> {
        let (first, end) = (place.lower_bound(0), place.lower_bound(below));
        loop {
            let forgotten = self.write("forget done-marks in", |txn| {
                let mut table = txn.open_table(MARKS)?;
                let range =
                    table.extract_from_if::<&[u8], _>(first.as_slice()..end.as_slice(), |_, _| true)?;
                let mut forgotten = 0;
                for row in range.take(FORGET_MARKS_MAX) {
                    row?;
                    forgotten += 1;
                }
                Ok((forgotten > 0).then_some(forgotten))
            })?;
            if forgotten.is_none_or(|forgotten| forgotten < FORGET_MARKS_MAX) {
                return Ok(());
            }
        }
    }

    fn forget_seen(&self, handler: &HandlerName, oldest: u64) -> Result<(), StateError> {
        for place in self.read(|txn| memory::outdated(txn, handler, oldest))? {
            let forget = |txn: &WriteTransaction| memory::forget(txn, &place, oldest, FORGET_MARKS_MAX);
            while self.write("forget events in", forget)?.is_some_and(|left| left == Left::More) {}
        }
        Ok(())
    }
}

fn apply(txn: &WriteTransaction, transaction: &Transaction) -> Result<Applied, redb::Error> {
    let Transaction { namespace, version, bytes, writes, marks, remember } = transaction;
    if let Some(version) = version {
        let mut usages = txn.open_table(USAGE)?;
        if usage(&usages, namespace)?.version != *version {
            return Ok(Applied::Stale);
        }
        usages.insert(namespace.as_bytes(), (*bytes, version.wrapping_add(1)))?;
    }
    let mut values = txn.open_table(VALUES)?;
    for (key, value) in writes {
        let entry = namespace.entry(key);
        match value {
            Some(value) => values.insert(entry.as_slice(), value.as_slice())?,
            None => values.remove(entry.as_slice())?,
        };
    }
    let mut table = txn.open_table(MARKS)?;
    for (id, mark) in marks {
        table.insert(id.entry().as_slice(), mark.as_slice())?;
    }
    if let Some(remember) = remember {
        memory::remember(txn, remember, marks)?;
    }
    Ok(Applied::Whole)
}

fn usage(
    table: &impl ReadableTable<&'static [u8], (u64, u64)>,
    namespace: &Namespace,
) -> Result<Usage, redb::Error> {
    let usage = table.get(namespace.as_bytes())?.map(|usage| usage.value()).unwrap_or_default();
    Ok(Usage { bytes: usage.0, version: usage.1 })
}

fn file_error(action: &'static str, path: &Path, error: redb::Error) -> StateError {
    StateError::File { action, path: path.to_owned(), cause: Box::new(error) }
}
