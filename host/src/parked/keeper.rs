//! The keeper of one parked topic: reads what is parked for the partitions that are held, first all that still
//! matters and then what comes, and fetches released events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{
    ConnectorError, IggyConnector, Offset, OutgoingMessage, PartitionId, PartitionState, ReceivedMessage,
    TopicAddress,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::board::{Fetch, Look, ParkedBoard};
use super::record::{Content, Control, Owner, Record};
use crate::codec::Codec;
use crate::dead_letter::{REFERENCE, source_headers};
use crate::dispatch::partitions::{AssignmentId, PartitionKey, TopicIndex};
use crate::event::{Message, SharedEvent, Source, SourceTopic};
use crate::identity::LaneName;
use crate::poller::Input;
use crate::trouble::{Troubles, Watch};

/// How often the ends of the parked partitions are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Wait after a request that failed.
const FAILED_WAIT: Duration = Duration::from_secs(1);

/// Messages of one request.
const PAGE: u32 = 1_000;

/// Payload bytes after which a fetch is answered with what it has.
const FETCH_BYTES_MAX: usize = 4 << 20;

/// Records of a parked partition that were read, in their order.
#[derive(Debug)]
pub(crate) struct ReadBack {
    pub(crate) partition: PartitionKey,
    pub(crate) assignment: AssignmentId,
    pub(crate) records: Vec<Record>,
    /// Everything before this offset was read.
    pub(crate) next: Offset,
    /// Whether all is read that was there when the partition was assigned.
    pub(crate) is_complete: bool,
}

/// Released events that were read.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) partition: PartitionKey,
    pub(crate) assignment: AssignmentId,
    pub(crate) lane: LaneName,
    pub(crate) number: u64,
    /// The first ones that were asked for: each whole again, or why it cannot be.
    pub(crate) events: Vec<Result<SharedEvent, String>>,
}

/// Reads one parked topic for a subscription.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) topic: TopicIndex,
    pub(crate) source: Arc<SourceTopic>,
    pub(crate) parked: TopicAddress,
    pub(crate) group: String,
    pub(crate) codec: Arc<Codec>,
    pub(crate) connector: Arc<dyn IggyConnector>,
    pub(crate) board: Arc<ParkedBoard>,
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Over the reading of this topic.
    pub(crate) watch: Watch,
    pub(crate) troubles: Troubles,
}

/// How far a held partition was read.
#[derive(Debug, Clone, Copy)]
struct Position {
    assignment: AssignmentId,
    next: Offset,
    /// Whether the dispatcher knows that all was read.
    is_complete: bool,
}

/// Nobody listens any more.
struct Unheard;

impl Keeper {
    /// Reads until nobody listens. Cancelling it loses nothing.
    pub(crate) async fn run(self) {
        let mut positions = BTreeMap::new();
        let mut looked = None;
        loop {
            let look = self.board.take_look() == Look::Now;
            let is_due = looked.is_none_or(|looked: Instant| looked.elapsed() >= LOOK_EVERY);
            let held = self.board.held();
            positions.retain(|partition, position: &mut Position| {
                held.get(partition).is_some_and(|(assignment, _)| *assignment == position.assignment)
            });
            let is_behind = held.len() > positions.len();
            if look || is_due || is_behind {
                match self.look(&held, &mut positions).await {
                    Ok(Ok(())) => {
                        looked = Some(Instant::now());
                        self.watch.works();
                    }
                    Ok(Err(Unheard)) => return,
                    Err(error) => self.failed(&error).await,
                }
            }
            if self.serve_fetches().await.is_err() {
                return;
            }
            tokio::select! {
                () = self.board.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.inputs.closed() => return,
            }
        }
    }

    async fn failed(&self, error: &ConnectorError) {
        // That the broker is away is told by those who read events.
        if !error.is_transient() {
            self.watch.fails(error);
        }
        tokio::select! {
            () = tokio::time::sleep(FAILED_WAIT) => {}
            () = self.inputs.closed() => {}
        }
        self.board.look_now();
    }

    fn went_back(&self, partition: PartitionId, (expected, end): (Offset, Offset)) {
        let lost = format!(
            "parked topic {}, partition {partition}, ends before offset {end} where {expected} was expected: the broker forgot \
             parked events, or the topic was purged; all that it holds now is read",
            self.parked
        );
        tracing::error!("{lost}");
        self.troubles.happened("messages_lost", &format!("{}/{partition}", self.parked), lost);
    }

