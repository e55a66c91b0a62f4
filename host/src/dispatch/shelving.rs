//! How the dispatcher parks events and runs those that are released; what is parked is for [`Parking`] to know.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::Offset;
use rand::RngExt;

use super::blocking::Blocked;
use super::effects::{EffectId, PublishJob};
use super::gates::{GatedLane, Gates};
use super::parking::{Appended, Appending, Arrival, EVENTS_MAX, Note, Parking};
use super::partitions::{AssignmentId, PartitionKey, Place, Stand, Ticket};
use super::plan::Plan;
use super::queues::{Company, Delivery, LaneId, Rest};
use super::{Decoded, Dispatcher, Now};
use crate::dead_letter::EventRecord;
use crate::event::{Event, SharedEvent, SourceTopic};
use crate::identity::LaneName;
use crate::lane::OrderKey;
use crate::parked::{Applied, Content, Control, Fetch, Fetched, Kind, Owner, ReadBack, Record};
use crate::route::HandlerIndex;

/// What a dispatcher keeps for parking.
#[derive(Debug)]
pub(super) struct Shelving {
    /// The topics that are read; none where nothing is parked.
    sources: Vec<Arc<SourceTopic>>,
    pub(super) parking: Parking,
    /// What was read of partitions of which it is not known yet what is parked.
    unread: HashMap<PartitionKey, Vec<Decoded>>,
    /// Events that should be parked and for which there is no room, and all that came after them.
    overflow: VecDeque<(HandlerIndex, OrderKey, Delivery)>,
    let_go: BTreeSet<PartitionKey>,
    /// Records that wait for dead letters.
    pub(super) gates: Gates,
    /// Events that are parked and settled in their partition once it is known that their records count.
    awaiting: HashMap<(PartitionKey, LaneName, Offset), Ticket>,
    /// Lanes that are blocked.
    pub(super) blocked: HashMap<(PartitionKey, LaneName), Blocked>,
    /// Dropped events by handler.
    dropped: HashMap<String, u64>,
    is_look_due: bool,
}

impl Default for Shelving {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            parking: Parking::new(EVENTS_MAX),
            unread: HashMap::new(),
            overflow: VecDeque::new(),
            let_go: BTreeSet::new(),
            gates: Gates::default(),
            awaiting: HashMap::new(),
            blocked: HashMap::new(),
            dropped: HashMap::new(),
            is_look_due: false,
        }
    }
}

impl Shelving {
    /// A partition is no longer held. Tells what will never be published of it.
    fn revoke(&mut self, partition: PartitionKey) -> Vec<EffectId> {
        self.parking.revoke(partition);
        self.let_go.insert(partition);
        self.unread.remove(&partition);
        self.blocked.retain(|(other, _), _| *other != partition);
        self.awaiting.retain(|(other, ..), _| *other != partition);
        self.overflow.retain(|(_, _, delivery)| delivery.ticket.place().partition != partition);
        self.gates.revoke(partition)
    }

    /// Whether all that is parked is known to count.
    pub(super) fn is_known(&self) -> bool {
        self.awaiting.is_empty()
    }

    /// Keeps messages that cannot be looked at yet; gives the others back.
    pub(super) fn keep_unread(&mut self, partition: PartitionKey, messages: Vec<Decoded>) -> Vec<Decoded> {
        if self.parking.is_open(partition) {
            return messages;
        }
        self.unread.entry(partition).or_default().extend(messages);
        Vec::new()
    }

    /// Lanes and events that are parked of a handler, and events that were dropped.
    pub(super) fn counts(&self) -> HashMap<&str, (u64, u64, u64)> {
        let mut counts: HashMap<&str, (u64, u64, u64)> = HashMap::new();
        for (handler, events) in self.parking.held() {
            let (lanes, all, _) = counts.entry(handler).or_default();
            *lanes += 1;
            *all += events as u64;
        }
        for (handler, dropped) in &self.dropped {
            counts.entry(handler).or_default().2 = *dropped;
        }
        counts
    }
}

