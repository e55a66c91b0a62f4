//! Things that clients call by number or by name.

use std::collections::{BTreeMap, HashMap};

use iggy_binary_protocol::WireIdentifier;

/// A set of things with a unique number and a unique name each, in the order of the numbers.
#[derive(Debug, Clone)]
pub(crate) struct Named<T> {
    by_id: BTreeMap<u32, T>,
    ids: HashMap<String, u32>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), ids: HashMap::new() }
    }
}

impl<T> Named<T> {
    /// Adds a thing, or replaces the one with this number. The name must be free or its own.
    pub(crate) fn insert(&mut self, id: u32, name: &str, thing: T) {
        self.ids.retain(|_, known| *known != id);
        self.ids.insert(name.to_owned(), id);
        self.by_id.insert(id, thing);
    }

    /// Takes a thing out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        self.ids.retain(|_, known| *known != id);
        self.by_id.remove(&id)
    }

    /// Finds a thing the way a client calls it.
    pub(crate) fn find(&self, identifier: &WireIdentifier) -> Option<&T> {
        match identifier {
            WireIdentifier::Numeric(id) => self.by_id.get(id),
            WireIdentifier::String(name) => self.by_id.get(self.ids.get(name.as_str())?),
        }
    }

    /// The number that goes with a name.
    pub(crate) fn id_of(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// All things, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_id.values()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> WireIdentifier {
        WireIdentifier::named(name).unwrap()
    }

    #[test]
    fn a_thing_is_found_by_number_and_by_name() {
        let mut named = Named::default();
        named.insert(4, "orders", 'o');
        assert_eq!(named.find(&WireIdentifier::numeric(4)), Some(&'o'));
        assert_eq!(named.find(&name("orders")), Some(&'o'));
        assert_eq!(named.find(&name("4")), None, "a name of digits is not a number");
    }

    #[test]
    fn renaming_frees_the_old_name() {
        let mut named = Named::default();
        named.insert(1, "old", 'x');
        named.insert(1, "new", 'x');
        assert_eq!((named.id_of("old"), named.id_of("new")), (None, Some(1)));
        assert_eq!(named.remove(1), Some('x'));
        assert_eq!((named.id_of("new"), named.len()), (None, 0));
    }
}
