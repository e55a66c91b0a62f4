//! The board between a dispatcher and a [`Keeper`](super::Keeper): which partitions are held, and what to read.
//!
//! The dispatcher writes and never waits; the keeper looks whenever it is between two requests. What stands here is
//! bounded by the partitions held and by the lanes that are released at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use guesthouse_connector::{Offset, PartitionId};
use tokio::sync::Notify;

use super::record::Owner;
use crate::dispatch::partitions::{AssignmentId, PartitionKey};
use crate::identity::LaneName;

/// Parked events to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) partition: PartitionKey,
    pub(crate) assignment: AssignmentId,
    pub(crate) lane: LaneName,
    /// Tells it from other fetches of the lane.
    pub(crate) number: u64,
    /// Offsets in the parked partition, in the order in which the events are to run.
    pub(crate) events: Vec<Offset>,
}

/// What a keeper is asked to do.
#[derive(Debug, Default)]
pub(crate) struct ParkedBoard {
    wishes: Mutex<Wishes>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    held: BTreeMap<PartitionId, (AssignmentId, Owner)>,
    fetches: VecDeque<Fetch>,
    look: Look,
}

/// Whether the ends of the parked partitions are worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Look {
    /// When it is time.
    #[default]
    InTime,
    /// At once, for something was written.
    Now,
}

impl ParkedBoard {
    /// A partition is held from now on: what is parked of it is to be read.
    pub(crate) fn hold(&self, partition: PartitionId, assignment: AssignmentId, owner: Owner) {
        self.wishes().held.insert(partition, (assignment, owner));
        self.changed.notify_one();
    }

    /// A partition is no longer held.
    pub(crate) fn let_go(&self, partition: PartitionId) {
        let mut wishes = self.wishes();
        wishes.held.remove(&partition);
        wishes.fetches.retain(|fetch| fetch.partition.partition != partition);
    }

    /// Asks for parked events.
    pub(crate) fn fetch(&self, fetch: Fetch) {
        self.wishes().fetches.push_back(fetch);
        self.changed.notify_one();
    }

    /// Says that something was written that is worth reading at once.
    pub(crate) fn look_now(&self) {
        self.wishes().look = Look::Now;
        self.changed.notify_one();
    }

    /// The partitions held.
    pub(super) fn held(&self) -> BTreeMap<PartitionId, (AssignmentId, Owner)> {
        self.wishes().held.clone()
    }

    /// The next events to read.
    pub(super) fn take_fetch(&self) -> Option<Fetch> {
        self.wishes().fetches.pop_front()
    }

    /// Whether to look at the ends now; forgets that it was asked.
    pub(super) fn take_look(&self) -> Look {
        std::mem::take(&mut self.wishes().look)
    }

    /// Waits until something on the board has changed since the last time. For one waiter.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        // Every change under the lock leaves it whole, so a panic cannot leave half of one.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