    /// Reads what is new in the partitions held.
    async fn look(
        &self,
        held: &BTreeMap<PartitionId, (AssignmentId, Owner)>,
        positions: &mut BTreeMap<PartitionId, Position>,
    ) -> Result<Result<(), Unheard>, ConnectorError> {
        if held.is_empty() {
            return Ok(Ok(()));
        }
        let new = held.iter().filter(|(partition, _)| !positions.contains_key(*partition));
        let claim = |(partition, (_, owner)): (&PartitionId, &(AssignmentId, Owner))| {
            owner.claim(&self.group, *partition, rand::random())
        };
        let claims: Vec<OutgoingMessage> = new.map(claim).collect();
        if !claims.is_empty() {
            self.connector.publish_batch(&self.parked, claims).await.map_err(|error| error.source)?;
        }
        let state = self.connector.topic_state(&self.parked).await?;
        for PartitionState { partition, last_offset, .. } in state.partitions {
            let Some((assignment, _)) = held.get(&partition).copied() else { continue };
            let end = last_offset.map_or(Offset(0), Offset::next);
            let mut position = match positions.get(&partition) {
                Some(position) if position.next > end => {
                    self.went_back(partition, (position.next, end));
                    Position { next: Offset(0), ..*position }
                }
                Some(position) => *position,
                None => {
                    let next =
                        needed_from(self.connector.as_ref(), &self.parked, partition, end, &self.group);
                    Position { assignment, next: next.await?, is_complete: false }
                }
            };
            while position.next < end || !position.is_complete {
                if self.read_on(partition, end, &mut position).await?.is_err() {
                    return Ok(Err(Unheard));
                }
                positions.insert(partition, position);
            }
        }
        Ok(Ok(()))
    }

    /// Reads one page up to an end, and hands it over.
    async fn read_on(
        &self,
        partition: PartitionId,
        end: Offset,
        position: &mut Position,
    ) -> Result<Result<(), Unheard>, ConnectorError> {
        let page = if position.next < end {
            self.connector.read_from(&self.parked, partition, position.next, PAGE).await?
        } else {
            Vec::new()
        };
        // An empty answer means that what was there is gone.
        position.next = page.last().map_or(end, |last| last.offset.next()).max(position.next);
        position.is_complete |= position.next >= end;
        let records = page.iter().filter_map(|message| Record::read(message, &self.group));
        let read = ReadBack {
            partition: PartitionKey { topic: self.topic, partition },
            assignment: position.assignment,
            records: records.collect(),
            next: position.next,
            is_complete: position.is_complete,
        };
        Ok(self.inputs.send(Input::ReadBack(read)).await.map_err(|_| Unheard))
    }