impl Dispatcher {
    /// With these topics, each of which has a parked topic of its name and this suffix. What is parked of a partition must be told by
    /// [`Self::read_back`] before its events are handled.
    pub(crate) fn with_parking(mut self, sources: Vec<Arc<SourceTopic>>, suffix: String) -> Self {
        self.shelving.sources = sources;
        self.effects.park_in(suffix);
        self
    }

    /// A partition is this host's from now on.
    pub(super) fn shelve(&mut self, partition: PartitionKey, assignment: AssignmentId) {
        if !self.shelving.sources.is_empty() {
            let owner = Owner(self.random.random());
            self.shelving.parking.assign(partition, assignment, owner);
            self.shelving.let_go.remove(&partition);
            self.partitions.close(partition);
        }
    }

    /// A partition is no longer this host's, or was assigned anew.
    pub(super) fn unshelve(&mut self, partition: PartitionKey) {
        for effect in self.shelving.revoke(partition) {
            self.open_effects.remove(&effect);
        }
    }

    /// As whom this host writes about what is parked of a partition; none where nothing is.
    pub(crate) fn owner_of(&self, partition: PartitionKey) -> Option<Owner> {
        self.shelving.parking.owner(partition)
    }

    /// Whether a partition's events are handled, and not kept until it is known what is parked of it.
    pub(crate) fn is_open(&self, partition: PartitionKey) -> bool {
        self.shelving.parking.is_open(partition)
    }

    /// Partitions of which nothing needs to be read any more.
    pub(crate) fn take_let_go(&mut self) -> BTreeSet<PartitionKey> {
        std::mem::take(&mut self.shelving.let_go)
    }

    /// The host stops: no more parked events are read. Those that were read run still.
    pub(crate) fn drain(&mut self) {
        self.shelving.parking.leave_all();
    }

