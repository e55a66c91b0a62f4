//! The redb file: its tables, its format version, and transactions that name what they were for.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::InMemoryBackend;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StoreError, UserMeta};

/// Single numbers by name.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// Other single values by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Streams by id.
pub(super) const STREAMS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("streams");
/// Topics by stream and id.
pub(super) const TOPICS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("topics");
/// Users by id.
pub(super) const USERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("users");
/// Access tokens by user and name.
pub(super) const TOKENS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("tokens");
/// Groups by stream, topic and id.
pub(super) const GROUPS: TableDefinition<'_, (u32, u32, u32), &[u8]> = TableDefinition::new("groups");
/// Offsets by stream, topic, partition, kind of consumer and consumer.
pub(super) const OFFSETS: TableDefinition<'_, OffsetRow, u64> = TableDefinition::new("offsets");
/// Floors by stream, topic and partition.
pub(super) const FLOORS: TableDefinition<'_, (u32, u32, u32), u64> = TableDefinition::new("floors");

/// Floors at which logs went on after a loss of power, by stream, topic, partition and floor. Files that were made
/// before there was this table get it when they are opened.
pub(super) const SKIPS: TableDefinition<'_, (u32, u32, u32, u64), ()> = TableDefinition::new("skips");

/// Key of an offset in [`OFFSETS`].
pub(super) type OffsetRow = (u32, u32, u32, u8, u32);

const FILE_NAME: &str = "meta.redb";
const FORMAT_KEY: &str = "format";
const CHANGES_KEY: &str = "changes";
/// Format 2 has users and access tokens; format 1 had only the root user, as a setting.
pub(super) const FORMAT: u64 = 2;
const CACHE_BYTES: usize = 4 * 1024 * 1024;

const ROOT_KEY_OF_FORMAT_1: &str = "root";

/// The root user as format 1 kept it.
#[derive(serde::Deserialize)]
struct RootOfFormat1 {
    username: String,
    password_hash: String,
}

/// What a copy shows about the file it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// The format it has.
    pub(super) format: u64,
    /// Whether it was left in the middle of a change, which the next start undoes.
    pub(super) repaired: bool,
}

/// Runs `work`, which opens or reads a file that may hold anything. redb verifies what it has not finished, but
/// trusts what it finished, and panics when that is spoilt.
pub(super) fn guard<T>(
    data_dir: &Path,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // What `work` had in hand is gone with it, so nothing half-done is left to be seen.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(StoreError::Damaged { path: data_dir.join(FILE_NAME) }))
}

/// The open file.
#[derive(Debug)]
pub(super) struct Database {
    state: Mutex<State>,
    path: PathBuf,
}

/// redb answers nothing more after an operation of its file failed, so the file has to be opened anew then.
#[derive(Debug)]
enum State {
    Open {
        inner: redb::Database,
        /// Changes since the file was made, the last one included.
        changes: u64,
    },
    /// The file could not be opened again. The change with this number failed, as its caller was told.
    Broken { failed: u64 },
    /// A change that failed, as its caller was told, turned out to be there.
    Contradictory,
}

