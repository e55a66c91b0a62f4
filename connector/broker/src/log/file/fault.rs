//! The file operations of the log and the store as tests see them: each can fail on demand and is written down, for the current
//! thread.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Which operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    None,
    /// The one after so many that succeed.
    Once(usize),
    /// That one and all after it.
    From(usize),
}

/// An operation that succeeded, or what the test wants to know about the time between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create(PathBuf),
    Write { path: PathBuf, position: u64, bytes: Vec<u8> },
    Shorten { path: PathBuf, length: u64 },
    Replace { path: PathBuf, bytes: Vec<u8> },
    Remove(PathBuf),
    Sync(PathBuf),
    SyncNames,
    Mark(Mark),
}

/// What was promised when a step was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// No offset from here on was given away.
    pub(crate) next_offset: u64,
    /// Messages below this one were acknowledged as synced.
    pub(crate) persisted_end: u64,
    /// Messages below this one may be gone on purpose.
    pub(crate) dropped_end: u64,
    /// What the store has reserved.
    pub(crate) floor: u64,
}

thread_local! {
    /// Bytes by which files can still grow before the disk is full.
    pub(crate) static DISK_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    pub(crate) static SHORTEN_FAILS: Cell<bool> = const { Cell::new(false) };
    pub(crate) static SYNC_FAILS: Cell<bool> = const { Cell::new(false) };
    pub(crate) static FAILING: Cell<Failing> = const { Cell::new(Failing::None) };
    /// Written down once a test has begun it; then nothing waits for the real disk.
    pub(crate) static STEPS: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
}

pub(crate) fn write_some(file: &File, position: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    may_fail()?;
    let left = DISK_LEFT.get();
    let written = match left {
        usize::MAX => rustix::io::pwritev(file, parts, position)?,
        left => {
            let part = parts.iter().find(|part| !part.is_empty()).unwrap();
            let held = usize::try_from(file.metadata()?.len().saturating_sub(position)).unwrap();
            let room = part.len().min(held + left);
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let written = file.write_at(&part[..room], position)?;
            DISK_LEFT.set(left - written.saturating_sub(held));
            written
        }
    };
    note(|| {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        bytes.truncate(written);
        Step::Write { path: path_of(file), position, bytes }
    });
    Ok(written)
}

/// Whether operations are being written down.
pub(crate) fn is_recording() -> bool {
    STEPS.with_borrow(Option::is_some)
}

pub(crate) fn shorten(file: &File, length: u64) -> io::Result<()> {
    may_fail()?;
    if SHORTEN_FAILS.get() {
        return Err(io::Error::other("cannot shorten"));
    }
    file.set_len(length)?;
    note(|| Step::Shorten { path: path_of(file), length });
    Ok(())
}

pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    may_fail()?;
    if SYNC_FAILS.get() {
        return Err(io::Error::other("cannot sync"));
    }
    if note(|| Step::Sync(path_of(file))) == Noted::No {
        file.sync_data()?;
    }
    Ok(())
}

pub(crate) fn sync_names(dir: &Path) -> io::Result<()> {
    may_fail()?;
    if note(|| Step::SyncNames) == Noted::No {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

pub(crate) fn open_for_writing(path: &Path) -> io::Result<File> {
    may_fail()?;
    let is_new = !path.exists();
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if is_new {
        note(|| Step::Create(path.to_owned()));
    }
    Ok(file)
}

pub(crate) fn rewrite(file: &File, position: u64, bytes: &[u8]) -> io::Result<()> {
    may_fail()?;
    file.write_all_at(bytes, position)?;
    note(|| Step::Write { path: path_of(file), position, bytes: bytes.to_owned() });
    Ok(())
}

pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    may_fail()?;
    std::fs::write(path, content)?;
    note(|| Step::Replace { path: path.to_owned(), bytes: content.to_owned() });
    Ok(())
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    may_fail()?;
    std::fs::remove_file(path)?;
    note(|| Step::Remove(path.to_owned()));
    Ok(())
}

/// Adds what the test knows to the steps.
pub(crate) fn mark(mark: Mark) {
    note(|| Step::Mark(mark));
}

/// Whether steps are being written down.
#[derive(PartialEq, Eq)]
enum Noted {
    Yes,
    No,
}

fn note(step: impl FnOnce() -> Step) -> Noted {
    STEPS.with_borrow_mut(|steps| match steps {
        Some(steps) => {
            steps.push(step());
            Noted::Yes
        }
        None => Noted::No,
    })
}

fn may_fail() -> io::Result<()> {
    let (next, fails) = match FAILING.get() {
        Failing::None => (Failing::None, false),
        Failing::Once(0) => (Failing::None, true),
        Failing::Once(left) => (Failing::Once(left - 1), false),
        Failing::From(0) => (Failing::From(0), true),
        Failing::From(left) => (Failing::From(left - 1), false),
    };
    FAILING.set(next);
    if fails { Err(io::Error::other("failed on demand")) } else { Ok(()) }
}

fn path_of(file: &File) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}
