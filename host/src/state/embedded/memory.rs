//! What handlers remember of events, in the tables of the file: an entry for each event, and its place in the order of
//! stamps.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::MARKS;
use crate::handler::HandlerName;
use crate::identity::EventKey;
use crate::state::key::{MarkId, SeenPlace};
use crate::state::seen::{Remember, Seen, split_entry};

/// Stamp and key of the done-mark, by [`entry`].
const SEEN: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("seen");
/// Event keys by [`stamped`].
const ORDER: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("seen order");
/// Number of events by place.
const COUNTS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("seen counts");

/// Length of a stamp.
const STAMP_BYTES: usize = 8;

/// Whether something was left that should be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    More,
}

/// What is too much in a place.
struct Surplus {
    /// So many of the oldest.
    events: u64,
    /// All that is stamped before.
    oldest: u64,
    /// Most that are forgotten at once.
    forgotten_max: usize,
}

/// Makes the tables.
pub(super) fn create(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(SEEN)?;
    txn.open_table(ORDER)?;
    txn.open_table(COUNTS)?;
    Ok(())
}

/// What is remembered of these events, in the same order.
pub(super) fn find(
    txn: &ReadTransaction,
    place: &SeenPlace,
    keys: &[EventKey],
) -> Result<Vec<Option<Seen>>, redb::Error> {
    let (seen, marks) = (txn.open_table(SEEN)?, txn.open_table(MARKS)?);
    let find = |key: &EventKey| {
        let Some(found) = seen.get(entry(place, *key).as_slice())? else { return Ok(None) };
        let Some((stamp, mark_key)) = found.value().split_first_chunk::<STAMP_BYTES>() else {
            return Ok(None);
        };
        let Some((_, _, identity)) = split_entry(mark_key) else { return Ok(None) };
        let mark = marks.get(mark_key)?.map(|mark| mark.value().to_vec());
        Ok(Some(Seen { stamp: u64::from_be_bytes(*stamp), identity, mark }))
    };
    keys.iter().map(find).collect()
}

/// Remembers events beside their marks, and forgets what is outside of the window then.
pub(super) fn remember(
    txn: &WriteTransaction,
    remember: &Remember,
    marks: &[(MarkId, Vec<u8>)],
) -> Result<(), redb::Error> {
    let Remember { place, keys, window, now_micros } = remember;
    let newest = {
        let order = txn.open_table(ORDER)?;
        let (first, last) = (stamped(place, 0), stamped(place, u64::MAX));
        let newest = order.range(first.as_slice()..=last.as_slice())?.next_back().transpose()?;
        newest.and_then(|(key, _)| stamp_of(key.value()))
    };
    let (mut stamp, mut added) = (remember.first_stamp(newest), 0);
    {
        let (mut seen, mut order) = (txn.open_table(SEEN)?, txn.open_table(ORDER)?);
        for (key, (id, _)) in keys.iter().zip(marks) {
            let value = [stamp.to_be_bytes().as_slice(), &id.entry()].concat();
            let before = seen.insert(entry(place, *key).as_slice(), value.as_slice())?;
            let before =
                before.and_then(|value| value.value().first_chunk().copied()).map(u64::from_be_bytes);
            match before {
                Some(before) => drop(order.remove(stamped(place, before).as_slice())?),
                None => added += 1,
            }
            order.insert(stamped(place, stamp).as_slice(), key.to_bytes().as_slice())?;
            stamp = stamp.saturating_add(1);
        }
    }
    let count = count(txn, place)?.saturating_add(added);
    txn.open_table(COUNTS)?.insert(place.as_bytes(), count)?;
    let surplus = Surplus {
        events: count.saturating_sub(window.events_max.into()),
        oldest: window.oldest(*now_micros),
        forgotten_max: remember.forgotten_max(),
    };
    forget_surplus(txn, place, &surplus)?;
    Ok(())
}

/// The places of a handler that have something stamped before `oldest`.
pub(super) fn outdated(
    txn: &ReadTransaction,
    handler: &HandlerName,
    oldest: u64,
) -> Result<Vec<SeenPlace>, redb::Error> {
    let (counts, order) = (txn.open_table(COUNTS)?, txn.open_table(ORDER)?);
    let prefix = SeenPlace::prefix(handler.as_str());
    let mut outdated = Vec::new();
    for row in counts.range(prefix.as_slice()..)? {
        let (place, _) = row?;
        if !place.value().starts_with(&prefix) {
            break;
        }
        let place = SeenPlace::from_bytes(place.value());
        let (first, end) = (stamped(&place, 0), stamped(&place, oldest));
        if order.range(first.as_slice()..end.as_slice())?.next().transpose()?.is_some() {
            outdated.push(place);
        }
    }
    Ok(outdated)
}

/// Forgets what is stamped before `oldest`, at most so many events.
pub(super) fn forget(
    txn: &WriteTransaction,
    place: &SeenPlace,
    oldest: u64,
    forgotten_max: usize,
) -> Result<Option<Left>, redb::Error> {
    let surplus = Surplus { events: 0, oldest, forgotten_max };
    forget_surplus(txn, place, &surplus).map(Some)
}

fn forget_surplus(txn: &WriteTransaction, place: &SeenPlace, surplus: &Surplus) -> Result<Left, redb::Error> {
    let (mut seen, mut order) = (txn.open_table(SEEN)?, txn.open_table(ORDER)?);
    let (first, last) = (stamped(place, 0), stamped(place, u64::MAX));
    let mut forgotten = 0;
    let left = loop {
        let next = order.range(first.as_slice()..=last.as_slice())?.next().transpose()?;
        let next = next.map(|(key, event)| (key.value().to_vec(), event.value().to_vec()));
        let Some((key, event)) = next else { break Left::Nothing };
        let is_outdated = stamp_of(&key).is_none_or(|stamp| stamp < surplus.oldest);
        if forgotten >= surplus.events && !is_outdated {
            break Left::Nothing;
        }
        if forgotten >= surplus.forgotten_max as u64 {
            break Left::More;
        }
        order.remove(key.as_slice())?;
        seen.remove([place.as_bytes(), &event].concat().as_slice())?;
        forgotten += 1;
    };
    if forgotten > 0 {
        let count = count(txn, place)?.saturating_sub(forgotten);
        let mut counts = txn.open_table(COUNTS)?;
        match count {
            0 => drop(counts.remove(place.as_bytes())?),
            count => drop(counts.insert(place.as_bytes(), count)?),
        }
    }
    Ok(left)
}

fn count(txn: &WriteTransaction, place: &SeenPlace) -> Result<u64, redb::Error> {
    Ok(txn.open_table(COUNTS)?.get(place.as_bytes())?.map_or(0, |count| count.value()))
}

fn entry(place: &SeenPlace, key: EventKey) -> Vec<u8> {
    [place.as_bytes(), &key.to_bytes()].concat()
}

fn stamped(place: &SeenPlace, stamp: u64) -> Vec<u8> {
    [place.as_bytes(), &stamp.to_be_bytes()].concat()
}

fn stamp_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().copied().map(u64::from_be_bytes)
}
