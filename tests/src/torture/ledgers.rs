//! The four ledgers of a run: what was published, what guests did, what became of it on the topics, and what was
//! committed on the way.

use std::collections::{BTreeMap, HashMap};
use std::time::UNIX_EPOCH;

use guesthouse_connector::ReceivedMessage;
use serde_json::Value;
use uuid::Uuid;

use super::clock::Correction;
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
    /// When a host lost what it had in hand, or might have.
    pub disruptions: Vec<Disruption>,
    /// When lines of guests may have been lost on their way to the log, besides those of a host's last moments.
    pub log_gaps: Vec<Disruption>,
    /// The handlers that remember what they have handled.
    pub dedup: Vec<&'static str>,
    /// What was to correct in the times of lines.
    pub host_clock: Correction,
    /// The same for messages.
    pub broker_clock: Correction,
}

/// A time in which a host lost what it had in hand, or might have; in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Disruption {
    /// When it began.
    pub from_micros: u64,
    /// When it was over, or noticed.
    pub until_micros: u64,
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
    /// When, in microseconds since 1970.
    pub at_micros: u64,
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

impl Disruption {
    /// One that is over at once.
    pub const fn at(micros: u64) -> Self {
        Self { from_micros: micros, until_micros: micros }
    }
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
        ledgers.lines = lines(lives, &mut ledgers.host_clock);
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
            stored_micros: self.broker_clock.true_micros(message.timestamp_micros),
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
            stored_micros: self.broker_clock.true_micros(message.timestamp_micros),
        };
        self.letters.entry(source).or_default().push(record);
    }
}

fn number(id: &str) -> Option<u128> {
    id.parse::<Uuid>().ok().map(|id| id.as_u128())
}

/// What all guests wrote, by the clock that all processes of a machine share.
fn lines(lives: &[Life], clock: &mut Correction) -> Vec<Line> {
    let mut lines: BTreeMap<(u64, usize), Line> = BTreeMap::new();
    for (life, Life { log, .. }) in lives.iter().enumerate() {
        let text = std::fs::read(log).unwrap_or_default();
        for text in text.split(|byte| *byte == b'\n') {
            let Ok(entry) = serde_json::from_slice::<Value>(text) else { continue };
            if entry["target"] != "guest" {
                continue;
            }
            let at_micros = entry["timestamp"].as_str().and_then(micros_of).unwrap_or_default();
            let at_micros = clock.true_micros(at_micros);
            let line = entry["fields"]["message"].as_str().and_then(|text| line(text, life));
            if let Some(line) = line {
                lines.insert((at_micros, lines.len()), Line { at_micros, ..line });
            }
        }
    }
    lines.into_values().collect()
}

/// A time as logs write it.
fn micros_of(timestamp: &str) -> Option<u64> {
    let since = humantime::parse_rfc3339(timestamp).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_micros()).ok()
}

fn line(text: &str, life: usize) -> Option<Line> {
    let mut words = text.split(' ');
    let deed = match words.next()? {
        "handled" => Deed::Handled,
        "failed" => Deed::Failed,
        _ => return None,
    };
    Some(Line { event: number(words.nth(1)?)?, deed, life, at_micros: 0 })
}
