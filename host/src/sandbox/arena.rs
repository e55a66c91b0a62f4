//! A batch as guests get it: one arena of bytes and a flat index of ranges into it.

use crate::event::{Event, Tenant};
use crate::sandbox::{CallEvent, headers};

/// Words of the index per event.
const STRIDE: usize = 17;
/// The word of an absent value.
const ABSENT: u64 = u64::MAX;
/// Buffers that grew beyond this are given back.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// The two arguments of a batch call, built in the same memory each time.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    index: Vec<u64>,
}

/// Events that need more bytes than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArenaFull {
    /// What the events up to the first one too many need.
    pub(super) needed_bytes: u64,
}

/// Texts that the events of a batch share, all or mostly, and where they stand.
struct Shared<'a> {
    tenant: u64,
    content_type: Placed<'a>,
    stream: Placed<'a>,
    topic: Placed<'a>,
}

#[derive(Default)]
struct Placed<'a> {
    text: &'a str,
    range: u64,
}

impl Arena {
    /// Lays out events of a tenant in at most `bytes_max` bytes, and returns the arena and its index.
    ///
    /// # Errors
    /// When the events need more.
    pub(super) fn lay_out(
        &mut self,
        tenant: &Tenant,
        events: &[CallEvent],
        bytes_max: u64,
    ) -> Result<(&[u8], &[u64]), ArenaFull> {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.index.clear();
        self.index.push(STRIDE as u64);
        let bytes_max = bytes_max.min(u32::MAX.into());
        let tenant = match tenant {
            Tenant::Platform => ABSENT,
            Tenant::Named(name) => self.push(name.as_bytes()),
        };
        let mut shared = Shared {
            tenant,
            content_type: Placed::default(),
            stream: Placed::default(),
            topic: Placed::default(),
        };
        for event in events {
            self.push_event(event, &mut shared);
            let needed_bytes = self.bytes.len() as u64;
            if needed_bytes > bytes_max {
                return Err(ArenaFull { needed_bytes });
            }
        }
        Ok((&self.bytes, &self.index))
    }

    fn push_event<'a>(&mut self, CallEvent { event, attempt, lane }: &'a CallEvent, shared: &mut Shared<'a>) {
        let source = &event.message.source;
        let words: [u64; STRIDE] = [
            self.push(event.id.as_bytes()),
            self.push(event.event_type.as_bytes()),
            shared.tenant,
            self.push_optional(event.key.as_deref()),
            self.push_optional(event.correlation_id.as_deref()),
            self.push_optional(event.causation_id.as_deref()),
            self.push_optional(event.actor.as_deref()),
            self.push_optional(event.traceparent.as_deref()),
            self.push_shared(&event.content_type, &mut shared.content_type),
            self.push(&event.payload),
            self.push_headers(event),
            self.push_shared(&source.topic.stream, &mut shared.stream),
            self.push_shared(&source.topic.topic, &mut shared.topic),
            event.timestamp_micros,
            source.offset.0,
            pair(*attempt, source.partition.0),
            pair(event.schema_version.into(), *lane),
        ];
        self.index.extend_from_slice(&words);
    }

    fn push(&mut self, bytes: &[u8]) -> u64 {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        range(start, bytes.len())
    }

    fn push_optional(&mut self, text: Option<&str>) -> u64 {
        text.map_or(ABSENT, |text| self.push(text.as_bytes()))
    }

    fn push_shared<'a>(&mut self, text: &'a str, placed: &mut Placed<'a>) -> u64 {
        // Mostly the very same text, which is quicker to see than to compare.
        if !std::ptr::eq(placed.text, text) && placed.text != text {
            *placed = Placed { text, range: self.push(text.as_bytes()) };
        }
        placed.range
    }

    fn push_headers(&mut self, event: &Event) -> u64 {
        let start = self.bytes.len();
        headers::append(&event.message.headers, &mut self.bytes);
        range(start, self.bytes.len() - start)
    }
}

/// Both fit in 32 bits once the arena as a whole was found small enough.
fn range(offset: usize, length: usize) -> u64 {
    (offset as u64) << 32 | length as u64
}

fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fixtures::{call_event, event};

    fn shop() -> Tenant {
        Tenant::Named("shop-a".into())
    }

    fn text(bytes: &[u8], word: u64) -> &str {
        let start = usize::try_from(word >> 32).unwrap();
        let length = usize::try_from(word & 0xffff_ffff).unwrap();
        std::str::from_utf8(&bytes[start..start + length]).unwrap()
    }

    #[test]
    fn an_event_is_laid_out_as_the_contract_says() {
        let mut call_event = call_event(event("e1", "shop-a"), 7);
        call_event.attempt = 3;
        let mut arena = Arena::default();
        let (bytes, index) = arena.lay_out(&shop(), std::slice::from_ref(&call_event), 1 << 20).unwrap();
        assert_eq!((index.len(), index[0]), (18, 17));
        let words = &index[1..];
        let texts = [(0, "e1"), (1, "order.placed"), (2, "shop-a"), (3, "k1"), (8, "application/json")];
        for (word, expected) in texts {
            assert_eq!(text(bytes, words[word]), expected, "word {word}");
        }
        assert_eq!(words[4..8], [ABSENT; 4]);
        assert_eq!(text(bytes, words[9]), "{}");
        assert_eq!(text(bytes, words[10]), "");
        assert_eq!((text(bytes, words[11]), text(bytes, words[12])), ("rustok", "domain"));
        assert_eq!(words[13..], [1_700_000_000_000_000, 42, 3 << 32 | 5, 2 << 32 | 7]);
    }

    #[test]
    fn what_neighbours_share_is_stored_once_and_the_next_batch_starts_afresh() {
        let events: Vec<_> = (0..64).map(|n| call_event(event(&format!("{n:04}"), "shop-a"), n)).collect();
        let mut arena = Arena::default();
        let one = arena.lay_out(&shop(), &events[..1], 1 << 20).unwrap().0.len();
        let all = arena.lay_out(&shop(), &events, 1 << 20).unwrap().0.len();
        let each = "0000".len() + "order.placed".len() + "k1".len() + "{}".len();
        assert_eq!(all, one + 63 * each);
        assert_eq!(arena.lay_out(&shop(), &events[..1], 1 << 20).unwrap().0.len(), one);
    }

    #[test]
    fn the_platforms_events_have_no_tenant_and_an_empty_text_is_present() {
        let platform = call_event(event("", Tenant::PLATFORM_ID), 0);
        let mut arena = Arena::default();
        let (_, index) = arena.lay_out(&Tenant::Platform, &[platform], 1 << 20).unwrap();
        assert_eq!((index[1], index[3]), (0, ABSENT));
    }

    #[test]
    fn events_beyond_the_allowed_bytes_are_refused() {
        let events = [call_event(event("e1", "shop-a"), 0)];
        let mut arena = Arena::default();
        let needed_bytes = arena.lay_out(&shop(), &events, 1 << 20).unwrap().0.len() as u64;
        assert_eq!(arena.lay_out(&shop(), &events, needed_bytes - 1), Err(ArenaFull { needed_bytes }));
        assert!(arena.lay_out(&shop(), &events, needed_bytes).is_ok());
    }
}
