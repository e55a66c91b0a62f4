//! Guests that wait for the next event of their component and tenant.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use foldhash::fast::RandomState;

use crate::event::Tenant;
use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;

/// Locks that the guests are shared out over: about as many as threads that run guests.
const SHARDS: usize = 16;
/// Most idle guests of a shard. Each takes four to six kernel mappings, of which a process has 65,530.
const GUESTS_MAX: usize = 256;
/// Most linear memory of a shard's idle guests together, touched or not.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Whom a guest serves: nobody else ever gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GuestKey {
    pub(super) component: ComponentId,
    pub(super) tenant: Tenant,
}

/// All idle guests, in shards with a lock and bounds each, so that a tenant seldom waits for another's lock, and its
/// guests make room for those of few others. The ones idle for longest go first.
#[derive(Debug, Default)]
pub(super) struct IdleGuests {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    /// Guests by whom they serve, each with the moment it became idle; the latest is the last.
    guests: HashMap<GuestKey, Vec<(u64, Guest)>>,
    /// Whom the guest that became idle at a moment serves.
    moments: BTreeMap<u64, GuestKey>,
    moment: u64,
    memory_bytes: u64,
}

impl IdleGuests {
    /// The guest that became idle last among those who serve `key`.
    pub(super) fn take(&self, key: &GuestKey) -> Option<Guest> {
        self.shard_of(key).take(key)
    }

    /// Keeps a guest for later. Guests that must go to make room are dropped before this returns.
    pub(super) fn keep(&self, guest: Guest) {
        let surplus = self.shard_of(guest.key()).keep(guest);
        // Out of the lock: dropping a guest unmaps its memory.
        drop(surplus);
    }

    /// Drops the guests of a component.
    pub(super) fn forget(&self, component: ComponentId) {
        for shard in &self.shards {
            let forgotten = lock(shard).forget(component);
            drop(forgotten);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).moments.len()).sum()
    }

    fn shard_of(&self, key: &GuestKey) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        lock(self.shards.get(hash).unwrap_or(first))
    }
}

/// A shard is whole between its methods, so a panic elsewhere leaves nothing half done.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn take(&mut self, key: &GuestKey) -> Option<Guest> {
        let guests = self.guests.get_mut(key)?;
        let (moment, guest) = guests.pop()?;
        if guests.is_empty() {
            self.guests.remove(key);
        }
        self.moments.remove(&moment);
        self.memory_bytes -= guest.memory_bytes();
        Some(guest)
    }

    fn keep(&mut self, guest: Guest) -> Vec<Guest> {
        self.moment += 1;
        self.memory_bytes += guest.memory_bytes();
        self.moments.insert(self.moment, guest.key().clone());
        self.guests.entry(guest.key().clone()).or_default().push((self.moment, guest));
        let mut surplus = Vec::new();
        while self.moments.len() > GUESTS_MAX || self.memory_bytes > MEMORY_BYTES_MAX {
            match self.take_oldest() {
                Some(guest) => surplus.push(guest),
                None => break,
            }
        }
        surplus
    }

    fn take_oldest(&mut self) -> Option<Guest> {
        let (moment, key) = self.moments.pop_first()?;
        let guests = self.guests.get_mut(&key)?;
        let position = guests.iter().position(|(other, _)| *other == moment)?;
        let (_, guest) = guests.remove(position);
        if guests.is_empty() {
            self.guests.remove(&key);
        }
        self.memory_bytes -= guest.memory_bytes();
        Some(guest)
    }

    fn forget(&mut self, component: ComponentId) -> Vec<Guest> {
        let keys: Vec<_> = self.guests.keys().filter(|key| key.component == component).cloned().collect();
        keys.iter().flat_map(|key| std::iter::from_fn(|| self.take(key)).collect::<Vec<_>>()).collect()
    }
}
