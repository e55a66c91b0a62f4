//! The open file of the embedded store: opened or created, checked, and known by an id that it keeps for life.

use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, DatabaseError, Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::{MARKS, USAGE, VALUES, file_error, memory};
use crate::known_stores::StoreLabel;
use crate::state::StateError;

/// The version of all this, under [`FORMAT_KEY`], the id of the file, under [`ID_KEY`], and how often it was opened, under
/// [`OPENINGS_KEY`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Bytes that are written to see whether the disk takes any.
const PROOF: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("proof");

const FORMAT_KEY: &str = "format";
const FORMAT: u64 = 1;
const ID_KEY: &str = "id";
const OPENINGS_KEY: &str = "openings";
/// Memory for pages of the file.
const CACHE_BYTES: usize = 32 << 20;
/// As much as a large group of transactions writes.
const PROOF_BYTES: usize = 256 << 10;

/// Counts the files that were opened, so that a failure of an earlier one does not close a later one.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// A file that is open.
#[derive(Debug)]
pub(super) struct StateFile {
    database: Database,
    label: StoreLabel,
    /// Device and inode.
    place: (u64, u64),
    opened: u64,
}

impl StateFile {
    /// Opens or creates the file; only its owner may read it.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |error: redb::Error| file_error("open", path, error);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|error| failed(error.into()))?;
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| failed(error.into()))?;
        let metadata = file.metadata().map_err(|error| failed(error.into()))?;
        let database = match Database::builder().set_cache_size(CACHE_BYTES).create_file(file) {
            Ok(database) => database,
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(StateError::InUse { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        };
        let (place, opened) = ((metadata.dev(), metadata.ino()), OPENED.fetch_add(1, Ordering::Relaxed));
        let label = StoreLabel { id: 0, openings: None };
        let mut file = Self { database, label, place, opened };
        let (format, label) = file.write(prepare).map_err(failed)?.unwrap_or((0, label));
        if format != FORMAT {
            return Err(StateError::UnknownFormat { path: path.to_owned(), found: format, known: FORMAT });
        }
        file.label = label;
        Ok(file)
    }

    /// Writes some bytes and removes them again: the disk takes what guests write.
    pub(super) fn prove(self, path: &Path) -> Result<Self, StateError> {
        let written = self.write(|txn| {
            txn.open_table(PROOF)?.insert("bytes", vec![0x5a; PROOF_BYTES].as_slice())?;
            Ok(Some(()))
        });
        let removed = written.and_then(|_| {
            self.write(|txn| {
                txn.delete_table(PROOF)?;
                Ok(Some(()))
            })
        });
        removed.map_err(|error| file_error("write", path, error))?;
        Ok(self)
    }

    /// Runs `work` in a transaction that is on the disk when this returns; without a result nothing is changed.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Option<T>, redb::Error>,
    ) -> Result<Option<T>, redb::Error> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        let done = work(&txn)?;
        match done {
            Some(_) => txn.commit()?,
            None => txn.abort()?,
        }
        Ok(done)
    }

    /// What it holds.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Which file it is, and at which time of its life.
    pub(super) fn label(&self) -> StoreLabel {
        self.label
    }

    /// Another one for each time that a file was opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether a path still leads to it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == self.place)
    }
}

/// Makes what is missing, counts the opening, and answers the format and the label that were found or made.
fn prepare(txn: &WriteTransaction) -> Result<Option<(u64, StoreLabel)>, redb::Error> {
    txn.open_table(VALUES)?;
    txn.open_table(USAGE)?;
    txn.open_table(MARKS)?;
    memory::create(txn)?;
    let mut meta = txn.open_table(META)?;
    let format = meta.get(FORMAT_KEY)?.map_or(FORMAT, |format| format.value());
    meta.insert(FORMAT_KEY, format)?;
    let id = meta.get(ID_KEY)?.map_or_else(rand::random, |id| id.value());
    meta.insert(ID_KEY, id)?;
    let openings = meta.get(OPENINGS_KEY)?.map_or(0, |openings| openings.value()).saturating_add(1);
    meta.insert(OPENINGS_KEY, openings)?;
    Ok(Some((format, StoreLabel { id, openings: Some(openings) })))
}