    async fn serve_fetches(&self) -> Result<(), Unheard> {
        while let Some(fetch) = self.board.take_fetch() {
            match self.fetch(&fetch).await {
                Ok(events) => {
                    let Fetch { partition, assignment, lane, number, .. } = fetch;
                    let fetched = Fetched { partition, assignment, lane, number, events };
                    self.inputs.send(Input::Fetched(fetched)).await.map_err(|_| Unheard)?;
                }
                Err(error) => {
                    self.board.fetch(fetch);
                    self.failed(&error).await;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the first events of a fetch, at least one of them.
    async fn fetch(&self, fetch: &Fetch) -> Result<Vec<Result<SharedEvent, String>>, ConnectorError> {
        let mut events = Vec::with_capacity(fetch.events.len());
        let (mut page, mut bytes) = (Vec::new().into_iter().peekable(), 0);
        for at in &fetch.events {
            while page.next_if(|message: &ReceivedMessage| message.offset < *at).is_some() {}
            if page.peek().is_none_or(|message| message.offset != *at) {
                let ahead =
                    fetch.events.last().map_or(1, |last| last.0.saturating_sub(at.0).saturating_add(1));
                let messages_max = u32::try_from(ahead).unwrap_or(PAGE).min(PAGE);
                let partition = fetch.partition.partition;
                let read = self.connector.read_from(&self.parked, partition, *at, messages_max).await?;
                page = read.into_iter().peekable();
            }
            let event = match page.next_if(|message| message.offset == *at) {
                Some(message) => self.whole(message, fetch.partition.partition).await?,
                None => Err(format!("the broker no longer has offset {at} of {}", self.parked)),
            };
            bytes += event.as_ref().map_or(0, |event| event.message.payload.len());
            events.push(event);
            if bytes >= FETCH_BYTES_MAX {
                break;
            }
        }
        Ok(events)
    }

    /// The event of a record, its payload from where the record says that it is.
    async fn whole(
        &self,
        record: ReceivedMessage,
        partition: PartitionId,
    ) -> Result<Result<SharedEvent, String>, ConnectorError> {
        let record = match Referred::read(&record) {
            None => record,
            Some(referred) => {
                let source = self.source.address();
                let found = self.connector.read_from(&source, partition, referred.offset, 1).await?;
                let Some(original) = found.into_iter().find(|message| referred.is(message)) else {
                    let offset = referred.offset;
                    return Ok(Err(format!(
                        "its payload is not in the parked topic but at offset {offset} of partition {partition} of {source}, and there it is no more"
                    )));
                };
                ReceivedMessage { payload: original.payload, ..record }
            }
        };
        Ok(restore(record, (&self.source, partition), &self.codec))
    }
}

/// The message that a record refers to, for its payload did not fit into the parked topic.
#[derive(Debug)]
struct Referred {
    offset: Offset,
    id: u128,
    payload_hash: String,
}

impl Referred {
    /// What a record refers to, if it does.
    fn read(record: &ReceivedMessage) -> Option<Self> {
        let text = |name: &str| record.headers.get(name).map(|value| value.to_string());
        text("gh-payload").filter(|form| form == REFERENCE)?;
        let reference: serde_json::Value = serde_json::from_slice(&record.payload).ok()?;
        Some(Self {
            offset: Offset(text("gh-offset")?.parse().ok()?),
            id: uuid::Uuid::try_parse(&text("gh-message-id")?).ok()?.as_u128(),
            payload_hash: reference.get("payload_blake3")?.as_str()?.to_owned(),
        })
    }

    fn is(&self, message: &ReceivedMessage) -> bool {
        let is_there = (message.offset, message.id) == (self.offset, self.id);
        is_there && blake3::hash(&message.payload).to_string() == self.payload_hash
    }
}

/// Makes the event of a record whole again, as if it had just been read from its source.
///
/// # Errors
/// Says what is missing.
pub(crate) fn restore(
    message: ReceivedMessage,
    (topic, partition): (&Arc<SourceTopic>, PartitionId),
    codec: &Codec,
) -> Result<SharedEvent, String> {
    let text = |name: &str| message.headers.get(name).map(|value| value.to_string());
    let number = |name: &str| {
        text(name).and_then(|text| text.parse().ok()).ok_or_else(|| format!("its header `{name}` is missing"))
    };
    let message_id = text("gh-message-id").and_then(|id| uuid::Uuid::try_parse(&id).ok());
    let source = Source {
        topic: Arc::clone(topic),
        partition,
        offset: Offset(number("gh-offset")?),
        message_id: message_id.ok_or("its header `gh-message-id` is missing")?.as_u128(),
        timestamp_micros: number("gh-timestamp")?,
        origin_timestamp_micros: number("gh-origin-timestamp")?,
    };
    let headers = source_headers(&message.headers);
    let decoded = codec.decode(Message { source, headers, payload: message.payload });
    decoded.map(SharedEvent::from).map_err(|(_, error)| error.to_string())
}

/// Looks back in a log for the last note that counts: that of an owner which had not been followed by another.
#[derive(Debug, Default)]
pub(crate) struct LastNote {
    /// The last note of each that wrote one behind the last claim: hardly more than two.
    noted: Vec<(Owner, Offset)>,
}

impl LastNote {
    /// Takes in the record before the one taken in last. The first record that is needed, once that is known.
    pub(crate) fn look_back(&mut self, content: &Content) -> Option<Offset> {
        match content {
            Content::Control(_, Control::Done { owner, needed_from, .. }) => {
                if !self.noted.iter().any(|(other, _)| other == owner) {
                    self.noted.push((*owner, *needed_from));
                }
                None
            }
            Content::Claim(owner) => {
                let noted = std::mem::take(&mut self.noted);
                noted.into_iter().find(|(other, _)| other == owner).map(|(_, needed_from)| needed_from)
            }
            Content::Event(..) | Content::Control(..) => None,
        }
    }
}

/// The first record of a parked partition that still matters to a group, by what its owners have noted. Everything
/// before the note's offset does not.
async fn needed_from(
    connector: &dyn IggyConnector,
    topic: &TopicAddress,
    partition: PartitionId,
    end: Offset,
    group: &str,
) -> Result<Offset, ConnectorError> {
    let (mut until, mut notes) = (end, LastNote::default());
    while until > Offset(0) {
        let from = Offset(until.0.saturating_sub(u64::from(PAGE)));
        let (mut next, mut contents) = (from, Vec::new());
        while next < until {
            let page = connector.read_from(topic, partition, next, PAGE).await?;
            next = page.last().map_or(until, |last| last.offset.next());
            // What comes after was looked at already.
            let page = page.iter().take_while(|message| message.offset < until);
            contents.extend(page.filter_map(|message| Some(Record::read(message, group)?.content)));
        }
        if let Some(needed_from) = contents.iter().rev().find_map(|content| notes.look_back(content)) {
            return Ok(needed_from);
        }
        until = from;
    }
    Ok(Offset(0))
}

/// Reads all that still matters of a parked partition, for those who only look: calls `visit` with each record.
///
/// # Errors
/// When the broker cannot be read.
pub(crate) async fn read_back(
    connector: &dyn IggyConnector,
    topic: &TopicAddress,
    partition: PartitionState,
    group: &str,
    mut visit: impl FnMut(Record),
) -> Result<(), ConnectorError> {
    let PartitionState { partition, last_offset, .. } = partition;
    let end = last_offset.map_or(Offset(0), Offset::next);
    let mut next = needed_from(connector, topic, partition, end, group).await?;
    while next < end {
        let page = connector.read_from(topic, partition, next, PAGE).await?;
        let Some(last) = page.last() else { break };
        next = last.offset.next();
        page.iter().filter_map(|message| Record::read(message, group)).for_each(&mut visit);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
