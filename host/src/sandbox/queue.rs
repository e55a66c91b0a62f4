//! The bounded queue between the dispatcher and the threads that run guests.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::sandbox::{Busy, GuestCall};

/// Calls that wait for a thread. A call counts as unanswered from its submission until its answer.
#[derive(Debug)]
pub(super) struct CallQueue {
    slots: usize,
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<GuestCall>,
    unanswered: usize,
    closed: bool,
}

impl CallQueue {
    /// A queue that takes `slots` unanswered calls.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, state: Mutex::default(), changed: Condvar::new() }
    }

    /// How many unanswered calls it takes.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Adds a call. Never waits.
    ///
    /// # Errors
    /// When all slots are taken or the queue is closed.
    pub(super) fn push(&self, call: GuestCall) -> Result<(), Busy> {
        let mut state = self.lock();
        if state.closed || state.unanswered >= self.slots {
            return Err(Busy);
        }
        state.unanswered += 1;
        state.waiting.push_back(call);
        drop(state);
        self.changed.notify_one();
        Ok(())
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

    /// Gives the slot of a call back, just before its report is sent.
    pub(super) fn answered(&self) {
        self.lock().unanswered -= 1;
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
