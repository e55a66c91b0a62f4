//! What became of dead letters: records in a topic beside theirs, of which the last word about a letter counts.
//!
//! A record names letters by their ids, so it stays right when a topic is purged or made again. Its payload is JSON such as
//! `{"state":"replayed","letters":["67e55044-10b1-426f-9247-bb680e5fe0c8"]}`.

use std::collections::HashMap;
use std::fmt;

use guesthouse_connector::{OutgoingMessage, PartitionId, Partitioning, ReceivedMessage};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::headers::LetterHeaders;

/// The only partition of the topic for states, so that records have an order.
pub(crate) const RECORDS: PartitionId = PartitionId(0);

/// What became of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LetterState {
    /// Nobody has dealt with it yet, or somebody has opened it again.
    Open,
    /// Its event was published again.
    Replayed,
    /// Somebody has dealt with it in another way.
    Resolved,
}

impl LetterState {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Replayed, Self::Resolved];

    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for LetterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message of the topic for states: these letters have this state from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct StateRecord {
    state: LetterState,
    letters: Vec<Uuid>,
}

/// A message of the topic for states that is no record.
#[derive(Debug, thiserror::Error)]
#[error("no record of the states of dead letters: {0}")]
pub(crate) struct NotAStateRecord(#[from] serde_json::Error);

impl StateRecord {
    /// A record about the letters of these ids.
    pub(crate) fn new(state: LetterState, letters: impl IntoIterator<Item = u128>) -> Self {
        Self { state, letters: letters.into_iter().map(Uuid::from_u128).collect() }
    }

    /// The message that keeps it, under an id that nothing else has.
    pub(crate) fn message(&self) -> OutgoingMessage {
        let mut headers = LetterHeaders::default();
        headers.number("gh-schema", super::SCHEMA);
        let payload = serde_json::json!({ "state": self.state, "letters": self.letters });
        OutgoingMessage {
            id: Uuid::new_v4().as_u128(),
            partition: Partitioning::Partition(RECORDS),
            payload: payload.to_string().into(),
            headers: headers.alone(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When something else wrote it, or a later program.
    pub(crate) fn read(message: &ReceivedMessage) -> Result<Self, NotAStateRecord> {
        Ok(serde_json::from_slice(&message.payload)?)
    }
}

/// The states of all dead letters: about 40 bytes for each that is not open or was replayed before.
#[derive(Debug, Default)]
pub(crate) struct LetterStates(HashMap<u128, Known>);

#[derive(Debug, Clone, Copy)]
struct Known {
    state: LetterState,
    replays: u32,
}

impl LetterStates {
    /// Takes note of a record, after all that were written before it.
    pub(crate) fn apply(&mut self, record: &StateRecord) {
        for letter in &record.letters {
            let known =
                self.0.entry(letter.as_u128()).or_insert(Known { state: LetterState::Open, replays: 0 });
            known.state = record.state;
            known.replays = known.replays.saturating_add(u32::from(record.state == LetterState::Replayed));
        }
    }

    /// The state of the letter with this id.
    pub(crate) fn state(&self, letter: u128) -> LetterState {
        self.0.get(&letter).map_or(LetterState::Open, |known| known.state)
    }

    /// How often the letter with this id was replayed.
    pub(crate) fn replays(&self, letter: u128) -> u32 {
        self.0.get(&letter).map_or(0, |known| known.replays)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use guesthouse_connector::{Offset, RawHeaders};

    use super::*;

    fn received(payload: impl Into<Bytes>) -> ReceivedMessage {
        ReceivedMessage {
            id: 1,
            offset: Offset(0),
            timestamp_micros: 0,
            origin_timestamp_micros: 0,
            headers: RawHeaders(Bytes::new()),
            payload: payload.into(),
        }
    }

    #[test]
    fn the_last_record_about_a_letter_counts() {
        let mut states = LetterStates::default();
        assert_eq!((states.state(1), states.replays(1)), (LetterState::Open, 0));
        for (state, letters) in [
            (LetterState::Replayed, vec![1, 2]),
            (LetterState::Open, vec![1]),
            (LetterState::Resolved, vec![2, 3]),
            (LetterState::Replayed, vec![1]),
        ] {
            let message = StateRecord::new(state, letters).message();
            states.apply(&StateRecord::read(&received(message.payload)).unwrap());
        }
        assert_eq!((states.state(1), states.replays(1)), (LetterState::Replayed, 2));
        assert_eq!((states.state(2), states.replays(2)), (LetterState::Resolved, 1));
        assert_eq!((states.state(3), states.replays(3)), (LetterState::Resolved, 0));
        assert_eq!(states.state(4), LetterState::Open);
    }

    #[test]
    fn its_form_is_what_the_documentation_says() {
        let message = StateRecord::new(LetterState::Resolved, [7]).message();
        let expected = r#"{"letters":["00000000-0000-0000-0000-000000000007"],"state":"resolved"}"#;
        assert_eq!(message.payload, expected);
    }

    #[test]
    fn what_something_else_wrote_is_no_record() {
        for foreign in
            ["", "{}", r#"{"state":"shredded","letters":[]}"#, r#"{"state":"open","letters":["x"]}"#]
        {
            let error = StateRecord::read(&received(foreign)).unwrap_err().to_string();
            assert!(error.starts_with("no record of the states of dead letters: "), "{error}");
        }
    }
}
