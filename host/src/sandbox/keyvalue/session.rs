//! A call's view of the state: what its events wrote so far, over what the store has.
//!
//! Writes stay here until the call ends. An event's own writes are kept apart until it is done, so that those of an
//! event that fails are forgotten whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{KeyResponse, StoreError};
use crate::outcome::LimitKind;
use crate::sandbox::GuestLimits;
use crate::sandbox::stop::GuestStop;
use crate::sandbox::text;
use crate::state::key::{MarkId, Namespace};
use crate::state::seen::Remember;
use crate::state::{PAGE_KEYS_MAX, StateError, StateStore, Transaction, Usage, WAIT_MAX};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Keys of the store whose sizes are remembered.
const KNOWN_MAX: usize = 4_096;
/// Writes of a call at which no further event of it runs.
const WRITES_FULL: usize = 65_536;

/// New values by key; `None` removes the key.
type Writes = BTreeMap<String, Option<Vec<u8>>>;
/// What a guest gets, unless it is stopped.
type Asked<T> = Result<Result<T, StoreError>, GuestStop>;

/// The state as the events of one call see it.
pub(in crate::sandbox) struct Session {
    store: Arc<dyn StateStore>,
    namespace: Namespace,
    limits: StateLimits,
    version: u64,
    /// Writes of the events that are done, and the bytes of all keys and values with them.
    kept: Writes,
    kept_bytes: u64,
    /// The same with those of the event that runs.
    staged: Writes,
    staged_bytes: u64,
    event: EventUse,
    /// Bytes of values in the store.
    known: HashMap<String, Option<u64>>,
}

#[derive(Debug, Clone, Copy)]
struct StateLimits {
    deadline: Duration,
    calls_max: u64,
    bytes_max: u64,
    stored_bytes_max: u64,
}

/// What the event that runs has used.
#[derive(Debug)]
struct EventUse {
    calls: u64,
    written_bytes: u64,
    end: Instant,
    waited: Duration,
}

impl EventUse {
    fn begin(deadline: Duration) -> Self {
        Self { calls: 0, written_bytes: 0, end: Instant::now() + deadline, waited: Duration::ZERO }
    }
}

impl Session {
    /// A view of a namespace that was opened just now.
    pub(super) fn new(
        store: Arc<dyn StateStore>,
        namespace: Namespace,
        limits: &GuestLimits,
        usage: Usage,
    ) -> Self {
        let limits = StateLimits {
            deadline: limits.deadline,
            calls_max: limits.state_calls_max.into(),
            bytes_max: limits.state_bytes_max,
            stored_bytes_max: limits.state_stored_bytes_max,
        };
        Self {
            store,
            namespace,
            limits,
            version: usage.version,
            kept: Writes::new(),
            kept_bytes: usage.bytes,
            staged: Writes::new(),
            staged_bytes: usage.bytes,
            event: EventUse::begin(limits.deadline),
            known: HashMap::new(),
        }
    }

    /// Begins an event and its deadline. What an earlier one wrote and did not keep is forgotten.
    pub(super) fn begin_event(&mut self) {
        self.staged.clear();
        self.staged_bytes = self.kept_bytes;
        self.event = EventUse::begin(self.limits.deadline);
    }

    /// Keeps what the event wrote.
    pub(super) fn keep_event(&mut self) {
        self.kept.append(&mut self.staged);
        self.kept_bytes = self.staged_bytes;
    }

