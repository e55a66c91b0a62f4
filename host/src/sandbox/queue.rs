//! The bounded queue between the dispatcher and the threads that run guests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::event::Tenant;
use crate::sandbox::{Busy, GuestCall};

/// Calls that wait for a thread. A call counts as unanswered from its submission until its answer.
#[derive(Debug)]
pub(super) struct CallQueue {
    slots: usize,
    /// Unanswered calls of one tenant; no bound of its own when absent.
    tenant_slots: Option<usize>,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<GuestCall>,
    unanswered: usize,
    /// Counted only where tenants have a bound.
    unanswered_by_tenant: HashMap<Tenant, usize>,
    closed: bool,
}

impl CallQueue {
    /// A queue that takes `slots` unanswered calls, whoever makes them.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, tenant_slots: None, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A queue that takes `slots` unanswered calls, and `tenant_slots` of one tenant.
    pub(super) fn shared_out(slots: usize, tenant_slots: usize) -> Self {
        Self { tenant_slots: Some(tenant_slots), ..Self::new(slots) }
    }

    /// How many unanswered calls it takes.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Whether a tenant has a slot left among those that one tenant may take.
    pub(super) fn has_room_for(&self, tenant: &Tenant) -> bool {
        self.tenant_slots.is_none_or(|slots| self.lock().unanswered_of(tenant) < slots)
    }

    /// Adds a call. Never waits.
    ///
    /// # Errors
    /// When all slots are taken, in all or by its tenant, or the queue is closed.
    pub(super) fn push(&self, call: GuestCall) -> Result<(), Busy> {
        let mut state = self.lock();
        if state.closed || state.unanswered >= self.slots {
            return Err(Busy);
        }
        if let Some(slots) = self.tenant_slots {
            if state.unanswered_of(&call.tenant) >= slots {
                return Err(Busy);
            }
            *state.unanswered_by_tenant.entry(call.tenant.clone()).or_default() += 1;
        }
        state.unanswered += 1;
        state.waiting.push_back(call);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next call, if one waits.
    pub(super) fn try_pop(&self) -> Option<GuestCall> {
        let mut state = self.lock();
        if state.closed { None } else { state.waiting.pop_front() }
    }

    /// Waits for the next call. `None` when the queue is closed.
    pub(super) fn pop(&self) -> Option<GuestCall> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(call) = state.waiting.pop_front() {
                return Some(call);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the slot of a tenant's call back, just before its report is sent.
    pub(super) fn answered(&self, tenant: &Tenant) {
        let mut state = self.lock();
        state.unanswered -= 1;
        if self.tenant_slots.is_some()
            && let Some(unanswered) = state.unanswered_by_tenant.get_mut(tenant)
        {
            *unanswered -= 1;
            if *unanswered == 0 {
                state.unanswered_by_tenant.remove(tenant);
            }
        }
    }

    /// Takes no more calls and returns those that no thread took yet.
    pub(super) fn close(&self) -> VecDeque<GuestCall> {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        waiting
    }

    /// The state is whole between the methods, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn unanswered_of(&self, tenant: &Tenant) -> usize {
        self.unanswered_by_tenant.get(tenant).copied().unwrap_or_default()
    }
}
