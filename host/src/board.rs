//! The board between a dispatcher and one of its pollers: what to commit, what not to poll, when to stop.
//!
//! The dispatcher writes and never waits; the poller looks whenever it is between two requests. Newer commits
//! replace older ones, so the board stays as small as the number of partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use guesthouse_connector::{Offset, PartitionId};
use tokio::sync::Notify;

use crate::dispatch::partitions::{AssignmentId, Polling};

/// What a poller is asked to do.
#[derive(Debug, Default)]
pub(crate) struct Board {
    wishes: Mutex<Wishes>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Wishes {
    commits: BTreeMap<PartitionId, (AssignmentId, Offset)>,
    /// Shared with the poller, so that a look costs the same however many there are.
    paused: Arc<BTreeSet<PartitionId>>,
    phase: Phase,
    is_rejoin_due: bool,
}

/// How far a poller is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Phase {
    /// Polls and commits.
    #[default]
    Polling,
    /// Commits and keeps its membership, and reads nothing more.
    Draining,
    /// Commits what stands on the board, leaves the group and ends.
    Leaving,
}

impl Board {
    /// Asks for a commit.
    pub(crate) fn commit(&self, partition: PartitionId, assignment: AssignmentId, offset: Offset) {
        self.wishes().commits.insert(partition, (assignment, offset));
        self.changed.notify_one();
    }

    /// Takes the commits that are asked for.
    pub(crate) fn take_commits(&self) -> BTreeMap<PartitionId, (AssignmentId, Offset)> {
        std::mem::take(&mut self.wishes().commits)
    }

    /// Pauses or resumes the polling of a partition.
    pub(crate) fn set_polling(&self, partition: PartitionId, polling: Polling) {
        let mut wishes = self.wishes();
        match polling {
            Polling::Pause => Arc::make_mut(&mut wishes.paused).insert(partition),
            Polling::Go => Arc::make_mut(&mut wishes.paused).remove(&partition),
        };
        drop(wishes);
        self.changed.notify_one();
    }

    /// The partitions that must not be polled.
    pub(crate) fn paused(&self) -> Arc<BTreeSet<PartitionId>> {
        Arc::clone(&self.wishes().paused)
    }

    /// Has the poller leave the group and join it anew.
    pub(crate) fn rejoin(&self) {
        self.wishes().is_rejoin_due = true;
        self.changed.notify_one();
    }

    /// Whether the poller is to join anew; asked once.
    pub(crate) fn take_rejoin(&self) -> bool {
        std::mem::take(&mut self.wishes().is_rejoin_due)
    }

    /// Moves the poller towards its end. It never moves back.
    pub(crate) fn enter(&self, phase: Phase) {
        let mut wishes = self.wishes();
        wishes.phase = wishes.phase.max(phase);
        drop(wishes);
        self.changed.notify_one();
    }

    /// Where the poller stands.
    pub(crate) fn phase(&self) -> Phase {
        self.wishes().phase
    }

    /// Waits until something on the board has changed since the last time. For one waiter.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        // Every change under the lock is a single insert or remove, so a panic cannot leave half of one.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
