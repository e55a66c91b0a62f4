//! What all connections share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalog::Catalog;
use crate::clock::steady_micros;
use crate::config::{BrokerConfig, EVERY_TOPIC, Limits};
use crate::data_dir::DataDir;
use crate::expiry::Expiry;
use crate::group::Groups;
use crate::partition::Repeats;
use crate::password::Gate;
use crate::peer::Peers;
use crate::root::Root;
use crate::store::{Store, StoreError};
use crate::user::Users;
use crate::wire::Refusal;

/// The broker without its sockets.
pub(crate) struct Engine {
    pub(crate) catalog: Catalog,
    pub(crate) store: Arc<Store>,
    pub(crate) users: Users,
    pub(crate) root: Root,
    pub(crate) gate: Gate,
    pub(crate) peers: Peers,
    pub(crate) limits: Limits,
    /// Topics in which nothing is taken for a retry.
    repeats_stored_in: BTreeSet<String>,
    pub(crate) started_at_micros: u64,
    /// When things may be dropped for their age.
    pub(crate) expiry: Expiry,
    groups: Mutex<Groups>,
    sessions: AtomicU64,
    faults: AtomicU64,
    /// Released when the last connection is gone, so that no other broker writes next to one of ours.
    pub(crate) data_dir: DataDir,
}

/// What outlives the process, opened.
pub(crate) struct Kept {
    pub(crate) data_dir: DataDir,
    pub(crate) store: Arc<Store>,
    pub(crate) catalog: Catalog,
    pub(crate) users: Users,
    pub(crate) root: Root,
}

impl Engine {
    pub(crate) fn new(kept: Kept, gate: Gate, config: &BrokerConfig) -> Self {
        let limits = config.limits.clone();
        let Kept { data_dir, store, catalog, users, root } = kept;
        let expiry = Expiry::open(data_dir.path(), catalog.newest_stamp());
        Self {
            expiry,
            catalog,
            store,
            users,
            root,
            gate,
            peers: Peers::default(),
            groups: Mutex::new(Groups::new(limits.hand_over_time_max)),
            limits,
            repeats_stored_in: config.repeats_stored_in.iter().cloned().collect(),
            started_at_micros: steady_micros(),
            sessions: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            data_dir,
        }
    }

    /// The number of a new session, never zero.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What becomes of messages that come again in a topic of this name.
    pub(crate) fn repeats_in(&self, topic: &str) -> Repeats {
        let stored = &self.repeats_stored_in;
        if stored.is_empty() || !(stored.contains(topic) || stored.contains(EVERY_TOPIC)) {
            return Repeats::Recognised;
        }
        Repeats::Stored
    }

    /// Counts a request that failed for a fault of this machine.
    pub(crate) fn note_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since the start.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The consumer groups. The lock is for a moment: no I/O and no waiting under it.
    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings everything to the disk and records that the broker stopped cleanly. No request may be running.
    pub(crate) async fn close(&self) -> Result<(), CloseError> {
        for topic in self.catalog.topics() {
            for partition in &topic.partitions {
                match partition.era() {
                    // Nothing of it is open.
                    Err(Refusal::Offline { .. }) => {}
                    era => partition.sync(era?).await?,
                }
            }
        }
        // Notes when the broker last ran. What could be dropped then waits for the next run.
        let _now = self.expiry.now_micros();
        Ok(self.store.mark_clean()?)
    }
}

/// The data could not be brought to the disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloseError {
    #[error(transparent)]
    Partition(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}
