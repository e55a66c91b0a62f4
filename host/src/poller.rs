//! The poller: owns one group cursor, reads and decodes what it may, and stores offsets when told.

mod membership;
mod owed;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use guesthouse_connector::{
    ConnectorError, CursorStep, GroupAddress, GroupCursor, IggyConnector, Offset, PartitionId,
    ReceivedMessage, StoreOutcome,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::membership::{End, Failure, Stage};
use self::owed::{OwedCommits, Urgency};
use crate::board::{Board, Phase};
use crate::codec::Codec;
use crate::commit_record::CommitRecord;
use crate::dispatch::Decoded;
use crate::dispatch::effects::EffectId;
use crate::dispatch::partitions::{AssignmentId, PartitionKey, TopicIndex};
use crate::event::{Message, SharedEvent, Source, SourceTopic};
use crate::failpoint::failpoint;
use crate::parked::{Fetched, ReadBack};
use crate::state::forget::Forgetter;
use crate::trouble::{Troubles, Watch};

pub(crate) use self::membership::Membership;

/// Events that a dispatcher takes in at once. Between two such parts it starts calls and hears of those that ended,
/// so that reading does not run ahead of handling.
const READ_EVENTS_MAX: usize = 1_000;

/// What an event takes beside the bytes of its message, about.
const EVENT_BYTES: usize = 512;

/// What the room for reads is counted in.
const ROOM_BYTES: usize = 1 << 10;

/// Shortest wait after a round that found nothing.
const IDLE_MIN: Duration = Duration::from_millis(1);

/// Longest wait after a round that found nothing.
const IDLE_MAX: Duration = Duration::from_millis(10);

/// Waits between attempts to open a cursor that the broker refuses.
const REFUSED_WAIT: Duration = Duration::from_secs(2);

/// How long a commit may be under way, whatever holds it up.
const COMMIT_WITHIN: Duration = Duration::from_secs(30);

/// What the tasks around a dispatcher tell it.
#[derive(Debug)]
pub(crate) enum Input {
    /// A partition is ours.
    Assigned(PartitionKey, AssignmentId),
    /// A partition was taken away, and the broker may still take offsets of it.
    TakenAway(PartitionKey),
    /// The broker refused an offset of a partition, for it is another member's.
    Overtaken(PartitionKey, AssignmentId),
    /// A partition is no longer ours, and no offset of it is taken any more.
    Revoked(PartitionKey),
    /// Messages were read. They take room among what waits for the dispatcher until it takes them.
    Read(PartitionKey, Vec<Decoded>, Option<Room>),
    /// This many messages of a partition expired before they were read.
    Expired(u64),
    /// This many messages of a partition are handled again.
    Repeated(u64),
    /// The offsets of a partition went back; it is revoked next.
    WentBack,
    /// Effects are confirmed.
    Published(Vec<EffectId>),
    /// The broker refuses an effect for good; why.
    Refused(EffectId, String),
    /// Records of a parked partition were read.
    ReadBack(ReadBack),
    /// Released events were read.
    Fetched(Fetched),
}

/// The room that a read takes among those that wait for the dispatcher, until all parts of it are taken.
pub(crate) type Room = Arc<OwnedSemaphorePermit>;

/// How much of what was read may wait for the dispatcher, in units of [`ROOM_BYTES`]. A larger read waits until nothing
/// else does.
#[derive(Debug)]
pub(crate) struct Waiting {
    room: Arc<Semaphore>,
    units_max: u32,
}

impl Waiting {
    /// Room for so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let units_max = units(bytes_max);
        Self { room: Arc::new(Semaphore::new(usize::try_from(units_max).unwrap_or(usize::MAX))), units_max }
    }

    /// Waits until there is room for messages; none when nobody takes them any more.
    async fn room_for(&self, messages: &[ReceivedMessage]) -> Option<Room> {
        let bytes = |message: &ReceivedMessage| message.payload.len() + message.headers.0.len() + EVENT_BYTES;
        let wanted = units(messages.iter().map(bytes).sum()).min(self.units_max);
        Arc::clone(&self.room).acquire_many_owned(wanted).await.ok().map(Arc::new)
    }

