//! A host that runs beside whatever embeds it.

use std::ops::Deref;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Host, HostHandle, RunError, RunReport};

/// A host that runs in a task of its own. It is a [`HostHandle`], too.
///
/// Dropping it ends the host at once. Nothing is lost by that: what was not committed is read again by the next one.
#[derive(Debug)]
#[must_use = "dropping it ends the host"]
pub struct RunningHost {
    handle: HostHandle,
    task: JoinSet<Result<RunReport, RunError>>,
}

impl Host {
    /// Runs the host in a task until `stop` says true or its sender is gone, or until a handle says stop; then it
    /// drains as [`Host::run`] does. To be called in a Tokio runtime.
    pub fn spawn(self, mut stop: watch::Receiver<bool>) -> RunningHost {
        let handle = self.handle();
        let mut task = JoinSet::new();
        task.spawn(self.run(async move {
            // A sender that is gone cannot say stop any more: whoever held it has ended.
            drop(stop.wait_for(|stop| *stop).await);
        }));
        RunningHost { handle, task }
    }
}

impl RunningHost {
    /// A handle that outlives it.
    pub fn handle(&self) -> &HostHandle {
        &self.handle
    }

    /// Asks the host to drain within `deadline`, waits until it has ended, and tells what it did. Cancelling drops the
    /// host.
    ///
    /// # Errors
    /// When a task of the host had ended by itself, which is a fault of the host.
    pub async fn stop(mut self, deadline: Duration) -> Result<RunReport, RunError> {
        self.handle.stop(deadline).await;
        match self.task.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Err(RunError::Panicked(error)),
            // There is one task, and it is awaited here alone.
            None => Ok(RunReport { counters: self.handle.counters() }),
        }
    }
}

impl Deref for RunningHost {
    type Target = HostHandle;

    fn deref(&self) -> &HostHandle {
        &self.handle
    }
}
