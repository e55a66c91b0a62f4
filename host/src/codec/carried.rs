//! The headers of a message on another one that carries its event: a dead letter, a parked record, or the message that
//! brings the event again.

use std::collections::BTreeSet;

use guesthouse_connector::{HeaderEntry, HeaderKey, Headers, RawHeaders};

use super::headers::{
    CONTENT_TYPE, EVENT_ID, EVENT_TYPE, PARTITION_KEY, PROFILE, SCHEMA_VERSION, TENANT_ID, TRACEPARENT,
    TRACESTATE,
};

/// How many headers an event has lost on its way, since its producer published it.
pub(crate) const HEADERS_DROPPED: &str = "gh-headers-dropped";

/// Headers without which a codec may not be able to read the event; they find room before others.
const NEEDED: [&str; 9] = [
    CONTENT_TYPE,
    EVENT_ID,
    EVENT_TYPE,
    PARTITION_KEY,
    PROFILE,
    SCHEMA_VERSION,
    TENANT_ID,
    TRACEPARENT,
    TRACESTATE,
];

/// Headers with as many of another message as find room.
#[derive(Debug)]
pub(crate) struct CarriedHeaders {
    /// The headers. [`HEADERS_DROPPED`] is the sum of what was lost earlier and now.
    pub(crate) headers: Headers,
    /// How many found no room, or could not be read, now.
    pub(crate) dropped: u32,
}

/// Adds the headers of `source` that are `wanted` by name to `ours`, with the kinds of their keys and values. One that
/// finds no room is left out alone and counted; so is one whose key comes a second time, and all that cannot be read
/// at the end counts as one. What has the key of one of ours is replaced by that, and not counted.
pub(crate) fn carry(ours: Headers, source: &RawHeaders, wanted: impl Fn(&str) -> bool) -> CarriedHeaders {
    let keys: BTreeSet<HeaderKey> = ours.iter().map(|(key, _)| key.clone()).collect();
    let mut headers = ours;
    // Holds the room for the count while there may be one. Ours are few, so it is there.
    let mut is_counted = headers.insert(HEADERS_DROPPED, u32::MAX).is_ok();
    let (mut earlier, mut dropped) = (0_u32, 0_u32);
    let mut entries = source.entries();
    let (mut needed, mut others): (Vec<HeaderEntry<'_>>, Vec<HeaderEntry<'_>>) = (Vec::new(), Vec::new());
    for entry in entries.by_ref() {
        let name = entry.name();
        if name == HEADERS_DROPPED {
            earlier = earlier.saturating_add(count(&entry));
        } else if wanted(&name) {
            if NEEDED.contains(&&*name) { needed.push(entry) } else { others.push(entry) }
        }
    }
    for entry in needed.into_iter().chain(others) {
        let key = entry.key();
        if keys.contains(&key) {
            continue;
        }
        if headers.has(&key) || headers.insert(key, entry.value().to_value()).is_err() {
            dropped = dropped.saturating_add(1);
        }
    }
    if entries.unread_bytes() > 0 {
        dropped = dropped.saturating_add(1);
    }
    match earlier.saturating_add(dropped) {
        0 => drop(headers.remove(HEADERS_DROPPED)),
        sum => is_counted &= headers.insert(HEADERS_DROPPED, sum).is_ok(),
    }
    debug_assert!(is_counted, "our own headers are few and short");
    CarriedHeaders { headers, dropped }
}

/// What an earlier message says; nothing where somebody else wrote what is no count.
fn count(entry: &HeaderEntry<'_>) -> u32 {
    entry.value().to_string().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use guesthouse_connector::HeaderValue;

    use super::*;

    fn raw(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut raw = Vec::new();
        for (kind, bytes) in fields {
            raw.push(*kind);
            raw.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            raw.extend(*bytes);
        }
        raw
    }

    fn ours() -> Headers {
        let mut ours = Headers::new();
        ours.insert("gh-own", "own").unwrap();
        ours
    }

    #[test]
    fn what_codecs_need_finds_room_before_the_rest() {
        let mut source = Headers::new();
        while source.insert(format!("a{:0>200}", source.len()), "v".repeat(200)).is_ok() {}
        // The last ones in the order of keys.
        let last = format!("a{:0>200}", source.len() - 1);
        source.remove(&last);
        source.insert(TENANT_ID, "tenant").unwrap();
        source.insert(EVENT_TYPE, "order.placed").unwrap();
        let mut room = "z".to_owned();
        while source.insert(room.clone(), "v").is_ok() {
            room.push('z');
        }
        let carried = carry(ours(), &RawHeaders(source.encode()), |_| true);
        assert_eq!(carried.headers.get(TENANT_ID), Some(&"tenant".into()));
        assert_eq!(carried.headers.get(EVENT_TYPE), Some(&"order.placed".into()));
        assert!(carried.dropped > 0);
        let kept = carried.headers.len() - 2;
        assert_eq!(kept + usize::try_from(carried.dropped).unwrap(), source.len());
        assert_eq!(carried.headers.get(HEADERS_DROPPED), Some(&HeaderValue::U32(carried.dropped)));
    }

    #[test]
    fn what_was_lost_earlier_is_added() {
        let mut source = Headers::new();
        source.insert(HEADERS_DROPPED, 7_u32).unwrap();
        source.insert("own", "x").unwrap();
        let carried = carry(ours(), &RawHeaders(source.encode()), |_| true);
        assert_eq!(carried.dropped, 0);
        assert_eq!(carried.headers.get(HEADERS_DROPPED), Some(&HeaderValue::U32(7)));
        source.insert(HEADERS_DROPPED, "many").unwrap();
        let carried = carry(ours(), &RawHeaders(source.encode()), |_| true);
        assert_eq!(carried.headers.get(HEADERS_DROPPED), None);
    }

    #[test]
    fn a_key_that_comes_twice_and_an_end_that_cannot_be_read_are_counted() {
        let mut bytes = raw(&[(2, b"a"), (2, b"1"), (2, b"a"), (2, b"2"), (2, b"gh-own"), (2, b"theirs")]);
        let carry_all = |bytes: &[u8]| carry(ours(), &RawHeaders(Bytes::copy_from_slice(bytes)), |_| true);
        assert_eq!(carry_all(&bytes).dropped, 1);
        assert_eq!(carry_all(&bytes).headers.get("a"), Some(&"1".into()));
        assert_eq!(carry_all(&bytes).headers.get("gh-own"), Some(&"own".into()));
        // A length that reaches beyond the end.
        bytes.extend([2, 255, 0, 0, 0, b'x']);
        assert_eq!(carry_all(&bytes).dropped, 2);
        assert_eq!(carry_all(&bytes).headers.get(HEADERS_DROPPED), Some(&HeaderValue::U32(2)));
    }
}
