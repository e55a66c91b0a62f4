//! The bounded queue between the dispatcher and the threads that run guests.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_channel::{Receiver, Sender};

use crate::sandbox::tenancy::Tenancy;
use crate::sandbox::{Busy, GuestCall, Pool};

/// Calls that wait for a thread of one pool. A call counts as unanswered from its submission until its answer.
///
/// Nobody waits for a lock to hand over or to take a call: the ring between them has none (`concurrent-queue`), and
/// what is counted is counted in atomics. Only a thread that finds nothing to do enters itself in a list of sleepers.
#[derive(Debug)]
pub(super) struct CallQueue {
    pool: Pool,
    slots: usize,
    /// Unanswered calls of one tenant; no bound of its own when absent.
    tenant_slots: Option<usize>,
    unanswered: AtomicUsize,
    entry: Sender<GuestCall>,
    exit: Receiver<GuestCall>,
}

impl CallQueue {
    /// A queue that takes `slots` unanswered calls, whoever makes them.
    pub(super) fn new(pool: Pool, slots: usize) -> Self {
        let (entry, exit) = async_channel::bounded(slots.max(1));
        Self { pool, slots, tenant_slots: None, unanswered: AtomicUsize::new(0), entry, exit }
    }

    /// A queue that takes `slots` unanswered calls, and `tenant_slots` of one tenant.
    pub(super) fn shared_out(pool: Pool, slots: usize, tenant_slots: usize) -> Self {
        Self { tenant_slots: Some(tenant_slots), ..Self::new(pool, slots) }
    }

    /// How many unanswered calls it takes.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Whether a tenant has a slot left among those that one tenant may take.
    pub(super) fn has_room_for(&self, tenancy: &Tenancy) -> bool {
        self.tenant_slots.is_none_or(|slots| self.unanswered_of(tenancy).load(Ordering::Acquire) < slots)
    }

    /// Adds a call. Never waits.
    ///
    /// # Errors
    /// When all slots are taken, in all or by its tenant, or the queue is closed.
    pub(super) fn push(&self, call: GuestCall) -> Result<(), Busy> {
        count_up(&self.unanswered, self.slots)?;
        let slots = self.tenant_slots.unwrap_or(usize::MAX);
        if let Err(busy) = count_up(self.unanswered_of(&call.tenancy), slots) {
            self.unanswered.fetch_sub(1, Ordering::AcqRel);
            return Err(busy);
        }
        // There is room for all that is counted, so it refuses only when it is closed.
        self.entry.try_send(call).map_err(|refused| {
            self.answered(&refused.into_inner().tenancy);
            Busy
        })
    }

    /// The next call, if one waits.
    pub(super) fn try_pop(&self) -> Option<GuestCall> {
        self.exit.try_recv().ok()
    }

    /// Waits for the next call. `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<GuestCall> {
        self.exit.recv_blocking().ok()
    }

    /// Gives the slot of a tenant's call back, just before its report is sent.
    pub(super) fn answered(&self, tenancy: &Tenancy) {
        self.unanswered_of(tenancy).fetch_sub(1, Ordering::AcqRel);
        self.unanswered.fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes no more calls. Those that wait can still be taken.
    pub(super) fn close(&self) {
        self.entry.close();
    }

    /// Whether it takes no more calls.
    pub(super) fn is_closed(&self) -> bool {
        self.entry.is_closed()
    }

    fn unanswered_of<'a>(&self, tenancy: &'a Tenancy) -> &'a AtomicUsize {
        tenancy.unanswered().of(self.pool)
    }
}

fn count_up(counter: &AtomicUsize, max: usize) -> Result<(), Busy> {
    let more = |count: usize| (count < max).then(|| count.saturating_add(1));
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map(drop).map_err(|_| Busy)
}
