//! The ledger of one partition: which events are settled, and the watermark below which all are.

use std::collections::VecDeque;

use guesthouse_connector::Offset;

/// Position of an event in its ledger, in the order of reading. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry(u64);

/// Which events of a partition were read, and which of them are settled.
///
/// Events enter in the order of their offsets and leave when all before them are settled too, so the cost per
/// event is constant and gaps in the offsets do no harm.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Events that were read and are not below the watermark, oldest first.
    open: VecDeque<OpenEvent>,
    /// Entry number of the front of `open`.
    front: u64,
    watermark: Option<Offset>,
    unsettled_events: usize,
    unsettled_bytes: usize,
}

/// Whose an event is, as the caller numbers its tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TenantSlot(pub(crate) usize);

#[derive(Debug)]
struct OpenEvent {
    offset: Offset,
    tenant: Option<TenantSlot>,
    bytes: usize,
    /// Deliveries and effects that must end before the event is settled.
    parts: u32,
    origin_micros: u64,
}

/// An event on its way into a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entering {
    pub(crate) offset: Offset,
    /// How many parts must be settled until the event is.
    pub(crate) parts: u32,
    pub(crate) bytes: usize,
    /// When its producer made it, in microseconds since 1970.
    pub(crate) origin_micros: u64,
}

impl Ledger {
    /// Enters an event that is settled when `parts` parts of it are. With no parts it is settled at once.
    pub(crate) fn enter(&mut self, event: Entering, tenant: Option<TenantSlot>) -> Entry {
        let Entering { offset, parts, bytes, origin_micros } = event;
        let entry = self.next();
        self.open.push_back(OpenEvent { offset, tenant, bytes, parts, origin_micros });
        self.unsettled_events += 1;
        self.unsettled_bytes += bytes;
        if parts == 0 {
            self.close(bytes);
        }
        entry
    }

    /// Records that one part of an event is settled, and tells what that made of the event.
    pub(crate) fn settle_part(&mut self, entry: Entry) -> Settled {
        let event =
            entry.0.checked_sub(self.front).and_then(|at| self.open.get_mut(usize::try_from(at).ok()?));
        let Some(event) = event.filter(|event| event.parts > 0) else {
            debug_assert!(false, "a part was settled twice");
            return Settled::InPart;
        };
        event.parts -= 1;
        if event.parts > 0 {
            return Settled::InPart;
        }
        let (bytes, origin_micros, tenant) = (event.bytes, event.origin_micros, event.tenant);
        self.close(bytes);
        Settled::Whole { origin_micros, bytes, tenant }
    }

    /// The highest offset up to which every event is settled; none when not even the first one is.
    pub(crate) fn watermark(&self) -> Option<Offset> {
        self.watermark
    }

    /// Events that were read and are not settled.
    pub(crate) fn unsettled_events(&self) -> usize {
        self.unsettled_events
    }

    /// Bytes of the events that were read and are not settled.
    pub(crate) fn unsettled_bytes(&self) -> usize {
        self.unsettled_bytes
    }

    /// The oldest event that is not settled, and when its producer made it, in microseconds since 1970.
    pub(crate) fn oldest(&self) -> Option<(Entry, u64)> {
        self.open.front().map(|event| (Entry(self.front), event.origin_micros))
    }

    /// The place that the next event gets.
    pub(crate) fn next(&self) -> Entry {
        Entry(self.front + self.open.len() as u64)
    }

    /// Bytes and tenant of each event that was read and is not settled.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (usize, Option<TenantSlot>)> {
        self.open.iter().filter(|event| event.parts > 0).map(|event| (event.bytes, event.tenant))
    }

    /// Events the ledger remembers: the unsettled ones and those settled above the watermark.
    pub(crate) fn remembered_events(&self) -> usize {
        self.open.len()
    }

    fn close(&mut self, bytes: usize) {
        self.unsettled_events -= 1;
        self.unsettled_bytes -= bytes;
        while let Some(event) = self.open.pop_front_if(|event| event.parts == 0) {
            self.watermark = Some(event.offset);
            self.front += 1;
        }
    }
}

/// What settling one part made of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Other parts are still open.
    InPart,
    /// The event is settled.
    Whole {
        /// When its producer made it, in microseconds since 1970.
        origin_micros: u64,
        /// Its bytes, as it entered.
        bytes: usize,
        /// Whose it is, as it entered.
        tenant: Option<TenantSlot>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: u64, parts: u32) -> Entering {
        Entering { offset: Offset(offset), parts, bytes: 5, origin_micros: 0 }
    }

    const WHOLE: Settled = Settled::Whole { origin_micros: 0, bytes: 5, tenant: None };

    #[test]
    fn the_watermark_waits_for_the_oldest() {
        let mut ledger = Ledger::default();
        let first = ledger.enter(event(10, 1), None);
        let second = ledger.enter(event(11, 1), None);
        let third = ledger.enter(event(14, 1), None);
        assert_eq!(ledger.settle_part(second), WHOLE);
        assert_eq!(ledger.watermark(), None);
        assert_eq!(ledger.unsettled_events(), 2);
        assert_eq!(ledger.remembered_events(), 3);
        ledger.settle_part(first);
        assert_eq!(ledger.watermark(), Some(Offset(11)));
        ledger.settle_part(third);
        assert_eq!(ledger.watermark(), Some(Offset(14)));
        assert_eq!((ledger.unsettled_events(), ledger.unsettled_bytes()), (0, 0));
    }

    #[test]
    fn an_event_is_settled_when_all_its_parts_are() {
        let mut ledger = Ledger::default();
        let entry = ledger.enter(event(0, 2), None);
        assert_eq!(ledger.settle_part(entry), Settled::InPart);
        assert_eq!(ledger.watermark(), None);
        assert_eq!(ledger.settle_part(entry), WHOLE);
        assert_eq!(ledger.watermark(), Some(Offset(0)));
    }

    #[test]
    fn an_event_without_parts_is_settled_in_its_turn() {
        let mut ledger = Ledger::default();
        let first = ledger.enter(event(0, 1), None);
        ledger.enter(event(1, 0), None);
        assert_eq!(ledger.watermark(), None);
        ledger.settle_part(first);
        assert_eq!(ledger.watermark(), Some(Offset(1)));
    }
}