    /// Nobody takes anything any more: whoever waits stops waiting.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(ROOM_BYTES)).unwrap_or(u32::MAX).max(1)
}

/// Reads one topic as a member of the subscription's group.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) topic: TopicIndex,
    pub(crate) source: Arc<SourceTopic>,
    pub(crate) group: String,
    pub(crate) codec: Arc<Codec>,
    pub(crate) connector: Arc<dyn IggyConnector>,
    pub(crate) board: Arc<Board>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) membership: Arc<Membership>,
    /// Whom to tell about confirmed commits, when handlers of the subscription use state.
    pub(crate) forgetter: Option<Arc<Forgetter>>,
    /// Over the commits of this topic.
    pub(crate) commits: Watch,
    pub(crate) troubles: Troubles,
    /// What was committed, for the next life of the host, where that is kept.
    pub(crate) record: Option<CommitRecord>,
}

/// What a poller keeps while it holds a cursor.
#[derive(Debug, Default)]
struct Round {
    /// The last assignment of each partition whose offsets the broker may take.
    assignments: HashMap<PartitionId, AssignmentId>,
    /// Partitions of which it has refused the last offset.
    refused: HashSet<PartitionId>,
    assignments_made: u64,
    idle: Duration,
    owed: OwedCommits,
}

impl Poller {
    /// Reads until the board says [`Phase::Leaving`], through every loss of the connection, and then leaves the
    /// group. Ends early when nobody listens to what it reads.
    ///
    /// Cancelling it loses nothing: what was not committed is read again.
    pub(crate) async fn run(self) {
        let Some(mut cursor) = self.open().await else { return };
        let mut round = Round::default();
        while self.board.phase() < Phase::Leaving {
            self.store_commits(&mut cursor, &mut round, Urgency::InTime).await;
            if self.board.take_rejoin() {
                let Some(anew) = self.rejoin(cursor, &mut round).await else { return };
                cursor = anew;
            }
            if self.step(&mut cursor, &mut round).await.is_break() {
                break;
            }
        }
        self.store_commits(&mut cursor, &mut round, Urgency::Last).await;
        if let Some((partitions, _)) = round.owed.owed(Instant::now()) {
            tracing::warn!(topic = %self.source.topic, partitions, "the last commits could not be stored; events since the ones before are handled again");
        }
        self.membership.end(End::Stopped);
        self.leave(cursor).await;
        if let Some(record) = &self.record {
            record.write().await;
        }
    }

    async fn open(&self) -> Option<GroupCursor> {
        let group = GroupAddress { topic: self.source.address(), group: self.group.clone() };
        loop {
            match self.connector.open_group_cursor(&group).await {
                Ok(mut cursor) => {
                    for (partition, stored) in self.committed_before().await {
                        cursor.remember(partition, stored);
                    }
                    return Some(cursor);
                }
                Err(error) => {
                    if self.membership.failed(Stage::Read, &error) == Failure::New {
                        tracing::error!(topic = %self.source.topic, %error, "cannot join the group; it is tried again until it succeeds");
                    }
                }
            }
            if !self.rest(REFUSED_WAIT).await {
                return None;
            }
        }
    }

    /// What earlier lives of the host have committed, as far as that is on record.
    async fn committed_before(&self) -> Vec<(PartitionId, Offset)> {
        let Some(record) = self.record.clone() else { return Vec::new() };
        // A record that cannot be read says nothing, and has said so.
        tokio::task::spawn_blocking(move || record.read()).await.unwrap_or_default()
    }

    /// Gives all partitions back and joins the group again.
    async fn rejoin(&self, cursor: GroupCursor, round: &mut Round) -> Option<GroupCursor> {
        self.membership.end(End::Lost);
        self.leave(cursor).await;
        for (partition, _) in round.assignments.drain() {
            // Nobody listens any more when the host has ended, and then nobody needs to know.
            let _ended = self.inputs.send(Input::Revoked(self.key(partition))).await;
        }
        self.open().await
    }

