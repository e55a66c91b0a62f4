//! Guests of one tenant that wait for the next event of their component.

use std::collections::BTreeMap;

use foldhash::HashMap;

use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;
use crate::sandbox::room::GuestRoom;

/// Idle guests of a tenant by component, each with the moment it became idle. The ones idle for longest go first.
#[derive(Debug, Default)]
pub(super) struct IdleGuests {
    /// The latest is the last.
    guests: HashMap<ComponentId, Vec<(u64, Guest)>>,
    /// Whose guest became idle at a moment.
    moments: BTreeMap<u64, ComponentId>,
    memory_bytes: u64,
    mappings: usize,
    /// Whether their tenant stands among those of whom guests can be taken.
    is_listed: bool,
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
        self.mappings -= guest.mappings();
        Some(guest)
    }

    /// Keeps a guest that becomes idle at a moment no other has. Returns those that must go to make room.
    pub(super) fn keep(&mut self, guest: Guest, moment: u64, room: &GuestRoom) -> Vec<Guest> {
        self.memory_bytes += guest.memory_bytes();
        self.mappings += guest.mappings();
        self.moments.insert(moment, guest.component());
        self.guests.entry(guest.component()).or_default().push((moment, guest));
        let mut surplus = Vec::new();
        while self.mappings > room.tenant_mappings_max || self.memory_bytes > room.tenant_bytes_max {
            match self.take_oldest() {
                Some(guest) => surplus.push(guest),
                None => break,
            }
        }
        surplus
    }

    /// Takes all guests of a component.
    pub(super) fn take_all(&mut self, component: ComponentId) -> Vec<Guest> {
        std::iter::from_fn(|| self.take(component)).collect()
    }

    /// When the one became idle that is idle for longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.moments.first_key_value().map(|(moment, _)| *moment)
    }

    /// Notes that their tenant stands among those of whom guests can be taken, or no longer. Returns what was so before.
    pub(super) fn list(&mut self, listed: bool) -> bool {
        std::mem::replace(&mut self.is_listed, listed)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.moments.len()
    }

    /// Takes the guest that is idle for longest.
    pub(super) fn take_oldest(&mut self) -> Option<Guest> {
        let (moment, component) = self.moments.pop_first()?;
        let guests = self.guests.get_mut(&component)?;
        let position = guests.iter().position(|(other, _)| *other == moment)?;
        let (_, guest) = guests.remove(position);
        if guests.is_empty() {
            self.guests.remove(&component);
        }
        self.memory_bytes -= guest.memory_bytes();
        self.mappings -= guest.mappings();
        Some(guest)
    }
}
