//! One parked partition at the broker: its records, and what they add up to in truth.

use guesthouse_connector::{OutgoingMessage, PartitionId, Partitioning, RawHeaders, ReceivedMessage};

use super::*;
use crate::identity::LaneName;
use crate::parked::{Action, Applied, Command, Content, Control, LastNote, ParkedLanes, Record, Standing};

/// The group of every host.
pub(super) const GROUP: &str = "group";

/// What the name of a parked topic ends in.
pub(super) const SUFFIX: &str = "-parked";

/// A parked partition.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) records: Vec<Record>,
    /// What the records add up to for one who reads nothing of the source.
    pub(super) truth: ParkedLanes,
}

/// What a record did to a shelf.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) content: Content,
    pub(super) applied: Applied,
    /// Events that are parked no more: whose, and their offset in the source.
    pub(super) gone: Vec<(String, u64)>,
}

impl Default for Shelf {
    fn default() -> Self {
        let mut truth = ParkedLanes::default();
        truth.source_read(Offset(u64::MAX));
        Self { records: Vec::new(), truth }
    }
}

impl Shelf {
    /// Takes a message, as the broker that keeps the partition.
    pub(super) fn append(&mut self, message: &OutgoingMessage) -> Change {
        let at = Offset(self.records.len() as u64);
        let record = read(message, at);
        let (lane, may_settle) = match &record.content {
            Content::Claim(_) => (None, false),
            Content::Event(lane, _) => (Some(*lane), false),
            Content::Control(lane, _) => (Some(*lane), true),
        };
        let held = lane.filter(|_| may_settle).and_then(|lane| self.truth.get(lane).cloned());
        let applied = self.truth.apply(&record);
        let now = lane.and_then(|lane| self.truth.get(lane));
        let gone = held.iter().flat_map(|held| held.events().map(|(event, _)| (held.handler.clone(), event)));
        let gone = gone.filter(|(_, event)| !now.is_some_and(|lane| lane.holds(*event)));
        let gone = gone.map(|(handler, event)| (handler, event.0)).collect();
        self.records.push(record.clone());
        Change { content: record.content, applied, gone }
    }

    /// The first record that a new owner reads, by what earlier ones noted. What it finds from there on must be all
    /// that is parked.
    pub(super) fn needed_from(&self) -> usize {
        let mut notes = LastNote::default();
        let contents = self.records.iter().rev().map(|record| &record.content);
        let found = contents.into_iter().find_map(|content| notes.look_back(content));
        let from = usize::try_from(found.unwrap_or_default().0).unwrap();
        let mut lanes = ParkedLanes::default();
        for record in &self.records[from..] {
            lanes.apply(record);
        }
        assert_eq!(summary(&lanes), summary(&self.truth), "a note says that records are not needed that are");
        from
    }

    /// Lanes that a command could be about, each with its first event.
    pub(super) fn lanes(&self) -> Vec<(LaneName, Standing, Offset)> {
        let lanes = self.truth.held().chain(self.truth.blocked());
        lanes.filter_map(|(name, lane)| Some((name, lane.standing, lane.head()?))).collect()
    }
}

/// The command of an operator.
pub(super) fn command(
    lane: LaneName,
    head: Offset,
    action: Action,
    (partition, id): (PartitionId, u128),
) -> OutgoingMessage {
    Control::Command(Command { head, action }).message(GROUP, lane, partition, id)
}

/// What a message for a parked topic says, at an offset.
pub(super) fn read(message: &OutgoingMessage, at: Offset) -> Record {
    let received = ReceivedMessage {
        id: message.id,
        offset: at,
        timestamp_micros: 0,
        origin_timestamp_micros: 0,
        headers: RawHeaders(message.headers.encode()),
        payload: message.payload.clone(),
    };
    Record::read(&received, GROUP).expect("it is a record of this group")
}

/// The partition that a message for a parked topic is for.
pub(super) fn partition_of(setting: &Setting, topic: &str, message: &OutgoingMessage) -> usize {
    let topic = topic.trim_end_matches(SUFFIX).trim_start_matches('t').parse().unwrap();
    let Partitioning::Partition(partition) = message.partition else { panic!("no partition is named") };
    setting.number(PartitionKey { topic: partitions::TopicIndex(topic), partition })
}

fn summary(lanes: &ParkedLanes) -> Vec<impl PartialEq + std::fmt::Debug> {
    lanes.held().map(|(name, lane)| (name, lane.standing, lane.events().collect::<Vec<_>>())).collect()
}
