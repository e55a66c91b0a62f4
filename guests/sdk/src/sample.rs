//! Batches in the form in which the host sends them, for tests.

use crate::event::WORDS_KNOWN;

/// An arena and an index that grow event by event.
pub(crate) struct Sample {
    pub(crate) arena: Vec<u8>,
    pub(crate) index: Vec<u64>,
    stride: usize,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self::with_stride(WORDS_KNOWN)
    }

    /// A batch of a host that sends more words per event than this crate knows.
    pub(crate) fn with_stride(stride: usize) -> Self {
        Self { arena: b"padding".to_vec(), index: vec![stride as u64], stride }
    }

    /// A batch of one event of type `order.placed` with this payload.
    pub(crate) fn of_payload(payload: &[u8]) -> Self {
        let mut sample = Self::new();
        sample.push(0, payload);
        sample
    }

    /// Adds an event in which every value is present and tells its word.
    pub(crate) fn push(&mut self, lane: u32, payload: &[u8]) {
        let number = self.index.len() / self.stride;
        let texts = ["id", "order.placed", "tenant", "key", "correlation", "causation", "actor", "trace"];
        let mut words: Vec<u64> = texts.iter().map(|text| self.store(text.as_bytes())).collect();
        words.push(self.store(b"application/json"));
        words.push(self.store(payload));
        words.push(self.store(&headers(&[("kind", "größe"), ("none", "")])));
        words.push(self.store(b"rustok"));
        words.push(self.store(b"domain"));
        words.extend([1_787_217_281_003_120, number as u64]);
        words.extend([halves(2, 7), halves(3, lane)]);
        words.resize(self.stride, 0xdead_beef);
        self.index.extend(words);
    }

    /// The word of an event, to change it.
    pub(crate) fn word(&mut self, event: usize, word: usize) -> &mut u64 {
        &mut self.index[1 + event * self.stride + word]
    }

    /// Appends bytes to the arena and returns their range.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> u64 {
        let offset = length(&self.arena);
        self.arena.extend_from_slice(bytes);
        halves(offset, length(bytes))
    }
}

pub(crate) fn halves(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

pub(crate) fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> Vec<u8> {
    let texts = pairs.iter().flat_map(|(name, value)| [name, value]);
    texts.flat_map(|text| [&length(text.as_bytes()).to_le_bytes()[..], text.as_bytes()].concat()).collect()
}
