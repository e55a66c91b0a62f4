//! The member itself: a shell around [`Positions`] that talks to the broker and survives its absence.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::positions::{Found, Positions, WayBack};
use super::{CursorStep, StoreOutcome};
use crate::address::{GroupAddress, Offset, PartitionId};
use crate::backoff::Backoff;
use crate::client::{Client, GroupTarget, Polled, Range, Reader};
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;
use crate::message::ReceivedMessage;
use crate::poll_size::PollBounds;

/// How often the assignment is asked for; it also keeps the membership alive.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How often one step may find itself fenced and ask for the assignment again before it answers.
const SYNCS_PER_STEP_MAX: usize = 3;

/// The bounds of the waits between attempts to connect.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_LONGEST: Duration = Duration::from_secs(10);

/// A member of a consumer group with a connection of its own, owned by one task.
///
/// The owner calls [`step`](Self::step) again and again, and [`store_offset`](Self::store_offset) in between. A lost
/// connection never ends it: the partitions are revoked, and later steps connect and join again. Dropping it ends the
/// membership as soon as the broker notices the closed connection; [`leave`](Self::leave) ends it at once.
#[derive(Debug)]
pub struct GroupCursor {
    endpoint: Arc<Endpoint>,
    group: GroupTarget,
    reader: Reader,
    poll_bounds: PollBounds,
    connection: Option<Connection>,
    positions: Positions,
    /// Steps that are told before anything else happens.
    announced: VecDeque<Result<CursorStep, ConnectorError>>,
    backoff: Backoff,
    retry_at: Instant,
    /// Whether it failed since it last had its assignment.
    is_out: bool,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    /// `None` while this connection is no member.
    membership: Option<Membership>,
}

#[derive(Debug)]
struct Membership {
    /// Changes whenever the assignment of any member does.
    generation: Option<u64>,
    sync_at: Instant,
}

/// What polling the wanted partitions led to.
enum Turn {
    Step(CursorStep),
    /// Something has changed that must be told before polling goes on.
    Again,
}

impl GroupCursor {
    /// Connects and makes sure that the group exists; the first step joins it.
    pub(crate) async fn open(
        endpoint: Arc<Endpoint>,
        group: &GroupAddress,
        poll_bounds: PollBounds,
    ) -> Result<Self, ConnectorError> {
        let group = GroupTarget::new(group)?;
        let client = Client::open(&endpoint).await?;
        if client.topic(&group.target).await?.is_none() {
            return Err(ConnectorError::Topology(format!("topic {} does not exist", group.target.address())));
        }
        client.ensure_group(&group).await?;
        Ok(Self {
            endpoint,
            reader: group.reader(),
            group,
            poll_bounds,
            connection: Some(Connection::new(client)),
            positions: Positions::default(),
            announced: VecDeque::new(),
            backoff: Backoff::new(WAIT_FIRST, WAIT_LONGEST),
            retry_at: Instant::now(),
            is_out: false,
        })
    }

    /// Does the next thing that is due: connects, joins, keeps the membership alive, or polls partitions in turn until
    /// one has messages.
    ///
    /// Partitions for which `wants` answers false are not polled. Nothing is committed by polling. A step waits for the
    /// broker, and after [`CursorStep::Disconnected`] for as long as that said. Dropping its future loses nothing: what
    /// was not returned is found again by the next step.
    ///
    /// # Errors
    ///
    /// Wrong credentials, or a topic or group that is missing, after everything was revoked; calling again waits a
    /// while and tries again from the start. Any other refusal of the broker concerns one partition; calling again
    /// goes on with the next one.
    pub async fn step(
        &mut self,
        wants: impl Fn(PartitionId) -> bool + Send + Sync,
    ) -> Result<CursorStep, ConnectorError> {
        if let Some(step) = self.announced.pop_front() {
            return step;
        }
        match self.proceed(&wants).await {
            Ok(step) => Ok(step),
            Err(error) => self.fall_back(error),
        }
    }

