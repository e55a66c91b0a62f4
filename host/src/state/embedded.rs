//! The embedded state store: one redb file, of this process alone.
//!
//! A transaction is on the disk when it is applied. There is one writer at a time; readers never wait for it. Those
//! that wait to write go to the disk together, so that the disk's pace bounds groups and not transactions.
//!
//! redb answers nothing more once an operation of its file has failed. The file is closed then, and every call fails at
//! once until [`Mend::mend`] has opened it again and written to it.

mod file;
mod group;
mod memory;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::{Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use self::file::StateFile;
use self::group::{Group, Pending};
use self::memory::Left;
use super::{
    Applied, MarkId, MarkPlace, Namespace, Opened, PAGE_KEYS_MAX, Seen, SeenPlace, StateError, StateStore,
    Surroundings, Transaction, Usage,
};
use crate::handler::HandlerName;
use crate::identity::EventKey;
use crate::known_stores::KnownStores;
use crate::mender::Mend;
use crate::trouble::{About, Watch};

/// Values by [`Namespace::entry`].
const VALUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("values");
/// Bytes and version by namespace.
const USAGE: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("usage");
/// Done-marks by [`MarkId::entry`].
const MARKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("marks");
/// Marks that are forgotten in one transaction, so that guests' writes get their turn in between.
const FORGET_MARKS_MAX: usize = 10_000;

/// The store, whether its file is open or not.
#[derive(Debug)]
pub(super) struct EmbeddedStore {
    slot: RwLock<Slot>,
    path: PathBuf,
    group: Group,
    watch: Watch,
    surroundings: Surroundings,
}

/// Where the file is while it is open.
#[derive(Debug)]
enum Slot {
    Open(StateFile),
    /// It failed. Nothing but [`EmbeddedStore::mend`] opens it again.
    Closed,
}

impl EmbeddedStore {
    /// Opens or creates the file; only its owner may read it.
    pub(super) fn open(path: &Path, surroundings: Surroundings) -> Result<Self, StateError> {
        let about = About {
            cause: "state_unwritable",
            subject: format!("the state of handlers in {}", path.display()),
            consequence: "the events of handlers that keep state wait, and it is opened again until that works",
        };
        let (file, watch) = (StateFile::open(path)?, surroundings.troubles.watch(about));
        surroundings.note_opened(&KnownStores::name_of(path), file.label());
        let slot = RwLock::new(Slot::Open(file));
        Ok(Self { slot, path: path.to_owned(), group: Group::default(), watch, surroundings })
    }

    /// Runs `work` with the open file. When it fails the file is closed.
    fn with<T>(&self, work: impl FnOnce(&StateFile) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let Slot::Open(file) = &*slot else { return Err(closed()) };
        let (done, opened) = (work(file), file.opened());
        drop(slot);
        if let Err(error) = &done {
            self.close(opened, error);
        }
        done
    }

    /// Closes the file that failed, unless it was opened anew meanwhile.
    fn close(&self, failed: u64, error: &dyn std::fmt::Display) {
        let mut slot = self.slot.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*slot, Slot::Open(file) if file.opened() == failed) {
            *slot = Slot::Closed;
        }
        drop(slot);
        self.watch.fails(error);
    }

    /// Runs `work` on an unchanging view.
    fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let done = self.with(|file| work(&file.database().begin_read()?));
        done.map_err(|error| file_error("read", &self.path, error))
    }

    /// Runs `work` in a transaction that is on the disk when this returns; without a result nothing is changed.
    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&WriteTransaction) -> Result<Option<T>, redb::Error>,
    ) -> Result<Option<T>, StateError> {
        let done = self.with(|file| file.write(work));
        done.map_err(|error| file_error(action, &self.path, error))
    }

    /// Applies transactions, each whole or not at all, in one that is on the disk when this returns.
    fn apply_group(&self, group: &[Arc<Pending>]) -> Result<Vec<Applied>, redb::Error> {
        self.with(|file| {
            let mut txn = file.database().begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            let applied =
                group.iter().map(|pending| apply(&txn, pending.transaction())).collect::<Result<_, _>>()?;
            txn.commit()?;
            Ok(applied)
        })
    }
}

impl Mend for EmbeddedStore {
    fn is_failing(&self) -> bool {
        self.watch.is_failing()
    }

    /// Notices a file that was removed or replaced while it was open: what is written to it nobody finds again.
    fn check(&self) {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let gone = match &*slot {
            Slot::Open(file) if !file.is_at(&self.path) => Some(file.opened()),
            _ => None,
        };
        drop(slot);
        if let Some(opened) = gone {
            self.close(opened, &"the file was removed or replaced while it was open");
        }
    }

    fn mend(&self) {
        // Opened before the lock is taken, for that can take long. Nobody else opens the file while it is closed.
        if matches!(*self.slot.read().unwrap_or_else(PoisonError::into_inner), Slot::Closed) {
            let file = match StateFile::open(&self.path).and_then(|file| file.prove(&self.path)) {
                Ok(file) => file,
                Err(error) => return self.watch.fails(&error),
            };
            self.surroundings.note_opened(&KnownStores::name_of(&self.path), file.label());
            *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Slot::Open(file);
        }
        self.watch.works();
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

fn closed() -> redb::Error {
    let text = "it is closed since it failed, and will be opened again";
    redb::Error::Io(std::io::Error::other(text))
}

pub(super) fn file_error(action: &'static str, path: &Path, error: redb::Error) -> StateError {
    StateError::File { action, path: path.to_owned(), cause: Box::new(error) }
}