    /// Whether something was parked that is worth reading at once.
    pub(crate) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.shelving.is_look_due)
    }

    /// Released events to read. What is settled of them is published.
    pub(crate) fn take_fetches(&mut self) -> Vec<Fetch> {
        let (notes, fetches) = self.shelving.parking.take_work();
        for note in notes {
            let Some(source) = self.shelving.sources.get(note.partition.topic.0) else { continue };
            let Note { owner, up_to, needed_from, .. } = note;
            let control = Control::Done { owner, up_to, needed_from };
            let record = (note.lane, control);
            let job = self.effects.note(source, note.partition.partition, record, self.random.random());
            self.start_effect(job, None);
        }
        fetches
    }

    /// Records of a parked partition were read.
    pub(crate) fn read_back(&mut self, read: ReadBack, now: Now) {
        let ReadBack { partition, assignment, records, next, is_complete } = read;
        for record in &records {
            let applied = self.shelving.parking.read_back(partition, assignment, record);
            if self.shelving.parking.is_open(partition) {
                self.note_applied(partition, record, applied, now);
            }
            self.settle_parked(partition, record, now);
        }
        if is_complete && self.shelving.parking.open(partition, assignment, next) {
            self.partitions.open(partition);
            let messages = self.shelving.unread.remove(&partition).unwrap_or_default();
            self.read(partition, messages, now);
        }
    }

    /// Settles an event in its partition when it is known that this host's record of it counts. Before that it may not be
    /// settled: when another host's claim came in between, nobody would know that it is parked.
    fn settle_parked(&mut self, partition: PartitionKey, record: &Record, now: Now) {
        let Content::Event(lane, event) = &record.content else { return };
        if self.shelving.parking.counts(partition, event.owner)
            && let Some(ticket) = self.shelving.awaiting.remove(&(partition, *lane, event.source))
        {
            self.settle_part(ticket, now);
        }
    }

    /// Partitions to take anew, for what this host parks of them does not count.
    pub(crate) fn take_contested(&mut self) -> BTreeSet<PartitionKey> {
        self.shelving.parking.take_contested()
    }

    /// Released events were read: they run next in their lane.
    pub(crate) fn fetched(&mut self, fetched: Fetched, now: Now) {
        let Fetched { partition, assignment, lane, number, events } = fetched;
        let Some(handler) = self.handler_of(partition, lane) else {
            tracing::error!(%lane, "a lane is released whose handler is not configured; it stays parked");
            return self.shelving.parking.shelve(partition, lane);
        };
        for event in events {
            let event = match event {
                Ok(event) => event,
                Err(reason) => {
                    tracing::error!(%lane, reason, "a parked event cannot be read; its lane stays parked");
                    return self.shelving.parking.shelve(partition, lane);
                }
            };
            let source = event.message.source.offset;
            let place = self.shelving.parking.run((partition, assignment), (lane, number), source);
            if let Some(place) = place {
                let ticket = Ticket::of_released(Place { partition, assignment }, place);
                self.run_released(handler, event, ticket, now);
            }
        }
        self.shelving.parking.fetched(partition, (lane, number));
    }

    /// Puts a delivery into its lane, wherever that is.
    pub(super) fn admit(&mut self, handler: HandlerIndex, order: OrderKey, delivery: Delivery, now: Now) {
        let Some(plan) = self.plans.get(handler.0) else { return };
        let partition = delivery.ticket.place().partition;
        let is_behind = plan.parks() && !self.shelving.overflow.is_empty();
        if !is_behind && (!plan.parks() || self.shelving.parking.is_clear(partition)) {
            return self.queues.push(handler, plan.pool, order, delivery);
        }
        let lane = self.lane_name(plan, &delivery.event, &order);
        match self.shelving.parking.arrival(partition, lane, delivery.event.message.source.offset) {
            // Asked at once, for what is settled is forgotten when the source is read on.
            Arrival::Known => self.settle_part(delivery.ticket, now),
            _ if is_behind => self.shelving.overflow.push_back((handler, order, delivery)),
            Arrival::Run => self.queues.push(handler, plan.pool, order, delivery),
            Arrival::Park => self.park_behind(handler, lane, &delivery, now),
            Arrival::Full => self.shelving.overflow.push_back((handler, order, delivery)),
        }
    }

    /// Admits what found no room before, as far as there is some.
    pub(super) fn admit_overflow(&mut self, now: Now) {
        for (handler, order, delivery) in std::mem::take(&mut self.shelving.overflow) {
            self.admit(handler, order, delivery, now);
        }
    }

    /// Parks what waits in a lane that has stopped. What belongs to other partitions goes on.
    pub(super) fn park_followers(&mut self, handler: HandlerIndex, lane: LaneId, now: Now) {
        let Some((order, pending)) = self.queues.take_pending(lane) else { return };
        let Some(pool) = self.plans.get(handler.0).map(|plan| plan.pool) else { return };
        // What found no room came later than these.
        let later = std::mem::take(&mut self.shelving.overflow);
        for delivery in pending {
            match delivery.ticket.stand() {
                // What was released of the lane is parked still.
                _ if !self.is_current(delivery.ticket) => {}
                Stand::Ledger(_) => self.admit(handler, order.clone(), delivery, now),
                Stand::Parked(_) => self.queues.push(handler, pool, order.clone(), delivery),
            }
        }
        self.shelving.overflow.extend(later);
    }

    /// Stops the lane of a dead event: beside its dead letter it is parked, as the head of its lane.
    pub(super) fn park_dead(
        &mut self,
        handler: HandlerIndex,
        delivery: &Delivery,
        job: PublishJob,
        now: Now,
    ) {
        let (letter, letter_id) = (job.effect, job.letter_id());
        if self.stop(handler, delivery, (Kind::Dead, letter_id, Some(letter)), now).is_some() {
            self.start_effect(job, None);
        }
    }

    /// Stops the lane of an event whose next attempt is far away.
    pub(super) fn park_waiting(
        &mut self,
        handler: HandlerIndex,
        delivery: &Delivery,
        wait: Duration,
        now: Now,
    ) {
        let wait_micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let kind = Kind::Waiting {
            until_micros: now.unix_micros.saturating_add(wait_micros),
            attempts: delivery.attempts,
            first_failed_micros: delivery.first_failure.map_or(now.unix_micros, |(_, micros)| micros),
        };
        self.stop(handler, delivery, (kind, None, None), now);
    }

    /// The dead letter that a released event was parked behind.
    pub(super) fn parked_behind(&self, handler: HandlerIndex, delivery: &Delivery) -> Option<String> {
        let plan = self.plans.get(handler.0)?;
        let Stand::Parked(place) = delivery.ticket.stand() else { return None };
        self.shelving.parking.behind(delivery.ticket.place().partition, place.lane).filter(|_| plan.parks())
    }

    /// Takes note of what was confirmed, as far as it matters for parking.
    pub(super) fn parked(&mut self) {
        self.shelving.is_look_due |= self.shelving.parking.is_releasing() || !self.shelving.is_known();
    }

    /// Stops the lane of an event, once a dead letter is confirmed where there is one. None when the partition is gone.
    fn stop(
        &mut self,
        handler: HandlerIndex,
        delivery: &Delivery,
        (kind, behind, letter): (Kind, Option<String>, Option<EffectId>),
        now: Now,
    ) -> Option<LaneName> {
        let mut job = self.effects.nothing_yet();
        let lane = self.add_record(&mut job, (handler, delivery), (kind, behind.clone()), now)?;
        let event = &delivery.event;
        let appended = Appended { lane, event: event.message.source.offset, behind };
        let partition = delivery.ticket.place().partition;
        self.shelving.parking.append(partition, &appended, Appending::Stop);
        if let (Kind::Dead, Some(plan)) = (kind, self.plans.get(handler.0)) {
            let (handler, tenant) = (&plan.config.name, &event.tenant);
            tracing::error!(%handler, %tenant, id = %event.id, %lane, "a lane is parked behind a dead event");
        }
        // What was parked before is settled by a note, once it is handled.
        let settles = matches!(delivery.ticket.stand(), Stand::Ledger(_)).then_some(delivery.ticket);
        self.start_record((partition, lane), (job, letter), appended.event, settles);
        Some(lane)
    }

    /// Publishes a record of a lane about an event, behind those that wait for dead letters.
    fn start_record(
        &mut self,
        lane: GatedLane,
        (job, letter): (PublishJob, Option<EffectId>),
        event: Offset,
        settles: Option<Ticket>,
    ) {
        self.shelving.awaiting.extend(settles.map(|ticket| ((lane.0, lane.1, event), ticket)));
        self.open_effects.insert(job.effect, None);
        self.jobs.extend(self.shelving.gates.pass(lane, job, letter));
    }

    /// Makes it part of a job that an event stops its lane. None where nothing is parked.
    pub(super) fn add_record(
        &mut self,
        job: &mut PublishJob,
        (handler, delivery): (HandlerIndex, &Delivery),
        (kind, behind): (Kind, Option<String>),
        now: Now,
    ) -> Option<LaneName> {
        let plan = self.plans.get(handler.0)?;
        let (config, event) = (Arc::clone(&plan.config), &delivery.event);
        let lane = self.lane_name(plan, event, &config.order_by.key_of(event));
        let forgiven = self.deaths_forgiven(delivery.ticket);
        let record = EventRecord {
            event,
            handler: &config,
            lane,
            // Whoever releases a dead event wants it tried again, whatever hosts it has killed.
            deaths_forgiven: if kind == Kind::Dead { forgiven + delivery.deaths } else { forgiven },
            owner: self.shelving.parking.owner(delivery.ticket.place().partition)?,
            kind,
            is_again: matches!(delivery.ticket.stand(), Stand::Parked(_)),
            behind,
            now_micros: now.unix_micros,
        };
        self.effects.park(job, &record, self.random.random());
        Some(lane)
    }

    fn park_behind(&mut self, handler: HandlerIndex, lane: LaneName, delivery: &Delivery, now: Now) {
        let Some(plan) = self.plans.get(handler.0) else { return };
        let (partition, event) = (delivery.ticket.place().partition, &delivery.event);
        let Some(owner) = self.shelving.parking.owner(partition) else { return };
        let record = EventRecord {
            event,
            handler: &plan.config,
            lane,
            owner,
            kind: Kind::Behind,
            is_again: false,
            deaths_forgiven: 0,
            behind: self.shelving.parking.behind(partition, lane),
            now_micros: now.unix_micros,
        };
        let mut job = self.effects.nothing_yet();
        self.effects.park(&mut job, &record, self.random.random());
        let appended = Appended { lane, event: event.message.source.offset, behind: None };
        self.shelving.parking.append(partition, &appended, Appending::Follow);
        self.start_record((partition, lane), (job, None), appended.event, Some(delivery.ticket));
    }

    fn run_released(&mut self, handler: HandlerIndex, event: SharedEvent, ticket: Ticket, now: Now) {
        let Some(plan) = self.plans.get(handler.0) else { return };
        let deaths = self.suspects.deaths(&plan.config.name, &event.message);
        let Stand::Parked(place) = ticket.stand() else { return };
        let company = if deaths == 0 { Company::Shared } else { Company::Alone };
        let waited = self.shelving.parking.waited(ticket.place().partition, place);
        let (attempts, first_failed) = waited.unzip();
        let first_failure = first_failed.map(|micros| {
            let ago = Duration::from_micros(now.unix_micros.saturating_sub(micros));
            (now.instant.checked_sub(ago).unwrap_or(now.instant), micros)
        });
        let order = plan.config.order_by.key_of(&event);
        let delivery = Delivery {
            event,
            ticket,
            attempts: attempts.unwrap_or_default(),
            first_failure,
            company,
            deaths: deaths.saturating_sub(self.deaths_forgiven(ticket)),
        };
        self.queues.push(handler, plan.pool, order, delivery);
    }

    fn deaths_forgiven(&self, ticket: Ticket) -> u32 {
        match ticket.stand() {
            Stand::Ledger(_) => 0,
            Stand::Parked(place) => self.shelving.parking.deaths_forgiven(ticket.place().partition, place),
        }
    }

    fn lane_name(&self, plan: &Plan, event: &Event, order: &OrderKey) -> LaneName {
        let group = self.effects.group();
        LaneName::of(group, &plan.config.name, &event.tenant, order, &event.message.source)
    }

    fn handler_of(&self, partition: PartitionKey, lane: LaneName) -> Option<HandlerIndex> {
        let name = self.shelving.parking.handler_of(partition, lane)?;
        let at = self.plans.iter().position(|plan| plan.config.name.as_str() == name && plan.parks())?;
        Some(HandlerIndex(at))
    }

    fn note_applied(&mut self, partition: PartitionKey, record: &Record, applied: Applied, now: Now) {
        let (Content::Event(lane, _) | Content::Control(lane, _)) = &record.content else { return };
        let handler = self.shelving.parking.handler_of(partition, *lane).unwrap_or_default().to_owned();
        match applied {
            Applied::Nothing | Applied::Parked | Applied::Stopped => {}
            Applied::Unblocked(head) => self.unblock_lane(partition, *lane, head, now),
            Applied::Released => tracing::info!(handler, %lane, "a parked lane is released"),
            Applied::Stale => {
                tracing::warn!(%lane, "a command about a parked lane came too late: it has another head, or none");
            }
            Applied::Dropped(events) => {
                tracing::warn!(handler, %lane, events, "parked events are dropped, as an operator wants");
                *self.shelving.dropped.entry(handler).or_default() += events;
            }
        }
    }
}

/// How a lane goes on that is parked.
pub(super) const PARKED: (Option<Delivery>, Rest) = (None, Rest::Parked);
