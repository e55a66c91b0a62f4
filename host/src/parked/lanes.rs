//! What the records of one parked partition add up to, for one group: its lanes, and what each of them holds.
//!
//! A pure fold over the records in the order of the log. Inside a lane the order is that of the source partition,
//! whatever the order in which its events were parked, so a record that was written twice changes nothing. Records of
//! earlier owners that come behind a claim do not count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use guesthouse_connector::Offset;

use super::record::{Action, Command, Content, Control, Dropped, Head, Kind, Owner, ParkedEvent, Record};
use crate::identity::LaneName;

/// Records whose ids are remembered: more than a request has, and some that others write meanwhile.
const RECENT_MAX: usize = 2_000;

/// How a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It waits for a command.
    Held,
    /// Its head waits for its next attempt, until then in microseconds since 1970.
    Waiting { until_micros: u64 },
    /// Its events are run in order, until none is left.
    Released,
    /// Its events are not parked, but its first one is dead and holds them up where they are.
    Blocked,
}

/// What a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Nothing that anybody needs to look at.
    Nothing,
    /// An event joined its lane.
    Parked,
    /// An event stopped its lane.
    Stopped,
    /// The lane goes on.
    Released,
    /// A lane goes on that was blocked, with its first event or without.
    Unblocked(Head),
    /// So many events were dropped.
    Dropped(u64),
    /// A command came too late: the lane has another head, or none.
    Stale,
}

/// The attempts of an event that waits for its next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) event: Offset,
    pub(crate) attempts: u32,
    pub(crate) first_failed_micros: u64,
}

/// One lane of a parked partition.
#[derive(Debug, Clone)]
pub(crate) struct ParkedLane {
    pub(crate) handler: String,
    pub(crate) tenant: String,
    /// What orders it, and its key.
    pub(crate) order: String,
    pub(crate) standing: Standing,
    /// The dead letter that it waits behind.
    pub(crate) behind: Option<String>,
    /// When its first event was parked, in microseconds since 1970.
    pub(crate) since_micros: u64,
    pub(crate) waited: Option<Waited>,
    /// The event at which it last stopped, with the deaths of the host that are not held against that.
    pub(crate) forgiven: Option<(Offset, u32)>,
    /// Its events: offset in the source partition, and in the parked one.
    events: BTreeMap<Offset, Offset>,
    /// What it held and is settled, by offsets in the source partition, as far as that may be read there again.
    settled: BTreeSet<Offset>,
}

/// The lanes of one parked partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParkedLanes {
    lanes: BTreeMap<LaneName, ParkedLane>,
    /// Lanes that the present owner has blocked, each with its first event alone. The next one tries it again.
    blocked: BTreeMap<LaneName, ParkedLane>,
    /// Lanes of which more was parked than a note covers: their first record since a note covered all, and their last
    /// event. A command counts only behind all the records of its lane, so they are needed until then.
    open: BTreeMap<LaneName, (Offset, Offset)>,
    /// Those first records in their order.
    needed: BTreeSet<(Offset, LaneName)>,
    /// The first record of lanes that hold nothing any more, and their last event: until that is committed in the
    /// source, the next host must know that it is settled.
    lingering: BTreeMap<Offset, Offset>,
    next: Offset,
    events: usize,
    /// Events of the source partition from here on may be read there again: which of them are settled is remembered.
    source_next: Offset,
    /// The last of those that are settled.
    last_settled: Option<Offset>,
    recent: RecentIds,
    owner: Option<Owner>,
    /// Where claims stand, as far back as any of them is needed.
    claims: BTreeSet<Offset>,
    /// How far the source partition is committed, as far as that is known.
    committed: Option<Offset>,
}

/// The ids of the last records, by which those are known that were sent twice. One sender has one request under way, so
/// the second does not come far behind the first.
#[derive(Debug, Clone, Default)]
struct RecentIds {
    known: BTreeSet<u128>,
    order: VecDeque<u128>,
}

impl RecentIds {
    fn is_new(&mut self, id: u128) -> bool {
        let is_new = self.known.insert(id);
        if is_new {
            self.order.push_back(id);
        }
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        is_new
    }
}

impl ParkedLane {
    fn new(event: &ParkedEvent) -> Self {
        Self {
            handler: event.handler.clone(),
            tenant: event.tenant.clone(),
            order: event.order.clone(),
            standing: Standing::Released,
            behind: None,
            since_micros: event.parked_micros,
            waited: None,
            forgiven: None,
            events: BTreeMap::new(),
            settled: BTreeSet::new(),
        }
    }

