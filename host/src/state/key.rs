//! The keys under which state and done-marks are kept. Nobody can choose parts that reach into another's range.
//!
//! Each part but the last is framed: its length as four big-endian bytes, then the part. So no key of one range is the
//! beginning of another range's keys, and keys of a range are ordered by their last part.

/// The range of one handler and tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Namespace(Vec<u8>);

/// The range of a handler's done-marks for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MarkPlace(Vec<u8>);

/// The range of what a handler remembers of a tenant's events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeenPlace(Vec<u8>);

/// The done-mark of one event in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MarkId {
    /// Handler and partition.
    pub(crate) place: MarkPlace,
    /// Offset of the event.
    pub(crate) offset: u64,
    /// Which event it is, where a broker minted the offset twice.
    pub(crate) event: u128,
}

impl Namespace {
    /// The range of a handler and tenant.
    pub(crate) fn new(tenant: &str, handler: &str) -> Self {
        Self(framed(&[tenant.as_bytes(), handler.as_bytes()]))
    }

    /// What every key of the range begins with.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The whole key of a guest's key.
    pub(crate) fn entry(&self, key: &str) -> Vec<u8> {
        [self.as_bytes(), key.as_bytes()].concat()
    }
}

impl MarkPlace {
    /// The range of a handler's marks for a partition.
    pub(crate) fn new(handler: &str, stream: &str, topic: &str, partition: u32) -> Self {
        let parts = [handler.as_bytes(), stream.as_bytes(), topic.as_bytes(), &partition.to_be_bytes()];
        Self(framed(&parts))
    }

    /// What every key of the range begins with.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first key of the range that an event at `offset` or later can have.
    pub(crate) fn lower_bound(&self, offset: u64) -> Vec<u8> {
        [self.as_bytes(), &offset.to_be_bytes()].concat()
    }
}

impl SeenPlace {
    /// The range of a handler and tenant.
    pub(crate) fn new(handler: &str, tenant: &str) -> Self {
        Self(framed(&[handler.as_bytes(), tenant.as_bytes()]))
    }

    /// The range that begins so.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// What the ranges of all tenants of a handler begin with.
    pub(crate) fn prefix(handler: &str) -> Vec<u8> {
        framed(&[handler.as_bytes()])
    }

    /// What every key of the range begins with.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl MarkId {
    /// Length of the last part of the key.
    pub(crate) const MEMBER_BYTES: usize = 24;

    /// The last part of the key: ordered by offset.
    pub(crate) fn member(&self) -> [u8; Self::MEMBER_BYTES] {
        let mut member = [0; Self::MEMBER_BYTES];
        let (offset, event) = member.split_at_mut(8);
        offset.copy_from_slice(&self.offset.to_be_bytes());
        event.copy_from_slice(&self.event.to_be_bytes());
        member
    }

    /// The whole key.
    pub(crate) fn entry(&self) -> Vec<u8> {
        [self.place.as_bytes(), &self.member()].concat()
    }
}

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // No message that carries a name is as long as this could count.
        framed.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        framed.extend_from_slice(part);
    }
    framed
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Short texts of few characters, the ones that frames are made of among them, so that they often nearly collide.
    fn text(random: &mut SmallRng) -> String {
        let characters = ['\0', '\u{1}', '\u{2}', 'a', 'b', '/', ':', '\u{ff}'];
        let length = random.random_range(0..5);
        (0..length).map(|_| characters[random.random_range(0..characters.len())]).collect()
    }

    #[test]
    fn no_two_triples_share_a_key_and_no_key_lies_in_the_range_of_another() {
        let mut random = SmallRng::seed_from_u64(7);
        let mut seen: HashMap<Vec<u8>, (String, String, String)> = HashMap::new();
        let mut namespaces: HashMap<Vec<u8>, (String, String)> = HashMap::new();
        for _ in 0..20_000 {
            let triple = (text(&mut random), text(&mut random), text(&mut random));
            let namespace = Namespace::new(&triple.0, &triple.1);
            let entry = namespace.entry(&triple.2);
            namespaces.insert(namespace.as_bytes().to_vec(), (triple.0.clone(), triple.1.clone()));
            assert_eq!(seen.entry(entry).or_insert_with(|| triple.clone()), &triple);
        }
        for (entry, (tenant, handler, _)) in &seen {
            // A range holds exactly the keys that begin with it.
            let ranges = (0..=entry.len()).filter_map(|end| namespaces.get(&entry[..end]));
            assert_eq!(ranges.collect::<Vec<_>>(), [&(tenant.clone(), handler.clone())]);
        }
    }

    #[test]
    fn marks_are_ordered_by_offset_within_their_place() {
        let place = MarkPlace::new("totals", "rustok", "domain", 3);
        let mark = |offset, event| MarkId { place: place.clone(), offset, event };
        assert!(mark(255, u128::MAX).entry() < mark(256, 0).entry());
        assert!(mark(255, u128::MAX).entry() < place.lower_bound(256));
        assert!(place.lower_bound(256) <= mark(256, 0).entry());
        let other = MarkPlace::new("totals", "rustok", "domain", 4);
        assert!(!mark(u64::MAX, u128::MAX).entry().starts_with(other.as_bytes()));
        assert_ne!(MarkPlace::new("a", "bc", "d", 1), MarkPlace::new("ab", "c", "d", 1));
    }
}
