//! The headers of a dead letter: ours first, so that they always find room, then the source's as far as they fit.

use std::fmt;

use guesthouse_connector::{HeaderValue, Headers, RawHeaders};

use super::text::{clean, pieces};
use crate::codec::{HOPS, REPLAYS, carry};

/// Longest value of a header.
const VALUE_BYTES_MAX: usize = 255;
/// Where the reason stands: the first header and those it goes on in.
pub(super) const REASON: [&str; 4] = ["gh-reason", "gh-reason-1", "gh-reason-2", "gh-reason-3"];
/// Headers that start so belong to the host.
pub(crate) const OURS: &str = "gh-";

/// Collects headers. What cannot be set is left out, never an error.
#[derive(Debug, Default)]
pub(crate) struct LetterHeaders(Headers);

impl LetterHeaders {
    /// Sets a number.
    pub(crate) fn number(&mut self, name: &str, value: impl Into<HeaderValue>) {
        self.set(name, value.into());
    }

    /// Sets a text, escaped and cut; an empty one is left out.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        let text = clean(value, VALUE_BYTES_MAX);
        if !text.is_empty() {
            self.set(name, text.into());
        }
    }

    /// Sets the reason, over as many headers as it takes and there are.
    pub(crate) fn reason(&mut self, reason: impl fmt::Display) {
        // Pieces end at characters' borders, so each may be a few bytes short of a full header.
        let bytes_max = REASON.len() * (VALUE_BYTES_MAX - char::MAX.len_utf8() + 1);
        let text = clean(reason, bytes_max);
        for (name, piece) in REASON.iter().zip(pieces(&text, VALUE_BYTES_MAX)) {
            self.set(name, piece.into());
        }
    }

    /// Adds the source's own headers, as far as they find room.
    pub(crate) fn with_source_headers(self, source: &RawHeaders) -> Headers {
        carry(self.0, source, |name| !is_ours(name)).headers
    }

    /// The headers, with none of a source.
    pub(crate) fn alone(self) -> Headers {
        self.0
    }

    fn set(&mut self, name: &str, value: HeaderValue) {
        let refused = self.0.insert(name, value).is_err();
        debug_assert!(!refused, "our own headers are few and short");
    }
}

/// The source's own headers in a record that carries them beside ours, and how many are missing.
pub(crate) fn source_headers(record: &RawHeaders) -> RawHeaders {
    let theirs = carry(Headers::new(), record, |name| !is_ours(name)).headers;
    if theirs.is_empty() { RawHeaders::default() } else { RawHeaders(theirs.encode()) }
}

/// Whether a header is one of the host's that does not travel on. The count of what was lost does by itself.
fn is_ours(name: &str) -> bool {
    starts_as_ours(name) && name != REPLAYS && name != HOPS
}

/// Whether a name is one that only the host should use.
pub(super) fn starts_as_ours(name: &str) -> bool {
    name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}