    fn blocked(event: &ParkedEvent, at: Offset) -> Self {
        let mut lane = Self::new(event);
        lane.standing = Standing::Blocked;
        lane.behind.clone_from(&event.behind);
        lane.events.insert(event.source, at);
        lane
    }

    /// Its first event, by its offset in the source partition.
    pub(crate) fn head(&self) -> Option<Offset> {
        self.events.first_key_value().map(|(source, _)| *source)
    }

    /// Its events in order: offset in the source partition, and in the parked one.
    pub(crate) fn events(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.events.iter().map(|(source, at)| (*source, *at))
    }

    /// How many events it holds.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds an event.
    pub(crate) fn holds(&self, source: Offset) -> bool {
        self.events.contains_key(&source)
    }

    /// Whether an event went through it and is settled.
    pub(crate) fn has_settled(&self, source: Offset) -> bool {
        self.settled.contains(&source)
    }
}

impl ParkedLanes {
    /// Takes in a record. Records come in the order of their offsets.
    pub(crate) fn apply(&mut self, record: &Record) -> Applied {
        let at = record.at;
        self.next = at.next();
        if !self.recent.is_new(record.id) {
            return Applied::Nothing;
        }
        match &record.content {
            Content::Claim(owner) => {
                self.owner = Some(*owner);
                self.claims.insert(at);
                self.blocked.clear();
                Applied::Nothing
            }
            Content::Event(_, ParkedEvent { owner, .. })
            | Content::Control(_, Control::Done { owner, .. })
                if self.owner.is_some_and(|present| present != *owner) =>
            {
                Applied::Nothing
            }
            Content::Event(name, event) if event.kind == Kind::Blocked => {
                self.blocked.insert(*name, ParkedLane::blocked(event, at));
                Applied::Nothing
            }
            Content::Event(name, event) => self.park(*name, at, event),
            Content::Control(name, Control::Done { up_to, .. }) => {
                self.settle(*name, *up_to);
                self.close(*name, *up_to);
                Applied::Nothing
            }
            Content::Control(name, Control::Command(command)) => self.obey(*name, *command),
        }
    }

    /// Everything before this offset was read.
    pub(crate) fn skip_to(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Everything of a lane up to an offset of the source partition is settled.
    fn settle(&mut self, name: LaneName, up_to: Offset) {
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        let left = lane.events.split_off(&up_to.next());
        let settled = std::mem::replace(&mut lane.events, left);
        self.events -= settled.len();
        if let Some((last, _)) = settled.last_key_value()
            && lane.events.is_empty()
            && self.committed < Some(*last)
            && let Some((first, _)) = self.open.get(&name)
        {
            // It may have been emptied of later ones before, and filled again from a source that is read once more.
            let lingers_until = self.lingering.entry(*first).or_default();
            *lingers_until = (*lingers_until).max(*last);
        }
        let remembered = settled.into_keys().filter(|event| *event >= self.source_next);
        lane.settled.extend(remembered);
        self.last_settled = self.last_settled.max(lane.settled.last().copied());
        if lane.events.is_empty() {
            lane.waited = None;
            lane.behind = None;
        }
    }

    /// The lane of this name, which may be empty.
    pub(crate) fn get(&self, name: LaneName) -> Option<&ParkedLane> {
        self.lanes.get(&name)
    }

    /// The lanes that hold events.
    pub(crate) fn held(&self) -> impl Iterator<Item = (LaneName, &ParkedLane)> {
        self.lanes.iter().filter(|(_, lane)| !lane.events.is_empty()).map(|(name, lane)| (*name, lane))
    }

    /// The lanes that are blocked.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = (LaneName, &ParkedLane)> {
        self.blocked.iter().map(|(name, lane)| (*name, lane))
    }

    /// The source partition was read up to an offset, and each of its events asked about.
    pub(crate) fn source_read(&mut self, next: Offset) {
        self.source_next = next;
        if self.last_settled.is_some_and(|last| last < next) {
            self.last_settled = None;
            self.lanes.retain(|_, lane| !lane.events.is_empty());
            self.lanes.values_mut().for_each(|lane| lane.settled.clear());
        }
    }

    /// Forgets a lane that holds nothing, unless it must be remembered what it has settled.
    pub(crate) fn forget(&mut self, name: LaneName) {
        let is_over = |lane: &ParkedLane| lane.settled.last().is_none_or(|last| *last < self.source_next);
        if self.lanes.get(&name).is_some_and(is_over) {
            self.lanes.remove(&name);
        }
    }

