//! Guests that wait for the next event of their component and tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Tenant;
use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;

/// Most idle guests of the host. Each takes four to six kernel mappings, of which a process has 65,530.
const GUESTS_MAX: usize = 4096;
/// Most linear memory of all idle guests together, touched or not.
const MEMORY_BYTES_MAX: u64 = 8 << 30;

/// Whom a guest serves: nobody else ever gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GuestKey {
    pub(super) component: ComponentId,
    pub(super) tenant: Tenant,
}

/// All idle guests; the ones idle for longest make room for others.
#[derive(Debug, Default)]
pub(super) struct IdleGuests {
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
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
        self.lock().take(key)
    }

    /// Keeps a guest for later. Guests that must go to make room are dropped before this returns.
    pub(super) fn keep(&self, guest: Guest) {
        let surplus = self.lock().keep(guest);
        // Out of the lock: dropping a guest unmaps its memory.
        drop(surplus);
    }

    /// Drops the guests of a component.
    pub(super) fn forget(&self, component: ComponentId) {
        let forgotten = self.lock().forget(component);
        drop(forgotten);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().moments.len()
    }

    /// The pool is whole between its methods, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
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
