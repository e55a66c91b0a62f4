//! What a handler remembers of the events of a tenant that it has handled, by what makes another copy of one the same.

use super::key::{MarkId, SeenPlace};
use crate::dedup::DedupWindow;
use crate::identity::EventKey;

/// An event that was handled before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When, in microseconds since 1970; later events of the tenant have later stamps.
    pub(crate) stamp: u64,
    /// Which copy of it was handled.
    pub(crate) identity: u128,
    /// The done-mark of that copy, unless its offset was committed long ago.
    pub(crate) mark: Option<Vec<u8>>,
}

/// Events to remember, and for how long.
#[derive(Debug)]
pub(crate) struct Remember {
    /// Where.
    pub(crate) place: SeenPlace,
    /// The events, in the order of the marks beside which they are written.
    pub(crate) keys: Vec<EventKey>,
    /// What is outside of it is forgotten, so much with each event that the rest stays bounded.
    pub(crate) window: DedupWindow,
    /// The time by the clock of the host, in microseconds since 1970.
    pub(crate) now_micros: u64,
}

impl Remember {
    /// Events that are forgotten at most when these are remembered; more wait for the next time.
    pub(super) fn forgotten_max(&self) -> usize {
        1_000 + 2 * self.keys.len()
    }

    /// The stamp of the first one, after that of the newest that is remembered.
    pub(super) fn first_stamp(&self, newest: Option<u64>) -> u64 {
        newest.map_or(self.now_micros, |newest| self.now_micros.max(newest.saturating_add(1)))
    }
}

/// What is kept beside the stamp: where the mark of the copy is.
pub(super) fn split_entry(entry: &[u8]) -> Option<(&[u8], &[u8; MarkId::MEMBER_BYTES], u128)> {
    let (place, member) = entry.split_last_chunk::<{ MarkId::MEMBER_BYTES }>()?;
    let (_, identity) = member.split_last_chunk::<16>()?;
    Some((place, member, u128::from_be_bytes(*identity)))
}
