//! The four ledgers of a run: what was published, what guests did, what became of it on the topics, and what was
//! committed on the way.

use std::collections::{BTreeMap, HashMap};

use guesthouse_connector::ReceivedMessage;
use serde_json::Value;
use uuid::Uuid;

use super::proxy::Commit;
use super::publisher::Published;
use super::stage::Life;
use crate::client::{Client, DLQ, DOMAIN};

/// Everything that is known about a run once it is over.
#[derive(Debug, Default)]
pub struct Ledgers {
    /// What was published.
    pub published: Published,
    /// Where each message of the domain topic lies: partition and offset, more than one if it is there twice.
    pub places: HashMap<u128, Vec<(u32, u64)>>,
    /// What guests wrote down, in the order in which they did.
    pub lines: Vec<Line>,
    /// What was emitted, by the event that caused it.
    pub emits: HashMap<u128, Vec<Record>>,
    /// What was given up on, by the message it was about.
    pub letters: HashMap<u128, Vec<Record>>,
    /// What was committed, in the order in which it was asked for.
    pub commits: Vec<Commit>,
    /// When each life of a host began, in microseconds since 1970.
    pub lives: Vec<u64>,
}

/// One line of a guest.
#[derive(Debug, Clone)]
pub struct Line {
    /// The event.
    pub event: u128,
    /// What it did.
    pub deed: Deed,
    /// In which life of a host, counted from zero.
    pub life: usize,
}

/// What a guest did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It handled the event.
    Handled,
    /// It was about to fail.
    Failed,
}

/// A message that a host published.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its message id.
    pub id: u128,
    /// What kind it is: the type of an emit, the handler of a dead letter.
    pub kind: String,
    /// How the event ended, when it is a dead letter.
    pub outcome: String,
    /// When the broker took it, in microseconds since 1970.
    pub stored_micros: u64,
}

impl Ledgers {
    /// Reads the topics and the logs of all lives.
    pub async fn read(client: &Client, published: Published, lives: &[Life], commits: Vec<Commit>) -> Self {
        let began = lives.iter().map(|life| life.began_micros).collect();
        let mut ledgers = Self { published, commits, lives: began, ..Self::default() };
        ledgers.commits.sort_by_key(|commit| commit.asked_micros);
        for (partition, message) in client.read(DOMAIN).await {
            ledgers.places.entry(message.id).or_default().push((partition.0, message.offset.0));
            ledgers.take_emit(&message);
        }
        for (_, message) in client.read("system").await {
            ledgers.take_emit(&message);
        }
        for (_, message) in client.read(DLQ).await {
            ledgers.take_letter(&message);
        }
        ledgers.lines = lines(lives);
        ledgers
    }

    fn take_emit(&mut self, message: &ReceivedMessage) {
        let Ok(envelope) = serde_json::from_slice::<Value>(&message.payload) else { return };
        let kind = envelope["event_type"].as_str().unwrap_or_default();
        let cause = envelope["causation_id"].as_str().and_then(number);
        let Some(cause) = cause.filter(|_| kind.starts_with("torture.witnessed")) else { return };
        let record = Record {
            id: message.id,
            kind: kind.to_owned(),
            outcome: String::new(),
            stored_micros: message.timestamp_micros,
        };
        self.emits.entry(cause).or_default().push(record);
    }

    fn take_letter(&mut self, message: &ReceivedMessage) {
        let header = |name| message.headers.get(name).map(|value| value.to_string()).unwrap_or_default();
        let source = number(&header("gh-message-id")).unwrap_or_default();
        let record = Record {
            id: message.id,
            kind: header("gh-handler"),
            outcome: header("gh-outcome"),
            stored_micros: message.timestamp_micros,
        };
        self.letters.entry(source).or_default().push(record);
    }
}

fn number(id: &str) -> Option<u128> {
    id.parse::<Uuid>().ok().map(|id| id.as_u128())
}

/// What all guests wrote, by the clock that all processes of a machine share.
fn lines(lives: &[Life]) -> Vec<Line> {
    let mut lines: BTreeMap<(String, usize), Line> = BTreeMap::new();
    for (life, Life { log, .. }) in lives.iter().enumerate() {
        let text = std::fs::read(log).unwrap_or_default();
        for text in text.split(|byte| *byte == b'\n') {
            let Ok(entry) = serde_json::from_slice::<Value>(text) else { continue };
            if entry["target"] != "guest" {
                continue;
            }
            if let Some(line) = entry["fields"]["message"].as_str().and_then(|text| line(text, life)) {
                let at = entry["timestamp"].as_str().unwrap_or_default().to_owned();
                lines.insert((at, lines.len()), line);
            }
        }
    }
    lines.into_values().collect()
}

fn line(text: &str, life: usize) -> Option<Line> {
    let mut words = text.split(' ');
    let deed = match words.next()? {
        "handled" => Deed::Handled,
        "failed" => Deed::Failed,
        _ => return None,
    };
    Some(Line { event: number(words.nth(1)?)?, deed, life })
}