    /// Stores the offset of the last settled message of a partition. The broker decides whether it may: some let a
    /// member store offsets of partitions that it is about to lose.
    ///
    /// # Errors
    ///
    /// Fails when the broker cannot be reached or refuses; whether the offset is stored is then unknown.
    pub async fn store_offset(
        &mut self,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<StoreOutcome, ConnectorError> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.positions.may_store(partition))
        else {
            return Ok(StoreOutcome::NotOwner);
        };
        let client = &connection.client;
        // It may have been another member's since, and be this one's again: the broker would take an older offset.
        if let Some(known) = self.positions.stored_when_taken(partition)
            && client.stored_offset(&self.group, partition).await? != known
        {
            self.positions.let_go(partition);
            return Ok(StoreOutcome::NotOwner);
        }
        let outcome = client.store_offset(&self.group, partition, offset).await?;
        match outcome {
            StoreOutcome::Stored => self.positions.note_stored(partition, offset),
            StoreOutcome::NotOwner => connection.sync_soon(),
        }
        Ok(outcome)
    }

    /// Remembers an offset that an earlier member of the group, such as one of the same host in its last life, stored. Should
    /// the broker know of an older one or none, [`CursorStep::Repeated`] or [`CursorStep::Expired`] tells what
    /// follows from that. To be called before the first step.
    pub fn remember(&mut self, partition: PartitionId, stored: Offset) {
        self.positions.remember(partition, stored);
    }

    /// Whether the broker may still take offsets of a partition: it is this member's, or was until the group gave it to
    /// another one, and some brokers let the other one begin only after the last offset of the first.
    pub fn may_store(&self, partition: PartitionId) -> bool {
        self.connection.is_some() && self.positions.may_store(partition)
    }

    /// Deletes the stored offset of a partition that this member reads: the next one begins it at its beginning.
    pub(crate) async fn delete_offset(&mut self, partition: PartitionId) -> Result<(), ConnectorError> {
        match &self.connection {
            Some(Connection { client, .. }) => client.delete_offset(&self.group, partition).await,
            None => Err(ConnectorError::NotConnected),
        }
    }

    /// The partitions that this member reads now.
    pub fn assignment(&self) -> impl Iterator<Item = PartitionId> {
        self.positions.owned()
    }

    /// Leaves the group, so that others take over at once, and closes the connection.
    ///
    /// # Errors
    ///
    /// Fails when the broker cannot be reached; it then notices the closed connection by itself.
    pub async fn leave(mut self) -> Result<(), ConnectorError> {
        let Some(Connection { client, .. }) = self.connection.take() else {
            return Ok(());
        };
        let left = client.leave(&self.group).await;
        client.close().await;
        left
    }

    async fn proceed(
        &mut self,
        wants: &(impl Fn(PartitionId) -> bool + Sync),
    ) -> Result<CursorStep, ConnectorError> {
        self.connect().await?;
        for _ in 0..SYNCS_PER_STEP_MAX {
            self.sync_if_due().await?;
            let revoked = self.positions.take_revoked();
            if !revoked.is_empty() {
                info!(group = %self.group.address, ?revoked, "partitions revoked");
                return Ok(CursorStep::Revoked(revoked));
            }
            let gained = self.positions.gained();
            if !gained.is_empty() {
                return self.begin(&gained).await;
            }
            if let Turn::Step(step) = self.poll_in_turn(wants).await? {
                return Ok(step);
            }
        }
        Ok(CursorStep::Empty)
    }

    /// Makes sure that there is a connection that looks alive.
    async fn connect(&mut self) -> Result<(), ConnectorError> {
        match &self.connection {
            Some(connection) if connection.client.is_usable() => return Ok(()),
            Some(_) => {
                return Err(ConnectorError::Connection(format!(
                    "the connection of group {} was lost",
                    self.group.address
                )));
            }
            None => {}
        }
        sleep_until(self.retry_at).await;
        let client = Client::open(&self.endpoint).await?;
        self.connection = Some(Connection::new(client));
        Ok(())
    }

    /// Joins if this connection is no member, and asks for the assignment if that is due.
    async fn sync_if_due(&mut self) -> Result<(), ConnectorError> {
        let Some(connection) = &mut self.connection else {
            return Err(ConnectorError::NotConnected);
        };
        if !connection.sync_is_due() {
            return Ok(());
        }
        if connection.membership.is_none() {
            // The group is gone if the topic was made anew.
            connection.client.ensure_group(&self.group).await?;
            connection.client.join(&self.group).await?;
            connection.membership = Some(Membership::fresh());
        }
        let Some(assignment) = connection.client.sync(&self.group).await? else {
            info!(group = %self.group.address, "the membership has ended; joining again");
            connection.membership = None;
            self.positions.set_target([]);
            return Ok(());
        };
        if connection.knows_other_than(assignment.generation) {
            give_up_overtaken(&connection.client, &self.group, &mut self.positions).await?;
        }
        connection.note_synced(assignment.generation);
        self.positions.set_target(assignment.partitions);
        self.backoff.reset();
        self.is_out = false;
        Ok(())
    }

    async fn begin(&mut self, gained: &[PartitionId]) -> Result<CursorStep, ConnectorError> {
        let Some(Connection { client, .. }) = &self.connection else {
            return Err(ConnectorError::NotConnected);
        };
        let mut stored = Vec::with_capacity(gained.len());
        for partition in gained {
            stored.push((*partition, client.stored_offset(&self.group, *partition).await?));
        }
        let begun = stored.into_iter().map(|(partition, stored)| self.positions.begin(partition, stored));
        let assigned: Vec<_> = begun.collect();
        info!(group = %self.group.address, ?assigned, "partitions assigned");
        Ok(CursorStep::Assigned(assigned))
    }

    /// Polls the wanted partitions one after another until one has messages.
    async fn poll_in_turn(
        &mut self,
        wants: &(impl Fn(PartitionId) -> bool + Sync),
    ) -> Result<Turn, ConnectorError> {
        let mut first = None;
        for _ in 0..self.positions.count() {
            // Until it is the turn of the first one again.
            let turn = self.positions.next_in_turn(wants).filter(|next| first != Some(*next));
            let Some(partition) = turn else { break };
            first.get_or_insert(partition);
            let Some(next) = self.positions.take_turn(partition) else { break };
            let asked = self.positions.poll_size(partition, self.poll_bounds);
            match self.poll(partition, next, asked).await? {
                Polled::NotOwner => {
                    if let Some(connection) = &mut self.connection {
                        connection.sync_soon();
                    }
                    return Ok(Turn::Again);
                }
                Polled::Messages { messages, last_offset } => {
                    self.positions.note_poll(partition, asked, &messages);
                    let back = match messages.is_empty() {
                        true => last_offset
                            .and_then(|last| self.positions.note_end(partition, last, Instant::now())),
                        false => self.positions.note_messages(partition),
                    };
                    if let Some(back) = back {
                        return self.begin_again(partition, back).await.map(Turn::Step);
                    }
                    if let Some(last) = last_offset.filter(|_| messages.is_empty())
                        && let Some(from) = self.positions.note_nothing(partition, last, Instant::now())
                    {
                        let until = last.next();
                        return Ok(Turn::Step(CursorStep::Expired { partition, from, until }));
                    }
                    if let Some(step) = self.deliver(partition, messages) {
                        return Ok(Turn::Step(step));
                    }
                }
            }
        }
        Ok(Turn::Step(CursorStep::Empty))
    }

    async fn poll(
        &self,
        partition: PartitionId,
        next: Offset,
        messages_max: u32,
    ) -> Result<Polled, ConnectorError> {
        let Some(Connection { client, .. }) = &self.connection else {
            return Err(ConnectorError::NotConnected);
        };
        let range = Range { from: next, messages_max };
        client.poll(&self.group.target, partition, &self.reader, range).await
    }

    /// Moves on behind the messages, if there are any, and tells them, after what is to be known about those before them.
    fn deliver(&mut self, partition: PartitionId, messages: Vec<ReceivedMessage>) -> Option<CursorStep> {
        let (first, last) = (messages.first()?.offset, messages.last()?.offset);
        let found = self.positions.advance(partition, first, last);
        let step = CursorStep::Messages { partition, messages };
        let told = match found {
            None => return Some(step),
            Some(Found::Gone { from }) => CursorStep::Expired { partition, from, until: first },
            Some(Found::HandledBefore { until }) => CursorStep::Repeated { partition, from: first, until },
        };
        self.announced.push_back(Ok(step));
        Some(told)
    }

    /// Forgets how far the group was in a partition whose offsets went back. The stored offset goes first: it would let
    /// the next member pass over everything up to it.
    async fn begin_again(
        &mut self,
        partition: PartitionId,
        WayBack { expected, last }: WayBack,
    ) -> Result<CursorStep, ConnectorError> {
        let Some(Connection { client, .. }) = &self.connection else {
            return Err(ConnectorError::NotConnected);
        };
        client.delete_offset(&self.group, partition).await?;
        self.positions.begin_again(partition);
        Ok(CursorStep::WentBack { partition, expected, last })
    }

    /// Decides what a failure means for the membership, and tells everything that follows from it in order.
    fn fall_back(&mut self, error: ConnectorError) -> Result<CursorStep, ConnectorError> {
        let ends_membership = matches!(
            error,
            ConnectorError::Topology(_) | ConnectorError::Auth(_) | ConnectorError::Config(_)
        );
        if !ends_membership && !error.is_transient() {
            return Err(error);
        }
        let wait = self.backoff.next(rand::random());
        self.retry_at = Instant::now() + wait;
        self.connection = None;
        // One line for each outage: whoever steps tells the rest.
        if !std::mem::replace(&mut self.is_out, true) {
            warn!(group = %self.group.address, %error, ?wait, "connection given up; connecting again until it succeeds");
        }
        let told = match ends_membership {
            true => Err(error),
            false => Ok(CursorStep::Disconnected { error, wait }),
        };
        let revoked = self.positions.take_all();
        if revoked.is_empty() {
            return told;
        }
        self.announced.push_back(told);
        Ok(CursorStep::Revoked(revoked))
    }
}

