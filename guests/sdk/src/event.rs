//! One event, as a view of the bytes that the host sent: nothing is decoded or copied before it is asked for.
//! Texts are checked to be UTF-8 and ranges to lie inside of the batch; what breaks the contract panics.

/// How many words of an event this crate reads. A longer stride brings words of a newer host.
pub(crate) const WORDS_KNOWN: usize = 17;

const ID: usize = 0;
const TYPE: usize = 1;
const TENANT: usize = 2;
const KEY: usize = 3;
const CORRELATION_ID: usize = 4;
const CAUSATION_ID: usize = 5;
const ACTOR: usize = 6;
const TRACEPARENT: usize = 7;
const CONTENT_TYPE: usize = 8;
const PAYLOAD: usize = 9;
const HEADERS: usize = 10;
const STREAM: usize = 11;
const TOPIC: usize = 12;
const TIMESTAMP: usize = 13;
const OFFSET: usize = 14;
const ATTEMPT_PARTITION: usize = 15;
const VERSION_LANE: usize = 16;

const ABSENT: u64 = u64::MAX;

/// One event to handle. It borrows from the batch, and so does everything it returns.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    arena: &'a [u8],
    words: &'a [u64; WORDS_KNOWN],
}

/// Where the host read an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Name of the Iggy stream.
    pub stream: &'a str,
    /// Name of the topic.
    pub topic: &'a str,
    /// Partition, counted from zero.
    pub partition: u32,
    /// Offset in the partition.
    pub offset: u64,
}

/// The user headers of an event as pairs of name and value, in the order of their names.
#[derive(Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Event<'a> {
    pub(crate) fn new(arena: &'a [u8], words: &'a [u64; WORDS_KNOWN]) -> Self {
        Self { arena, words }
    }

    /// Identity given by the producer. The same id may be delivered more than once.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.text(self.words[ID])
    }

    /// Type, dotted and lower case, such as `order.placed`.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.text(self.words[TYPE])
    }

    /// Version of the payload's schema; 0 when the envelope has none.
    #[must_use]
    pub fn schema_version(&self) -> u16 {
        short(halves(self.words[VERSION_LANE]).0)
    }

    /// Tenant the event belongs to; absent for events of the platform itself.
    #[must_use]
    pub fn tenant(&self) -> Option<&'a str> {
        self.optional_text(self.words[TENANT])
    }

    /// Key by which the producer chose the partition, when it said so.
    #[must_use]
    pub fn key(&self) -> Option<&'a str> {
        self.optional_text(self.words[KEY])
    }

    /// Id shared by all events of one business transaction.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&'a str> {
        self.optional_text(self.words[CORRELATION_ID])
    }

    /// Id of the event that caused this one.
    #[must_use]
    pub fn causation_id(&self) -> Option<&'a str> {
        self.optional_text(self.words[CAUSATION_ID])
    }

    /// Id of the person or service that acted.
    #[must_use]
    pub fn actor(&self) -> Option<&'a str> {
        self.optional_text(self.words[ACTOR])
    }

    /// W3C trace context.
    #[must_use]
    pub fn traceparent(&self) -> Option<&'a str> {
        self.optional_text(self.words[TRACEPARENT])
    }

    /// When the event happened, in microseconds since 1970 (UTC).
    #[must_use]
    pub fn timestamp_micros(&self) -> u64 {
        self.words[TIMESTAMP]
    }

    /// Where the host read the event.
    #[must_use]
    pub fn source(&self) -> Source<'a> {
        let (_, partition) = halves(self.words[ATTEMPT_PARTITION]);
        Source {
            stream: self.text(self.words[STREAM]),
            topic: self.text(self.words[TOPIC]),
            partition,
            offset: self.words[OFFSET],
        }
    }

    /// Which try this is, counted from 1. It starts again at 1 when the host is restarted.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        halves(self.words[ATTEMPT_PARTITION]).0
    }

    /// User headers of the message, in the order of their names.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.bytes(self.words[HEADERS]) }
    }

    /// Value of the user header with this exact name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers().find_map(|(candidate, value)| (candidate == name).then_some(value))
    }

    /// Media type of the payload, such as `application/json`.
    #[must_use]
    pub fn content_type(&self) -> &'a str {
        self.text(self.words[CONTENT_TYPE])
    }

    /// The payload. With the `json` codec: the envelope's `event` member, byte for byte.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes(self.words[PAYLOAD])
    }

    /// Number of the ordered lane the event belongs to, within its batch.
    pub(crate) fn lane(&self) -> u32 {
        halves(self.words[VERSION_LANE]).1
    }

    fn optional_text(&self, range: u64) -> Option<&'a str> {
        (range != ABSENT).then(|| self.text(range))
    }

    fn text(&self, range: u64) -> &'a str {
        utf8(self.bytes(range))
    }

    fn bytes(&self, range: u64) -> &'a [u8] {
        let (offset, length) = halves(range);
        self.arena
            .get(offset as usize..)
            .and_then(|tail| tail.get(..length as usize))
            .expect("the host sends ranges that lie inside of the arena")
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some((self.take_text(), self.take_text()))
    }
}

impl<'a> Headers<'a> {
    fn take_text(&mut self) -> &'a str {
        let (text, rest) = self
            .rest
            .split_first_chunk()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize))
            .expect("the host sends headers whose lengths add up");
        self.rest = rest;
        utf8(text)
    }
}

fn utf8(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the host sends texts in utf-8")
}

/// The high and the low half of a word.
fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, (word & 0xffff_ffff) as u32)
}

fn short(value: u32) -> u16 {
    u16::try_from(value).expect("the host sends schema versions of 16 bits")
}

#[cfg(test)]
mod tests;