    async fn leave(&self, cursor: GroupCursor) {
        if let Err(error) = cursor.leave().await {
            tracing::warn!(topic = %self.source.topic, %error, "could not leave the group; the broker will notice");
        }
    }

    /// Waits, unless the poller must leave; tells whether it may go on.
    async fn rest(&self, wait: Duration) -> bool {
        let end = tokio::time::Instant::now() + wait;
        while self.board.phase() < Phase::Leaving {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return true,
                () = self.board.changed() => {}
            }
        }
        false
    }

    async fn step(&self, cursor: &mut GroupCursor, round: &mut Round) -> std::ops::ControlFlow<()> {
        let paused = self.board.paused();
        let polling = self.board.phase() == Phase::Polling;
        let step = {
            let step = cursor.step(|partition| polling && !paused.contains(&partition));
            tokio::pin!(step);
            loop {
                tokio::select! {
                    biased;
                    step = &mut step => break step,
                    // A request is never cut short for a commit, but a lost connection must not hold up the end.
                    () = self.board.changed(), if !self.membership.is_held() => {
                        if self.board.phase() == Phase::Leaving {
                            return std::ops::ControlFlow::Break(());
                        }
                    }
                }
            }
        };
        match step {
            Ok(step) => self.take(step, cursor, round).await,
            Err(error) => {
                if self.membership.failed(Stage::Read, &error) == Failure::New {
                    tracing::error!(topic = %self.source.topic, %error, "cannot read; it is tried again until it succeeds");
                }
                self.membership.end(End::Lost);
                if self.rest(REFUSED_WAIT).await {
                    std::ops::ControlFlow::Continue(())
                } else {
                    std::ops::ControlFlow::Break(())
                }
            }
        }
    }

    async fn take(
        &self,
        step: CursorStep,
        cursor: &GroupCursor,
        round: &mut Round,
    ) -> std::ops::ControlFlow<()> {
        let inputs = match step {
            CursorStep::Assigned(assigned) => {
                failpoint!("rebalance.after_assign");
                self.membership.begin();
                let begin =
                    |partition: PartitionId| Input::Assigned(self.key(partition), round.begin(partition));
                assigned.into_iter().map(|assignment| assignment.partition).map(begin).collect()
            }
            CursorStep::Revoked(revoked) => {
                failpoint!("rebalance.revoke_seen");
                let end = |partition| match cursor.may_store(partition) && !round.refused.contains(&partition)
                {
                    true => Input::TakenAway(self.key(partition)),
                    false => {
                        round.assignments.remove(&partition);
                        Input::Revoked(self.key(partition))
                    }
                };
                revoked.into_iter().map(end).collect()
            }
            CursorStep::Messages { partition, messages } => {
                failpoint!("poll.after_recv");
                round.idle = IDLE_MIN;
                let Some(room) = self.waiting.room_for(&messages).await else {
                    return std::ops::ControlFlow::Break(());
                };
                self.read(partition, messages, &room)
            }
            CursorStep::Expired { partition, from, until } => vec![self.expired(partition, (from, until))],
            CursorStep::Repeated { partition, from, until } => vec![self.repeated(partition, (from, until))],
            CursorStep::WentBack { partition, expected, last } => {
                vec![self.went_back(partition, (expected, last))]
            }
            CursorStep::Empty => {
                self.membership.begin();
                self.idle(round).await;
                Vec::new()
            }
            CursorStep::Disconnected { error, wait } => {
                if self.membership.failed(Stage::Read, &error) == Failure::New {
                    tracing::warn!(topic = %self.source.topic, %error, ?wait, "lost the broker; connecting again");
                }
                self.membership.end(End::Lost);
                Vec::new()
            }
        };
        for input in inputs {
            if self.inputs.send(input).await.is_err() {
                return std::ops::ControlFlow::Break(());
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn expired(&self, partition: PartitionId, (from, until): (Offset, Offset)) -> Input {
        let messages = until.0.saturating_sub(from.0);
        let lost = format!(
            "{messages} messages of topic {}, partition {partition}, offsets {from} to {until}, are gone before group {} handled them: \
             they expired or were purged",
            self.source.topic, self.group
        );
        tracing::error!("lost-to-retention: {lost}; keep them longer");
        self.troubles.happened("messages_lost", &self.place(partition), lost);
        Input::Expired(messages)
    }

    fn repeated(&self, partition: PartitionId, (from, until): (Offset, Offset)) -> Input {
        let messages = until.0.saturating_sub(from.0);
        let again = format!(
            "the stored offset of group {} in topic {}, partition {partition}, went back: the group was deleted or put back, or the \
             topic was purged or made anew; up to {messages} messages, offsets {from} to {until}, are handled again",
            self.group, self.source.topic
        );
        tracing::warn!("group-went-back: {again}");
        self.troubles.happened("group_went_back", &self.place(partition), again);
        Input::Repeated(messages)
    }

    fn went_back(&self, partition: PartitionId, (expected, last): (Offset, Offset)) -> Input {
        let lost = format!(
            "topic {}, partition {partition}, ends at offset {last} where offset {expected} was expected: the broker forgot messages, \
             or the topic was purged; all that it holds now is read",
            self.source.topic
        );
        tracing::error!("log-went-back: {lost}");
        self.troubles.happened("messages_lost", &self.place(partition), lost);
        Input::WentBack
    }

    /// Names a partition in what is told of it.
    fn place(&self, partition: PartitionId) -> String {
        format!("{}/{}/{partition}", self.source.topic, self.group)
    }

    async fn idle(&self, round: &mut Round) {
        round.idle = (round.idle * 2).clamp(IDLE_MIN, IDLE_MAX);
        tokio::select! {
            () = tokio::time::sleep(round.idle) => {}
            () = self.board.changed() => {}
        }
    }

    /// Stores what is asked for, and what was refused before once its rest is over.
    async fn store_commits(&self, cursor: &mut GroupCursor, round: &mut Round, urgency: Urgency) {
        let now = Instant::now();
        round.owed.add(self.board.take_commits(), now);
        // A commit from before the partition went and came back says nothing about its new owner's progress.
        let Round { owed, assignments, .. } = round;
        owed.retain(|partition, assignment| assignments.get(&partition) == Some(&assignment));
        for (partition, assignment, offset) in round.owed.due(urgency, now) {
            failpoint!("terminal.before_commit");
            match cursor.store_offset(partition, offset).await {
                Ok(StoreOutcome::Stored) => {
                    round.refused.remove(&partition);
                    round.owed.paid(partition);
                    self.committed(partition, offset);
                }
                Ok(StoreOutcome::NotOwner) => {
                    tracing::info!(topic = %self.source.topic, %partition, "another member owns the partition now");
                    round.refused.insert(partition);
                    round.owed.paid(partition);
                    // Nobody listens any more when the host has ended, and then nobody needs to know.
                    let _ended = self.inputs.send(Input::Overtaken(self.key(partition), assignment)).await;
                }
                Err(error) => {
                    round.owed.failed(now);
                    self.commit_failed(partition, offset, &error);
                    if error.is_transient() {
                        // The others would share its fate.
                        break;
                    }
                }
            }
        }
        self.judge_commits(round);
        if let Some(record) = &self.record {
            record.write_if_due(now).await;
        }
    }

    /// Says when commits are held up for too long, and when they are not any more.
    fn judge_commits(&self, round: &Round) {
        match round.owed.owed(Instant::now()) {
            None => self.commits.works(),
            Some((partitions, since)) if since >= COMMIT_WITHIN && !self.commits.is_failing() => {
                let since = humantime::format_duration(Duration::from_secs(since.as_secs()));
                self.commits.fails(&format!("the commits of {partitions} partitions wait for {since}"));
            }
            Some(_) => {}
        }
    }

    fn committed(&self, partition: PartitionId, offset: Offset) {
        failpoint!("commit.after_ack");
        self.membership.committed();
        if let Some(forgetter) = &self.forgetter {
            forgetter.confirmed(&self.source, partition, offset);
        }
        if let Some(record) = &self.record {
            record.note(partition, offset);
        }
        tracing::trace!(topic = %self.source.topic, %partition, %offset, "committed");
    }

    fn commit_failed(&self, partition: PartitionId, offset: Offset, error: &ConnectorError) {
        self.membership.failed(Stage::Commit, error);
        // A lost connection is the business of the next step, which tells it.
        if !error.is_transient() {
            self.commits.fails(&format!("partition {partition}, offset {offset}: {error}"));
        }
    }

    /// Decodes what was read, in parts that keep the dispatcher busy for a short time only.
    fn read(&self, partition: PartitionId, messages: Vec<ReceivedMessage>, room: &Room) -> Vec<Input> {
        let mut messages = messages.into_iter();
        let mut inputs = Vec::with_capacity(messages.len().div_ceil(READ_EVENTS_MAX));
        while messages.len() > 0 {
            let part = messages.by_ref().take(READ_EVENTS_MAX);
            let decoded = self.decode(partition, part);
            inputs.push(Input::Read(self.key(partition), decoded, Some(Arc::clone(room))));
        }
        inputs
    }

    fn decode(
        &self,
        partition: PartitionId,
        messages: impl Iterator<Item = ReceivedMessage>,
    ) -> Vec<Decoded> {
        let decode = |received: ReceivedMessage| {
            let source = Source {
                topic: Arc::clone(&self.source),
                partition,
                offset: received.offset,
                message_id: received.id,
                timestamp_micros: received.timestamp_micros,
                origin_timestamp_micros: received.origin_timestamp_micros,
            };
            let message = Message { source, headers: received.headers, payload: received.payload };
            self.codec.decode(message).map_err(Box::new)
        };
        SharedEvent::share(messages.map(decode))
    }

    fn key(&self, partition: PartitionId) -> PartitionKey {
        PartitionKey { topic: self.topic, partition }
    }
}

impl Round {
    fn begin(&mut self, partition: PartitionId) -> AssignmentId {
        self.assignments_made += 1;
        let assignment = AssignmentId(self.assignments_made);
        self.assignments.insert(partition, assignment);
        self.refused.remove(&partition);
        assignment
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use guesthouse_connector::RawHeaders;

    use super::*;

    fn message(payload_bytes: usize) -> ReceivedMessage {
        ReceivedMessage {
            id: 1,
            offset: Offset(0),
            timestamp_micros: 0,
            origin_timestamp_micros: 0,
            headers: RawHeaders(Bytes::new()),
            payload: vec![0; payload_bytes].into(),
        }
    }

    #[tokio::test]
    async fn what_waits_for_the_dispatcher_is_bounded_in_bytes() {
        let waiting = Waiting::new(8 << 10);
        let read = [message(6 << 10)];
        let room = waiting.room_for(&read).await.unwrap();
        let (parts, mut next) = ([Arc::clone(&room), room], Box::pin(waiting.room_for(&read)));
        let mut is_ready = || futures_poll(next.as_mut());
        assert!(!is_ready());
        let [first, last] = parts;
        drop(first);
        assert!(!is_ready(), "a part of the read still waits");
        drop(last);
        assert!(is_ready());
    }

    #[tokio::test]
    async fn a_read_larger_than_all_room_takes_all_of_it() {
        let waiting = Waiting::new(8 << 10);
        let room = waiting.room_for(&[message(1 << 20)]).await;
        assert!(room.is_some());
        waiting.close();
        assert!(waiting.room_for(&[message(1)]).await.is_none());
    }

    fn futures_poll(future: std::pin::Pin<&mut impl Future>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut context).is_ready()
    }
}