impl Connection {
    const fn new(client: Client) -> Self {
        Self { client, membership: None }
    }

    fn sync_is_due(&self) -> bool {
        let membership = self.membership.as_ref();
        membership.is_none_or(|membership| membership.sync_at <= Instant::now())
    }

    fn sync_soon(&mut self) {
        if let Some(membership) = &mut self.membership {
            membership.sync_at = Instant::now();
        }
    }

    /// Whether there was an assignment before, and it was another one.
    fn knows_other_than(&self, generation: u64) -> bool {
        let known = self.membership.as_ref().and_then(|membership| membership.generation);
        known.is_some_and(|known| known != generation)
    }

    fn note_synced(&mut self, generation: u64) {
        self.membership =
            Some(Membership { generation: Some(generation), sync_at: Instant::now() + SYNC_INTERVAL });
    }
}

impl Membership {
    fn fresh() -> Self {
        Self { generation: None, sync_at: Instant::now() }
    }
}

/// After a change of the assignment a partition may have been another member's for a moment. If that member stored an
/// offset, ours is outdated and the partition is begun anew.
async fn give_up_overtaken(
    client: &Client,
    group: &GroupTarget,
    positions: &mut Positions,
) -> Result<(), ConnectorError> {
    for (partition, known) in positions.known_offsets() {
        if client.stored_offset(group, partition).await? != known {
            info!(group = %group.address, %partition, "another member has read on; beginning anew");
            positions.give_up(partition);
        }
    }
    Ok(())
}
