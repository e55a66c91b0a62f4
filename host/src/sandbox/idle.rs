//! Guests of one tenant that wait for the next event of their component.

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;

/// Most idle guests of a tenant. Each takes four to six kernel mappings, of which a process has 65,530.
const GUESTS_MAX: usize = 256;
/// Most linear memory of a tenant's idle guests together, touched or not.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Idle guests of a tenant by component, each with the moment it became idle. The ones idle for longest go first.
#[derive(Debug, Default)]
pub(super) struct IdleGuests {
    /// The latest is the last.
    guests: HashMap<ComponentId, Vec<(u64, Guest)>>,
    /// Whose guest became idle at a moment.
    moments: BTreeMap<u64, ComponentId>,
    memory_bytes: u64,
}

impl IdleGuests {
    /// The guest of a component that became idle last.
    pub(super) fn take(&mut self, component: ComponentId) -> Option<Guest> {
        let guests = self.guests.get_mut(&component)?;
        let (moment, guest) = guests.pop()?;
        if guests.is_empty() {
            self.guests.remove(&component);
        }
        self.moments.remove(&moment);
        self.memory_bytes -= guest.memory_bytes();
        Some(guest)
    }

    /// Keeps a guest that becomes idle at a moment no other has. Returns those that must go to make room.
    pub(super) fn keep(&mut self, guest: Guest, moment: u64) -> Vec<Guest> {
        self.memory_bytes += guest.memory_bytes();
        self.moments.insert(moment, guest.component());
        self.guests.entry(guest.component()).or_default().push((moment, guest));
        let mut surplus = Vec::new();
        while self.moments.len() > GUESTS_MAX || self.memory_bytes > MEMORY_BYTES_MAX {
            match self.take_oldest() {
                Some(guest) => surplus.push(guest),
                None => break,
            }
        }
        surplus
    }

    /// Takes the guests that are idle since a moment, or for longer.
    pub(super) fn take_up_to(&mut self, moment: u64) -> Vec<Guest> {
        let mut taken = Vec::new();
        while self.moments.first_key_value().is_some_and(|(first, _)| *first <= moment) {
            taken.extend(self.take_oldest());
        }
        taken
    }

    /// Takes all guests of a component.
    pub(super) fn take_all(&mut self, component: ComponentId) -> Vec<Guest> {
        std::iter::from_fn(|| self.take(component)).collect()
    }

    /// The moments at which its guests became idle, ascending.
    pub(super) fn moments(&self) -> impl Iterator<Item = u64> {
        self.moments.keys().copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.moments.len()
    }

    fn take_oldest(&mut self) -> Option<Guest> {
        let (moment, component) = self.moments.pop_first()?;
        let guests = self.guests.get_mut(&component)?;
        let position = guests.iter().position(|(other, _)| *other == moment)?;
        let (_, guest) = guests.remove(position);
        if guests.is_empty() {
            self.guests.remove(&component);
        }
        self.memory_bytes -= guest.memory_bytes();
        Some(guest)
    }
}
