//! The group of transactions that go to the disk together: whoever writes next takes along all that wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::state::{Applied, Transaction};

/// Transactions that wait, and whether somebody writes.
#[derive(Debug, Default)]
pub(super) struct Group {
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Arc<Pending>>,
    is_writing: bool,
}

/// The right to write, until it is dropped.
struct Writing<'a>(&'a Group);

/// One transaction on its way.
#[derive(Debug)]
pub(super) struct Pending {
    transaction: Transaction,
    outcome: OnceLock<Result<Applied, Failed>>,
}

/// The group of a transaction could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failed {
    /// The file could not be written.
    #[error(transparent)]
    File(Arc<redb::Error>),
    /// The thread that wrote the group panicked.
    #[error("the thread that wrote it stopped")]
    Stopped,
}

impl Pending {
    /// What is to be applied.
    pub(super) fn transaction(&self) -> &Transaction {
        &self.transaction
    }
}

impl Group {
    /// Waits until a transaction is written, by this thread or another one. `write` applies a group, in its order, and
    /// tells what became of each. The number of threads bounds the group.
    pub(super) fn apply(
        &self,
        transaction: Transaction,
        write: impl FnOnce(&[Arc<Pending>]) -> Result<Vec<Applied>, redb::Error>,
    ) -> Result<Applied, Failed> {
        let pending = Arc::new(Pending { transaction, outcome: OnceLock::new() });
        let mut state = self.lock();
        state.waiting.push(Arc::clone(&pending));
        while state.is_writing {
            state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = pending.outcome.get() {
                return outcome.clone();
            }
        }
        state.is_writing = true;
        let group = std::mem::take(&mut state.waiting);
        drop(state);
        let writing = Writing(self);
        settle(&group, write(&group));
        drop(writing);
        // Without an outcome when it was in the group of a thread that stopped.
        pending.outcome.get().cloned().unwrap_or(Err(Failed::Stopped))
    }

    /// The state is whole between two statements, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.lock().is_writing = false;
        self.0.written.notify_all();
    }
}

fn settle(group: &[Arc<Pending>], written: Result<Vec<Applied>, redb::Error>) {
    let outcomes: Vec<Result<Applied, Failed>> = match written {
        Ok(applied) => applied.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = Arc::new(error);
            group.iter().map(|_| Err(Failed::File(Arc::clone(&error)))).collect()
        }
    };
    for (pending, outcome) in group.iter().zip(outcomes) {
        // Nobody else has this group, so it has no outcome yet.
        drop(pending.outcome.set(outcome));
    }
}
