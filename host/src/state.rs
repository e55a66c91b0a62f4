//! What handlers keep between events: one set of keys and values per handler and tenant, in a store that the host
//! opens once.
//!
//! What an event writes is applied with the done-mark of that event in one transaction. A redelivered event finds
//! its mark, and nothing is applied twice.

mod embedded;
pub(crate) mod forget;
pub(crate) mod key;
pub(crate) mod mark;
mod redis;
pub(crate) mod seen;

#[cfg(test)]
pub(crate) mod redis_server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use self::embedded::EmbeddedStore;
use self::key::{MarkId, MarkPlace, Namespace, SeenPlace};
use self::redis::RedisStore;
use self::seen::{Remember, Seen};
use guesthouse_broker::clock::steady_micros;

use crate::handler::HandlerName;
use crate::identity::EventKey;
use crate::known_stores::{Acquaintance, KnownStores, StoreLabel};
use crate::mender::Mend;
use crate::trouble::Troubles;

/// Keys that [`StateStore::keys_after`] returns at most.
pub(crate) const PAGE_KEYS_MAX: usize = 1_000;

/// Longest wait for a server.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);

/// Where the state of handlers is kept.
#[derive(Debug, Clone)]
pub enum StateSettings {
    /// In a file of this host alone.
    Embedded {
        /// The file. It and its directory are made when they are missing.
        path: PathBuf,
    },
    /// In a Redis server, which several hosts may share.
    Redis {
        /// `redis://[user:password@]host:port/database`
        url: SecretString,
        /// The file that the URL is read from, and read again when the server does not let the host in.
        url_file: Option<PathBuf>,
    },
}

impl StateSettings {
    /// The file, unless another is named.
    pub(crate) const DEFAULT_PATH: &'static str = "./data/state.redb";
}

impl Default for StateSettings {
    fn default() -> Self {
        Self::Embedded { path: PathBuf::from(Self::DEFAULT_PATH) }
    }
}

/// The state store cannot be opened, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file is another process's.
    #[error(
        "the state of handlers in {} is open in another process; give each host a file of its own, or let them share a Redis server",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by another version.
    #[error(
        "the state of handlers in {} has format {found}, this host knows format {known}; run the version that wrote it, or choose another file",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this host.
        known: u64,
    },
    /// The file cannot be used.
    #[error("cannot {action} the state of handlers in {}: {cause}; check the disk and the rights of the file", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL is none of a Redis server.
    #[error(
        "cannot read the URL of the state store: {cause}; expected redis://[user:password@]host:port/database"
    )]
    Url {
        /// What is wrong with it.
        cause: String,
    },
    /// The Redis server cannot be used.
    #[error(
        "cannot {action} the state of handlers in Redis at {server}: {cause}; check that the server runs and lets this host in"
    )]
    Redis {
        /// What was tried.
        action: &'static str,
        /// Its address, without secrets.
        server: String,
        /// What went wrong.
        cause: String,
    },
    /// The Redis server did not answer in time.
    #[error("cannot {action} the state of handlers in Redis at {server}: no answer within {waited:?}")]
    TimedOut {
        /// What was tried.
        action: &'static str,
        /// Its address, without secrets.
        server: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The thread that opened it panicked.
    #[error(
        "the state of handlers could not be opened: the thread that did so stopped; this is a fault of the host"
    )]
    Stopped,
    /// A done-mark cannot be read.
    #[error("the done-mark of an event is damaged: {cause}")]
    Mark {
        /// What is wrong with it.
        cause: String,
    },
}

/// Checks the URL of a Redis server, by the same code as opening it, without asking the server.
///
/// # Errors
/// [`StateError::Url`], which does not show the URL.
pub(crate) fn check_redis_url(url: &SecretString) -> Result<(), StateError> {
    redis::client(url.expose_secret()).map(drop)
}

/// How much is kept in a namespace, and how often it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Bytes of all keys and values.
    pub(crate) bytes: u64,
    /// Goes up with every transaction.
    pub(crate) version: u64,
}

/// A namespace at the beginning of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// How much is kept in it.
    pub(crate) usage: Usage,
    /// The done-marks that were asked for, in the same order.
    pub(crate) marks: Vec<Option<Vec<u8>>>,
}

/// What the events of one call change, all or nothing.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Where.
    pub(crate) namespace: Namespace,
    /// The version on which all of it is based; none when it only adds marks.
    pub(crate) version: Option<u64>,
    /// Bytes of all keys and values once it is applied.
    pub(crate) bytes: u64,
    /// New values by key; `None` removes the key.
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
    /// Done-marks of the events that are part of it.
    pub(crate) marks: Vec<(MarkId, Vec<u8>)>,
    /// The same events, where further copies of them are to be recognised.
    pub(crate) remember: Option<Remember>,
}