    /// Whose records count now.
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// How many events wait.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// Whether nothing is known of any lane.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// The first record that is needed to know all this again. It is a claim, so that it is known whose records count.
    pub(crate) fn needed_from(&mut self) -> Offset {
        let needed = self.needed.first().map(|(at, _)| *at);
        let lingering = self.lingering.first_key_value().map(|(at, _)| *at);
        let needed = needed.into_iter().chain(lingering).min().unwrap_or(self.next);
        let claim = self.claims.range(..=needed).next_back().copied().unwrap_or_default();
        self.claims = self.claims.split_off(&claim);
        claim
    }

    /// The last event of a lane that holds none any more, as long as no note says so.
    pub(crate) fn emptied(&self, name: LaneName) -> Option<Offset> {
        let (_, last) = *self.open.get(&name)?;
        self.lanes.get(&name).is_none_or(|lane| lane.events.is_empty()).then_some(last)
    }

    /// The lanes of which more was parked than a note covers.
    pub(crate) fn open(&self) -> impl Iterator<Item = LaneName> {
        self.open.keys().copied()
    }

    /// The source partition is committed up to an offset.
    pub(crate) fn source_committed(&mut self, offset: Offset) {
        self.committed = self.committed.max(Some(offset));
        self.lingering.retain(|_, last| *last > offset);
    }

    /// Lets a lane go on whose head has waited long enough. Tells whether it does.
    pub(crate) fn end_wait(&mut self, name: LaneName, now_micros: u64) -> bool {
        let Some(lane) = self.lanes.get_mut(&name) else { return false };
        let is_over =
            matches!(lane.standing, Standing::Waiting { until_micros } if until_micros <= now_micros);
        if is_over {
            lane.standing = Standing::Released;
        }
        is_over
    }

    fn park(&mut self, name: LaneName, at: Offset, event: &ParkedEvent) -> Applied {
        if event.is_again && !self.lanes.get(&name).is_some_and(|lane| lane.holds(event.source)) {
            return Applied::Nothing;
        }
        let lane = self.lanes.entry(name).or_insert_with(|| ParkedLane::new(event));
        if lane.has_settled(event.source) {
            return Applied::Nothing;
        }
        if lane.events.is_empty() {
            // What follows nothing need not wait: all that it was parked behind is settled.
            (lane.standing, lane.since_micros) = (Standing::Released, event.parked_micros);
        }
        let (first, last) = self.open.entry(name).or_insert((at, event.source));
        *last = event.source.max(*last);
        self.needed.insert((*first, name));
        if lane.events.insert(event.source, at).is_none() {
            self.events += 1;
        }
        match event.kind {
            Kind::Behind | Kind::Blocked => {
                lane.behind = lane.behind.take().or_else(|| event.behind.clone());
                return Applied::Parked;
            }
            Kind::Dead => {
                lane.standing = Standing::Held;
                lane.forgiven = Some((event.source, event.deaths_forgiven));
                lane.behind.clone_from(&event.behind);
                lane.waited = None;
            }
            Kind::Waiting { until_micros, attempts, first_failed_micros } => {
                lane.standing = Standing::Waiting { until_micros };
                lane.forgiven = Some((event.source, event.deaths_forgiven));
                lane.waited = Some(Waited { event: event.source, attempts, first_failed_micros });
            }
        }
        Applied::Stopped
    }

    fn obey(&mut self, name: LaneName, command: Command) -> Applied {
        let is_blocked = self.blocked.get(&name).is_some_and(|lane| lane.head() == Some(command.head));
        if let (true, Action::Release(head)) = (is_blocked, command.action) {
            self.blocked.remove(&name);
            return Applied::Unblocked(head);
        }
        let lane = self.lanes.get_mut(&name).filter(|lane| lane.head() == Some(command.head));
        let Some(lane) = lane else { return Applied::Stale };
        match command.action {
            Action::Release(head) => {
                lane.standing = Standing::Released;
                lane.waited = None;
                if head == Head::Skip {
                    self.settle(name, command.head);
                }
                Applied::Released
            }
            Action::Drop(Dropped::First) => {
                // What follows it in a lane that is released may run already.
                if lane.standing != Standing::Released {
                    lane.standing = Standing::Held;
                }
                self.settle(name, command.head);
                Applied::Dropped(1)
            }
            Action::Drop(Dropped::All) => {
                lane.standing = Standing::Released;
                let (dropped, last) = (lane.len(), lane.events.last_key_value().map(|(last, _)| *last));
                self.settle(name, last.unwrap_or(command.head));
                Applied::Dropped(dropped as u64)
            }
        }
    }

    /// A note settles everything of a lane up to an event. If that is all, no record before the note is needed.
    fn close(&mut self, name: LaneName, up_to: Offset) {
        if let Some((first, last)) = self.open.get(&name).copied()
            && last <= up_to
        {
            self.open.remove(&name);
            self.needed.remove(&(first, name));
        }
    }
}

#[cfg(test)]
mod tests;