    /// Whether so much is kept that it should be applied before another event runs.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= WRITES_FULL
    }

    /// All that is kept with the marks of its events; nothing when nothing was written and nothing is to be remembered.
    pub(super) fn into_transaction(
        self,
        marks: Vec<(MarkId, Vec<u8>)>,
        remember: Option<Remember>,
    ) -> Option<Transaction> {
        let Self { namespace, version, kept: writes, kept_bytes: bytes, .. } = self;
        if writes.is_empty() {
            return remember.map(|remember| Transaction::of_marks(namespace, marks, Some(remember)));
        }
        Some(Transaction { namespace, version: Some(version), bytes, writes, marks, remember })
    }

    /// Counts a call of the interface.
    pub(super) fn count_call(&mut self) -> Result<(), GuestStop> {
        self.event.calls += 1;
        within(LimitKind::StateCalls, self.event.calls, self.limits.calls_max)
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: String) -> Asked<Option<Vec<u8>>> {
        self.count_call()?;
        if let Err(error) = check(&key) {
            return Ok(Err(error));
        }
        if let Some(written) = self.written(&key) {
            return Ok(Ok(written.clone()));
        }
        let value = self.ask(|store, namespace, wait| store.get(namespace, &key, wait))?;
        self.remember(key, value.as_ref().map(|value| value.len() as u64));
        Ok(Ok(value))
    }

    /// Stages a new value for a key.
    pub(super) fn set(&mut self, key: String, value: Vec<u8>) -> Asked<()> {
        self.write(key, Some(value))
    }

    /// Stages the removal of a key.
    pub(super) fn delete(&mut self, key: String) -> Asked<()> {
        self.write(key, None)
    }

    /// Whether there is a value for a key.
    pub(super) fn exists(&mut self, key: &str) -> Asked<bool> {
        self.count_call()?;
        if let Err(error) = check(key) {
            return Ok(Err(error));
        }
        Ok(Ok(self.value_bytes(key)?.is_some()))
    }

    /// The keys after the one that a cursor names, in the order of their bytes.
    pub(super) fn list_keys(&mut self, cursor: Option<&str>) -> Result<KeyResponse, GuestStop> {
        self.count_call()?;
        let stored = self.ask(|store, namespace, wait| store.keys_after(namespace, cursor, wait))?;
        // Beyond the last key of a full page the store may have more, so what was written there is not listed yet.
        let last = if stored.len() < PAGE_KEYS_MAX { None } else { stored.last().cloned() };
        let mut keys: BTreeSet<String> = stored.into_iter().collect();
        let range: (Bound<&str>, Bound<&str>) = (
            cursor.map_or(Bound::Unbounded, Bound::Excluded),
            last.as_deref().map_or(Bound::Unbounded, Bound::Included),
        );
        if !is_empty(range) {
            let kept = self.kept.range::<str, _>(range);
            for (key, value) in kept.chain(self.staged.range::<str, _>(range)) {
                match value {
                    Some(_) => keys.insert(key.clone()),
                    None => keys.remove(key),
                };
            }
        }
        let is_cut = keys.len() > PAGE_KEYS_MAX;
        let keys: Vec<String> = keys.into_iter().take(PAGE_KEYS_MAX).collect();
        let cursor = if is_cut { keys.last().cloned() } else { last };
        Ok(KeyResponse { keys, cursor })
    }

    fn write(&mut self, key: String, value: Option<Vec<u8>>) -> Asked<()> {
        self.count_call()?;
        if let Err(error) = check(&key) {
            return Ok(Err(error));
        }
        let key_bytes = key.len() as u64;
        let entry_bytes = |value_bytes: Option<u64>| value_bytes.map_or(0, |bytes| key_bytes + bytes);
        let new_bytes = value.as_ref().map(|value| value.len() as u64);
        self.event.written_bytes += key_bytes + new_bytes.unwrap_or_default();
        within(LimitKind::StateBytes, self.event.written_bytes, self.limits.bytes_max)?;
        let (before, after) = (entry_bytes(self.value_bytes(&key)?), entry_bytes(new_bytes));
        let stored_bytes = (self.staged_bytes + after).saturating_sub(before);
        if after > before {
            within(LimitKind::StateStored, stored_bytes, self.limits.stored_bytes_max)?;
        }
        self.staged_bytes = stored_bytes;
        self.staged.insert(key, value);
        Ok(Ok(()))
    }

    /// What the events of this call wrote to a key.
    fn written(&self, key: &str) -> Option<&Option<Vec<u8>>> {
        self.staged.get(key).or_else(|| self.kept.get(key))
    }

    fn value_bytes(&mut self, key: &str) -> Result<Option<u64>, GuestStop> {
        if let Some(written) = self.written(key) {
            return Ok(written.as_ref().map(|value| value.len() as u64));
        }
        if let Some(known) = self.known.get(key) {
            return Ok(*known);
        }
        let bytes = self.ask(|store, namespace, wait| store.value_bytes(namespace, key, wait))?;
        self.remember(key.to_owned(), bytes);
        Ok(bytes)
    }

    fn remember(&mut self, key: String, value_bytes: Option<u64>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(key, value_bytes);
    }

    /// Asks the store within what is left of the deadline. When that passes without an answer, it is the fault of
    /// whoever took more of it: the store, or the guest that left it too little.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&dyn StateStore, &Namespace, Duration) -> Result<T, StateError>,
    ) -> Result<T, GuestStop> {
        let began = Instant::now();
        let left = self.event.end.saturating_duration_since(began);
        let answer = question(&*self.store, &self.namespace, left);
        self.event.waited += began.elapsed();
        answer.map_err(|error| match error {
            StateError::TimedOut { .. }
                if left < WAIT_MAX && self.event.waited * 2 < self.limits.deadline =>
            {
                GuestStop::Late
            }
            error => GuestStop::HostFault(unavailable(&error)),
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// A fault of the store, for people.
pub(super) fn unavailable(error: &StateError) -> String {
    text::reason(&format!("the state store is not available: {error}"))
}

fn check(key: &str) -> Result<(), StoreError> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => Err(StoreError::Other(format!("the key has {bytes} bytes, expected 1 to {KEY_BYTES_MAX}"))),
    }
}

fn within(limit: LimitKind, used: u64, allowed: u64) -> Result<(), GuestStop> {
    if used > allowed { Err(GuestStop::Limit { limit, used, allowed }) } else { Ok(()) }
}

/// A map refuses such ranges with a panic: a cursor may name a key beyond the last one.
fn is_empty(range: (Bound<&str>, Bound<&str>)) -> bool {
    matches!(range, (Bound::Excluded(first), Bound::Included(last)) if first >= last)
}

#[cfg(test)]
mod tests;