impl Transaction {
    /// One that changes no values.
    pub(crate) fn of_marks(
        namespace: Namespace,
        marks: Vec<(MarkId, Vec<u8>)>,
        remember: Option<Remember>,
    ) -> Self {
        Self { namespace, version: None, bytes: 0, writes: BTreeMap::new(), marks, remember }
    }
}

/// What became of a transaction that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is applied and lasts.
    Whole,
    /// Nothing of it is: the namespace was written to since the version that it is based on.
    Stale,
}

/// A store for the state of handlers. Its calls block the thread, and are made by the threads that run guests.
///
/// [`Self::open`] begins each call of a guest whose handler keeps marks, reads follow, and at most one [`Self::apply`]
/// ends it. Reads take at most about `wait`, and never longer than [`WAIT_MAX`]. [`Self::forget_marks`] and
/// [`Self::forget_seen`] are called now and then, from a thread for blocking work.
pub(crate) trait StateStore: Mend {
    /// Looks at a namespace and for done-marks.
    fn open(&self, namespace: &Namespace, marks: &[MarkId], wait: Duration) -> Result<Opened, StateError>;

    /// What is remembered of these events, in the same order.
    fn seen(
        &self,
        place: &SeenPlace,
        keys: &[EventKey],
        wait: Duration,
    ) -> Result<Vec<Option<Seen>>, StateError>;

    /// The value of a key.
    fn get(&self, namespace: &Namespace, key: &str, wait: Duration) -> Result<Option<Vec<u8>>, StateError>;

    /// Bytes of the value of a key.
    fn value_bytes(
        &self,
        namespace: &Namespace,
        key: &str,
        wait: Duration,
    ) -> Result<Option<u64>, StateError>;

    /// The next keys after one, or the first keys, in the order of their bytes; at most [`PAGE_KEYS_MAX`], and fewer
    /// only when there are no more.
    fn keys_after(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        wait: Duration,
    ) -> Result<Vec<String>, StateError>;

    /// Applies a transaction, whole or not at all. After an error either may be the case; its marks tell.
    fn apply(&self, transaction: Transaction) -> Result<Applied, StateError>;

    /// Forgets the done-marks of the events of a partition below an offset.
    fn forget_marks(&self, place: &MarkPlace, below: u64) -> Result<(), StateError>;

    /// Forgets what was stamped before `oldest`, of all tenants of a handler whose window has an age.
    fn forget_seen(&self, handler: &HandlerName, oldest: u64) -> Result<(), StateError>;
}

/// The time by the clock of the host, in microseconds since 1970. Marks are forgotten by it, so a leap of the wall
/// clock does not move it.
pub(crate) fn now_micros() -> u64 {
    steady_micros()
}

/// What a store tells of itself, and to whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Who hears when it fails.
    pub(crate) troubles: Troubles,
    /// Who knows which store was there before, where somebody does.
    pub(crate) known: Option<KnownStores>,
}

impl Surroundings {
    /// Says aloud when a store that was just opened is not the one that was there before.
    fn note_opened(&self, place: &str, label: StoreLabel) {
        let lost = match self.known.as_ref().map(|known| known.meet(place, label)) {
            Some(Ok(Acquaintance::Other)) => "is not the one that was there before, which is gone",
            Some(Ok(Acquaintance::Earlier)) => {
                "is an earlier one than was there before: a copy was put back, or writes were lost"
            }
            Some(Err(error)) => {
                tracing::warn!(place, %error, "cannot remember which state of handlers is used; should it be lost, nobody will notice");
                return;
            }
            Some(Ok(Acquaintance::First | Acquaintance::Same)) | None => return,
        };
        let lost = format!(
            "the state of handlers in {place} {lost}; handlers begin with what is in it, and events that they had handled may \
             be handled again"
        );
        tracing::warn!("{lost}; bring the old one back, or go on with this one");
        self.troubles.happened("state_lost", place, lost);
    }
}

/// Opens the store. Blocks until the file is checked or the server has answered.
///
/// # Errors
/// When the file cannot be used or the server does not let this host in.
pub(crate) fn open(
    settings: &StateSettings,
    surroundings: Surroundings,
) -> Result<Arc<dyn StateStore>, StateError> {
    Ok(match settings {
        StateSettings::Embedded { path } => Arc::new(EmbeddedStore::open(path, surroundings)?),
        StateSettings::Redis { url, url_file } => {
            Arc::new(RedisStore::open(url, url_file.clone(), surroundings)?)
        }
    })
}
