//! The long-lived threads and tasks of a broker or a host, and which of them died. A task that panics ends without a word
//! to those who wait for its work; this makes its end known.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The workers of one broker or host. Clones share what is known.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<Mutex<BTreeSet<String>>>);

/// One thread or task while it works. Dropping it in a panic makes the death known; dropping it otherwise is an orderly
/// end.
#[derive(Debug)]
#[must_use = "a worker is watched while this exists"]
pub struct Worker {
    workers: Workers,
    name: String,
}

impl Workers {
    /// Watches the thread or task that keeps what this returns until its end.
    pub fn watch(&self, name: impl Into<String>) -> Worker {
        Worker { workers: self.clone(), name: name.into() }
    }

    /// Runs a future as a worker of this name. Dropping the future is an orderly end.
    pub fn run<F: Future + Send>(
        &self,
        name: &str,
        work: F,
    ) -> impl Future<Output = F::Output> + Send + use<F> {
        let worker = self.watch(name);
        async move {
            let _worker = worker;
            work.await
        }
    }

    /// Notes that a worker died.
    pub fn note_death(&self, name: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
    }

    /// The names of those that died, in order. None of them works again before the next start.
    pub fn died(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if thread::panicking() {
            self.workers.note_death(std::mem::take(&mut self.name));
        }
    }
}

/// Does something whose panic must not reach the caller, such as a log call where the program's subscriber may be broken.
/// Returns nothing after a panic, which the panic hook has told.
pub fn survive<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_death_and_an_end_is_none() {
        let workers = Workers::default();
        for name in ["first", "second"] {
            let worker = workers.watch(name);
            let ended = thread::spawn(move || {
                let _worker = worker;
                assert!(name != "second", "this one dies");
            });
            assert_eq!(ended.join().is_err(), name == "second");
        }
        assert_eq!(workers.died(), ["second"]);
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_has_not_died() {
        let workers = Workers::default();
        let waiting = tokio::spawn(workers.run("waiting", std::future::pending::<()>()));
        let dying = tokio::spawn(workers.run("dying", async { panic!("this one dies") }));
        waiting.abort();
        assert!(waiting.await.is_err());
        let _: tokio::task::JoinError = dying.await.unwrap_err();
        assert_eq!(workers.died(), ["dying"]);
    }

    #[test]
    fn who_survives_goes_on() {
        assert_eq!(survive(|| 1), Some(1));
        assert_eq!(survive(|| -> u8 { panic!("nobody hears this") }), None);
    }
}
