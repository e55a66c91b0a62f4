//! The file of the database as tests see it: each operation can fail on demand and is written down.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use redb::StorageBackend;

use crate::log::file::{self, fault};

/// A file behind the seam of the log.
#[derive(Debug)]
pub(super) struct Recorded(File);

impl Recorded {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        file::open_for_writing(path).map(Self)
    }
}

impl StorageBackend for Recorded {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fault::shorten(&self.0, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        file::sync_data(&self.0)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        file::rewrite(&self.0, offset, data)
    }
}
