//! The data directory as a whole: who holds it, and what the holder tells other programs about itself.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::credentials::PASSWORD_FILE;

const LOCK_FILE: &str = "lock";
const NOTICE_FILE: &str = "broker.json";
/// A broker that was dropped or killed a moment ago, or a tool that just looks, lets go within this time.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another broker uses it.
    #[error(
        "data directory {} is in use by another broker; stop that one or choose another directory",
        path.display()
    )]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be created, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// A data directory held by this process. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
    /// Whether the log has said that the directory is gone.
    is_gone_told: AtomicBool,
}

/// The directory that was taken is not at its place any more: what is written now would be gone with the process.
#[derive(Debug, thiserror::Error)]
#[error(
    "somebody removed or replaced the data directory {} while the broker runs; put it back, or restart the broker to begin \
     with an empty one",
    path.display()
)]
pub(crate) struct DataDirGone {
    path: PathBuf,
}

impl DataDir {
    /// Creates the directory when missing, and takes it. Blocks for a moment when somebody else is letting go.
    pub(crate) fn take(path: &Path) -> Result<Self, DataDirError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { action, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("create data directory", path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open lock file", &lock_path))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    let taken = Self { path: path.to_owned(), lock, is_gone_told: AtomicBool::new(false) };
                    taken.withdraw_notice()?;
                    return Ok(taken);
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => return Err(DataDirError::Busy { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
            }
        }
    }

    /// Holds a directory that a broker made, without changing anything in it, so that none uses it meanwhile.
    /// `None` when one does.
    pub(crate) fn look_at(path: &Path) -> Result<Option<File>, DataDirError> {
        let lock_path = path.join(LOCK_FILE);
        let failed = |action| {
            let path = lock_path.clone();
            move |source| DataDirError::Io { action, path, source }
        };
        let lock = File::open(&lock_path).map_err(failed("open lock file"))?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock")(error)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on only while the directory that was taken is at its place. Open files of a directory that was removed can
    /// be written as before, so without this a broker would confirm what nobody can ever read again. Costs a look at
    /// one file, about a microsecond. The log says once that the directory is gone, and once that it is back.
    pub(crate) fn require_there(&self) -> Result<(), DataDirGone> {
        let is_there = self.is_there();
        if self.is_gone_told.swap(!is_there, Ordering::Relaxed) == is_there {
            let data_dir = self.path.display();
            if is_there {
                tracing::warn!(%data_dir, "the data directory is back; messages are taken again");
            } else {
                tracing::error!(%data_dir, "the data directory is gone; no message is taken until it is back");
            }
        }
        if is_there { Ok(()) } else { Err(DataDirGone { path: self.path.clone() }) }
    }

    /// Whether the file that was locked is the one that lies there.
    fn is_there(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = self.lock.metadata().map(identity);
        let there = fs::metadata(self.path.join(LOCK_FILE)).map(identity);
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }

    /// Takes back what a broker that was killed had told: this one will listen elsewhere, and not yet.
    fn withdraw_notice(&self) -> Result<(), DataDirError> {
        let path = self.path.join(NOTICE_FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(DataDirError::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// Tells other programs where the broker listens.
    pub(crate) fn announce(
        &self,
        address: SocketAddr,
        username: &str,
        password: PasswordPlace,
    ) -> Result<(), DataDirError> {
        let notice = Notice { address, username: username.to_owned(), password };
        let path = self.path.join(NOTICE_FILE);
        let unfinished = self.path.join("broker.json.new");
        let written = serde_json::to_vec_pretty(&notice)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&unfinished, text))
            .and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|source| DataDirError::Io { action: "write", path, source })
    }
}

/// Where the root password can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PasswordPlace {
    /// In the data directory.
    File,
    /// In the configuration of the program that embeds the broker.
    Configuration,
}

#[derive(Debug, Serialize, Deserialize)]
struct Notice {
    address: SocketAddr,
    username: String,
    password: PasswordPlace,
}

/// A broker that runs on a data directory, in this process or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningBroker {
    /// Where it listens.
    pub address: SocketAddr,
    /// Name of its root user.
    pub username: String,
    /// The file with the password. `None` when the password was configured: then the configuration has it.
    pub password_file: Option<PathBuf>,
}

/// The broker that holds this data directory now. `None` when nobody does, or it has not begun to listen.
pub fn running(data_dir: &Path) -> Option<RunningBroker> {
    let lock = File::open(data_dir.join(LOCK_FILE)).ok()?;
    if !matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let notice: Notice = serde_json::from_slice(&fs::read(data_dir.join(NOTICE_FILE)).ok()?).ok()?;
    let password_file = match notice.password {
        PasswordPlace::File => Some(data_dir.join(PASSWORD_FILE)),
        PasswordPlace::Configuration => None,
    };
    Some(RunningBroker { address: notice.address, username: notice.username, password_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_of_a_killed_broker_is_not_taken_for_its_successors() {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let killed = DataDir::take(dir.path()).unwrap();
        killed.announce(address, "iggy", PasswordPlace::File).unwrap();
        assert_eq!(running(dir.path()).map(|running| running.address), Some(address));
        drop(killed);
        assert_eq!(running(dir.path()), None, "nobody runs");
        let _successor = DataDir::take(dir.path()).unwrap();
        assert_eq!(running(dir.path()), None, "the successor does not listen yet");
    }
}
