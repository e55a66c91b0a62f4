//! The few file operations of the log, of which the store uses some: one write per record, exact reads, and directories made durable.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::LogError;

#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod fault;

#[cfg(test)]
pub(crate) use fault::{open_for_writing, rewrite, sync_data, sync_names};
#[cfg(test)]
pub(super) use fault::{remove, replace, shorten, write_some};

/// Writes `parts` one behind the other from `position` on. One system call unless the operating system takes less
/// than all of it.
pub(super) fn write_at(file: &File, mut position: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty ones count for nothing written.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match write_some(file, position, parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
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
    sync_names(dir).map_err(LogError::io("sync directory", dir))
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
fn write_some(file: &File, position: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, parts, position)?)
}

/// Cuts `file` to `length` bytes.
#[cfg(not(test))]
pub(super) fn shorten(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

/// Waits until the contents of `file` are on the disk.
#[cfg(not(test))]
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the names in a directory durable.
#[cfg(not(test))]
pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Opens a file for reading and for writing anywhere in it, creating it when missing.
#[cfg(not(test))]
pub(crate) fn open_for_writing(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Writes over what a file holds at `position`.
#[cfg(not(test))]
pub(crate) fn rewrite(file: &File, position: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, position)
}

/// Makes `content` all that a file holds. It is on the disk at some time, perhaps in part until then.
#[cfg(not(test))]
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    std::fs::write(path, content)
}

/// Removes a file.
#[cfg(not(test))]
pub(super) fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}