impl Database {
    /// Opens or creates the file and checks its format.
    pub(super) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE_NAME);
        let inner =
            open_file(&path).map_err(|error| StoreError::database("open the catalog", &path, error))?;
        Ok(Self::prepared(inner, path)?.0)
    }

    /// Reads the file into memory and opens that, repaired and migrated as [`Database::open`] would do it.
    pub(super) fn open_copy(data_dir: &Path) -> Result<(Self, Copied), StoreError> {
        let path = data_dir.join(FILE_NAME);
        let failed = |error: redb::Error| StoreError::database("read the catalog", &path, error);
        let bytes = std::fs::read(&path).map_err(|error| failed(redb::Error::Io(error)))?;
        let copy = InMemoryBackend::new();
        let filled = copy.set_len(bytes.len() as u64).and_then(|()| copy.write(0, &bytes));
        filled.map_err(|error| failed(redb::Error::Io(error)))?;
        let repaired = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&repaired);
        let mut inner = redb::Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_repair_callback(move |_| note.store(true, Ordering::Relaxed))
            .create_with_backend(copy)
            .map_err(|error| failed(error.into()))?;
        inner.check_integrity().map_err(|error| failed(error.into()))?;
        let (database, format) = Self::prepared(inner, path)?;
        Ok((database, Copied { format, repaired: repaired.load(Ordering::Relaxed) }))
    }

    /// Makes the tables or brings them up to date; answers the format that was found.
    fn prepared(inner: redb::Database, path: PathBuf) -> Result<(Self, u64), StoreError> {
        let changes =
            count_changes(&inner).map_err(|error| StoreError::database("open the catalog", &path, error))?;
        let database = Self { state: Mutex::new(State::Open { inner, changes }), path };
        let found = database.write("create the tables", |txn| {
            let mut counters = txn.open_table(COUNTERS)?;
            let found = counters.get(FORMAT_KEY)?.map(|format| format.value());
            txn.open_table(SKIPS)?;
            if found.is_none() {
                counters.insert(FORMAT_KEY, FORMAT)?;
                txn.open_table(META)?;
                txn.open_table(STREAMS)?;
                txn.open_table(TOPICS)?;
                txn.open_table(GROUPS)?;
                txn.open_table(OFFSETS)?;
                txn.open_table(FLOORS)?;
                txn.open_table(USERS)?;
                txn.open_table(TOKENS)?;
            }
            Ok(found)
        })?;
        match found {
            None | Some(FORMAT) => Ok((database, FORMAT)),
            Some(1) => database.migrate_from_1().map(|()| (database, 1)),
            Some(found) => Err(StoreError::UnknownFormat { path: database.path, found, known: FORMAT }),
        }
    }

    /// Makes the root user, which format 1 kept as a setting, the first of the users.
    fn migrate_from_1(&self) -> Result<(), StoreError> {
        let root: Option<RootOfFormat1> = self.value(ROOT_KEY_OF_FORMAT_1)?;
        let root = root.map(|root| UserMeta::root(root.username, root.password_hash));
        let value = root.map(|root| self.encode(&root)).transpose()?;
        self.write("migrate the catalog to format 2", |txn| {
            txn.open_table(TOKENS)?;
            let mut users = txn.open_table(USERS)?;
            if let Some(value) = &value {
                users.insert(0, value.as_slice())?;
            }
            txn.open_table(META)?.remove(ROOT_KEY_OF_FORMAT_1)?;
            txn.open_table(COUNTERS)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(())
        })
    }

    /// Runs `work` in a transaction that is on the disk when this returns. An error leaves everything as it was. When
    /// the file failed, it is opened anew, now or by the next call.
    pub(super) fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let failed = |error: redb::Error| StoreError::database(action, &self.path, error);
        let mut state = self.lock();
        let change = self.reopened(&mut state).map_err(failed)? + 1;
        let State::Open { inner, changes } = &mut *state else { return Err(failed(redb::Error::PreviousIo)) };
        let mut done = None;
        let run = || {
            let txn = inner.begin_write()?;
            done = Some(work(&txn)?);
            txn.open_table(COUNTERS)?.insert(CHANGES_KEY, change)?;
            Ok(txn.commit()?)
        };
        let outcome: Result<(), redb::Error> = run();
        match outcome {
            Ok(()) => *changes = change,
            Err(error) if is_latched(&error) => {
                *state = State::Broken { failed: change };
                // The failure may have come after the change was on the disk.
                let is_there = self.open_again().is_ok_and(|(inner, changes)| {
                    *state = State::Open { inner, changes };
                    changes == change
                });
                if !is_there {
                    return Err(failed(error));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        done.ok_or_else(|| failed(redb::Error::PreviousIo))
    }

    /// Runs `work` on an unchanging view.
    pub(super) fn read<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let failed = |error: redb::Error| StoreError::database(action, &self.path, error);
        let mut state = self.lock();
        self.reopened(&mut state).map_err(failed)?;
        let State::Open { inner, .. } = &*state else { return Err(failed(redb::Error::PreviousIo)) };
        let run = || work(&inner.begin_read()?);
        run().map_err(failed)
    }

    /// Opens the file again if it failed; answers the number of the last change.
    fn reopened(&self, state: &mut State) -> Result<u64, redb::Error> {
        match *state {
            State::Open { changes, .. } => Ok(changes),
            State::Broken { failed } => {
                let (inner, changes) = self.open_again()?;
                if changes == failed {
                    *state = State::Contradictory;
                    return Err(contradiction());
                }
                tracing::warn!(path = %self.path.display(), "the disk works again, the catalog is open");
                *state = State::Open { inner, changes };
                Ok(changes)
            }
            State::Contradictory => Err(contradiction()),
        }
    }

    fn open_again(&self) -> Result<(redb::Database, u64), redb::Error> {
        let inner = open_file(&self.path)?;
        let changes = count_changes(&inner)?;
        Ok((inner, changes))
    }

    /// The state is replaced as a whole, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A single number; zero when it was never stored.
    pub(super) fn counter(&self, key: &str) -> Result<u64, StoreError> {
        self.read("read a counter", |txn| {
            Ok(txn.open_table(COUNTERS)?.get(key)?.map_or(0, |value| value.value()))
        })
    }

    /// A single value.
    pub(super) fn value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let bytes = self.read("read a setting", |txn| {
            Ok(txn.open_table(META)?.get(key)?.map(|value| value.value().to_vec()))
        })?;
        bytes.map(|bytes| self.decode(&bytes)).transpose()
    }

    /// Stores a single value.
    pub(super) fn put_value<T: Serialize>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        let bytes = self.encode(value)?;
        self.write("store a setting", |txn| {
            txn.open_table(META)?.insert(key, bytes.as_slice())?;
            Ok(())
        })
    }

    /// All values of a table of encoded values, in the order of keys.
    pub(super) fn all<K, T>(&self, table: TableDefinition<'_, K, &[u8]>) -> Result<Vec<T>, StoreError>
    where
        K: redb::Key + 'static,
        T: DeserializeOwned,
    {
        let rows = self.read("read the catalog", |txn| {
            let table = txn.open_table(table)?;
            table.iter()?.map(|row| Ok(row?.1.value().to_vec())).collect::<Result<Vec<_>, redb::Error>>()
        })?;
        rows.iter().map(|bytes| self.decode(bytes)).collect()
    }

    /// A value as stored.
    pub(super) fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|source| self.undecodable(source))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|source| self.undecodable(source))
    }

    fn undecodable(&self, source: postcard::Error) -> StoreError {
        StoreError::Value { path: self.path.clone(), source }
    }
}

fn open_file(path: &Path) -> Result<redb::Database, redb::Error> {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    #[cfg(test)]
    if crate::log::file::fault::is_recording() {
        return Ok(builder.create_with_backend(super::recorded::Recorded::open(path)?)?);
    }
    Ok(builder.create(path)?)
}

/// Zero in a file that is new, or that an older version made.
fn count_changes(inner: &redb::Database) -> Result<u64, redb::Error> {
    match inner.begin_read()?.open_table(COUNTERS) {
        Ok(counters) => Ok(counters.get(CHANGES_KEY)?.map_or(0, |changes| changes.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Whether redb answers nothing more after this error.
fn is_latched(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo)
}

fn contradiction() -> redb::Error {
    let text = "a change that failed is on the disk all the same, start the broker again";
    redb::Error::Io(std::io::Error::other(text))
}
