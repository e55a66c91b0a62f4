//! The few file operations of the log: one write per record, exact reads, and directories made durable.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::LogError;

#[cfg(test)]
pub(super) use fault::{shorten, sync_data, write_some};

/// Writes `head` and `body` behind the last byte of `file`, which must be open for appending. One system call
/// unless the operating system takes less than all of it.
pub(super) fn append(file: &File, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut parts = [IoSlice::new(head), IoSlice::new(body)];
    let mut left: &mut [IoSlice<'_>] = &mut parts;
    while !left.is_empty() {
        match write_some(file, left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads `length` bytes at `position` and puts them behind what `buffer` holds.
pub(super) fn read_into(file: &File, position: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    let held = buffer.len();
    buffer.resize(held.saturating_add(length), 0);
    let target = buffer.get_mut(held..).unwrap_or_default();
    file.read_exact_at(target, position).inspect_err(|_| buffer.truncate(held))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(LogError::io("sync directory", dir))
}

/// Creates a directory and its missing parents, each durable in the one above it.
pub(super) fn create_directory(dir: &Path) -> Result<(), LogError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_directory(parent)?;
    }
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(LogError::io("create directory", dir)(error))
        }
        _ => parent.map_or(Ok(()), sync_directory),
    }
}

#[cfg(not(test))]
fn write_some(mut file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    io::Write::write_vectored(&mut file, parts)
}

/// Cuts `file` to `length` bytes.
#[cfg(not(test))]
pub(super) fn shorten(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

/// Waits until the contents of `file` are on the disk.
#[cfg(not(test))]
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Failures on demand, for the current thread.
#[cfg(test)]
pub(super) mod fault {
    use std::cell::Cell;
    use std::fs::File;
    use std::io::{self, IoSlice, Write};

    thread_local! {
        /// Bytes that can still be written before the disk is full.
        pub(in crate::log) static DISK_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
        pub(in crate::log) static SHORTEN_FAILS: Cell<bool> = const { Cell::new(false) };
        pub(in crate::log) static SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
    }

    pub(in crate::log) fn write_some(mut file: &File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let left = DISK_LEFT.get();
        if left == usize::MAX {
            return file.write_vectored(parts);
        }
        if left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let part = parts.iter().find(|part| !part.is_empty()).unwrap();
        let written = file.write(&part[..part.len().min(left)])?;
        DISK_LEFT.set(left - written);
        Ok(written)
    }

    pub(in crate::log) fn shorten(file: &File, length: u64) -> io::Result<()> {
        if SHORTEN_FAILS.get() { Err(io::Error::other("cannot shorten")) } else { file.set_len(length) }
    }

    pub(in crate::log) fn sync_data(file: &File) -> io::Result<()> {
        if SYNC_FAILS.get() { Err(io::Error::other("cannot sync")) } else { file.sync_data() }
    }
}
