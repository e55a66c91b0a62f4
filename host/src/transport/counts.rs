//! What a transport counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::TransportError;

/// Events that a transport published, and those that it did not.
#[derive(Debug, Default)]
pub(crate) struct TransportCounts {
    published: AtomicU64,
    failures: Mutex<BTreeMap<&'static str, u64>>,
}

impl TransportCounts {
    /// Events that the broker has confirmed.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Events that were not published, by stable code.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failing().clone()
    }

    /// Takes note of what became of the events of one call.
    pub(super) fn note(&self, results: &[Result<(), TransportError>]) {
        let published = results.iter().filter(|result| result.is_ok()).count();
        self.published.fetch_add(published as u64, Ordering::Relaxed);
        if published == results.len() {
            return;
        }
        let mut failures = self.failing();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            *failures.entry(error.stable_code()).or_default() += 1;
        }
    }

    fn failing(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // Every change under the lock is a single addition, so a panic cannot leave half of one.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
