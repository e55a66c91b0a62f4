//! Parking: which lanes are parked, and what of them may run. A pure state machine.
//!
//! It is told what the parked partitions hold, what the dispatcher appends to them, and which released events are
//! settled. A lane is parked as long as anything of it waits; until then no event of it that is read from the source
//! runs, and what is released runs in the order of the source.

mod lane;
mod queue;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::Offset;

use self::lane::LiveLane;
use self::queue::LaneQueue;
use super::partitions::{AssignmentId, PartitionKey};
use crate::identity::LaneName;
use crate::parked::{Applied, Content, Control, Fetch, Owner, ParkedLanes, Record, Standing};

pub(super) use self::lane::Appended;

/// Most events of one partition that may be parked; each takes some 50 bytes. At this bound further events of parked
/// lanes wait unsettled, so that in the end the partition is not read any further.
pub(super) const EVENTS_MAX: usize = 1_000_000;

/// Events of a lane that are read back at a time.
const FETCH_EVENTS_MAX: usize = 64;

/// Lanes of all partitions that may hold released events at a time. The others wait for their turn.
const FETCHING_LANES_MAX: usize = 32;

/// A released event: its lane and offset in the source, and which run of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ParkedPlace {
    pub(super) lane: LaneName,
    pub(super) event: Offset,
    pub(super) run: u64,
}

/// What to do with an event that was read from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its lane is not parked, or only behind it.
    Run,
    /// It joins its lane in the parked topic.
    Park,
    /// It is parked already, or was and is settled.
    Known,
    /// It should be parked, and there is no room.
    Full,
}

/// Why an event is appended to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appending {
    /// Its lane stops at it.
    Stop,
    /// Its lane has stopped.
    Follow,
}

/// A note that events of a lane are settled, which must be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) partition: PartitionKey,
    pub(super) assignment: AssignmentId,
    pub(super) lane: LaneName,
    pub(super) owner: Owner,
    pub(super) up_to: Offset,
    pub(super) needed_from: Offset,
}

/// What is parked of one partition.
#[derive(Debug)]
struct Shelf {
    assignment: AssignmentId,
    owner: Owner,
    is_open: bool,
    /// Whether the partition is being handed over, or the host stops, so that nothing more of it is released.
    is_leaving: bool,
    lanes: ParkedLanes,
    live: HashMap<LaneName, LiveLane>,
    /// Events that were appended and have not been read back.
    appending: usize,
}

/// What is parked of all partitions held.
#[derive(Debug)]
pub(super) struct Parking {
    shelves: HashMap<PartitionKey, Shelf>,
    /// Lanes that may have something to do.
    stirred: BTreeSet<(PartitionKey, LaneName)>,
    /// Lanes whose released events are being read or are in the queues.
    active: BTreeSet<(PartitionKey, LaneName)>,
    /// Released lanes that wait for others to be done.
    queue: LaneQueue,
    wakes: BinaryHeap<Reverse<(u64, PartitionKey, LaneName)>>,
    /// Partitions that another host has claimed after this one.
    contested: BTreeSet<PartitionKey>,
    /// Numbers fetches and runs.
    numbers: u64,
    events_max: usize,
}

impl Parking {
    pub(super) fn new(events_max: usize) -> Self {
        Self {
            shelves: HashMap::new(),
            stirred: BTreeSet::new(),
            active: BTreeSet::new(),
            queue: LaneQueue::default(),
            wakes: BinaryHeap::new(),
            contested: BTreeSet::new(),
            numbers: 0,
            events_max,
        }
    }

    /// A partition is held: what is parked of it will be told.
    pub(super) fn assign(&mut self, partition: PartitionKey, assignment: AssignmentId, owner: Owner) {
        self.revoke(partition);
        let (lanes, live) = (ParkedLanes::default(), HashMap::new());
        let shelf = Shelf { assignment, owner, is_open: false, is_leaving: false, lanes, live, appending: 0 };
        self.shelves.insert(partition, shelf);
    }

    /// As whom this host writes about a partition.
    pub(super) fn owner(&self, partition: PartitionKey) -> Option<Owner> {
        self.shelves.get(&partition).map(|shelf| shelf.owner)
    }

    /// A partition is no longer held.
    pub(super) fn revoke(&mut self, partition: PartitionKey) {
        self.shelves.remove(&partition);
        self.stirred.retain(|(other, _)| *other != partition);
        self.active.retain(|(other, _)| *other != partition);
        self.queue.revoke(partition);
        self.contested.remove(&partition);
    }

    /// A partition is being handed over.
    pub(super) fn leave(&mut self, partition: PartitionKey) {
        if let Some(shelf) = self.shelves.get_mut(&partition) {
            shelf.is_leaving = true;
        }
    }

    /// Nothing more is released.
    pub(super) fn leave_all(&mut self) {
        self.shelves.values_mut().for_each(|shelf| shelf.is_leaving = true);
    }

    /// Whether it is known what is parked of a partition.
    pub(super) fn is_open(&self, partition: PartitionKey) -> bool {
        self.shelves.get(&partition).is_none_or(|shelf| shelf.is_open)
    }

    /// All is told that was parked of a partition when it was assigned. Tells whether that is news.
    pub(super) fn open(&mut self, partition: PartitionKey, assignment: AssignmentId, next: Offset) -> bool {
        let Some(shelf) = self.shelf(partition, assignment) else { return false };
        shelf.lanes.skip_to(next);
        if std::mem::replace(&mut shelf.is_open, true) {
            return false;
        }
        let lanes: Vec<LaneName> = shelf.lanes.open().collect();
        self.stirred.extend(lanes.into_iter().map(|lane| (partition, lane)));
        true
    }

    /// The source of a partition was read up to an offset, and each of its events asked about.
    pub(super) fn source_read(&mut self, partition: PartitionKey, next: Offset) {
        if let Some(shelf) = self.shelves.get_mut(&partition) {
            shelf.lanes.source_read(next);
        }
    }

    /// The source of a partition is committed up to an offset.
    pub(super) fn source_committed(&mut self, partition: PartitionKey, offset: Offset) {
        if let Some(shelf) = self.shelves.get_mut(&partition) {
            shelf.lanes.source_committed(offset);
        }
    }

    /// Whether nothing is known of any lane of a partition, so that none of its events need be asked about.
    pub(super) fn is_clear(&self, partition: PartitionKey) -> bool {
        self.shelves.get(&partition).is_none_or(|shelf| shelf.lanes.is_empty() && shelf.live.is_empty())
    }

    /// What to do with an event of a lane that was read from the source.
    pub(super) fn arrival(&self, partition: PartitionKey, name: LaneName, event: Offset) -> Arrival {
        let Some(shelf) = self.shelves.get(&partition) else { return Arrival::Run };
        let (parked, live) = (shelf.lanes.get(name), shelf.live.get(&name));
        if parked.is_some_and(|lane| lane.has_settled(event) || lane.holds(event)) {
            return Arrival::Known;
        }
        let head = parked.and_then(|lane| lane.head());
        let first = [head, live.and_then(LiveLane::first_appending)].into_iter().flatten().min();
        let is_parked = first.is_some() || live.is_some_and(LiveLane::is_busy);
        if !is_parked || first.is_some_and(|first| event < first) {
            Arrival::Run
        } else if shelf.lanes.events() + shelf.appending >= self.events_max {
            Arrival::Full
        } else {
            Arrival::Park
        }
    }

    /// An event is being appended to its lane.
    pub(super) fn append(&mut self, partition: PartitionKey, appended: &Appended, why: Appending) {
        let Some(shelf) = self.shelves.get_mut(&partition) else { return };
        let is_listed = shelf.lanes.get(appended.lane).is_some_and(|lane| lane.holds(appended.event));
        let live = shelf.live.entry(appended.lane).or_default();
        if !is_listed && live.appending.insert(appended.event) {
            shelf.appending += 1;
        }
        if why == Appending::Stop {
            live.stops.insert(appended.event);
            live.behind.clone_from(&appended.behind);
            live.stop_at(appended.event);
            self.active.remove(&(partition, appended.lane));
        }
    }

    /// The dead letter that a lane waits behind.
    pub(super) fn behind(&self, partition: PartitionKey, name: LaneName) -> Option<String> {
        let shelf = self.shelves.get(&partition)?;
        let live = shelf.live.get(&name).and_then(|live| live.behind.clone());
        live.or_else(|| shelf.lanes.get(name)?.behind.clone())
    }

    /// A record of a parked partition was read.
    pub(super) fn read_back(
        &mut self,
        partition: PartitionKey,
        assignment: AssignmentId,
        record: &Record,
    ) -> Applied {
        let Some(shelf) = self.shelf(partition, assignment) else { return Applied::Nothing };
        let applied = shelf.lanes.apply(record);
        let counts = shelf.lanes.owner() == Some(shelf.owner);
        let (name, content) = match &record.content {
            Content::Claim(_) => {
                if shelf.is_open && !shelf.is_leaving && !counts {
                    self.contested.insert(partition);
                }
                return applied;
            }
            content @ (Content::Event(name, _) | Content::Control(name, _)) => (name, content),
        };
        let parked = shelf.lanes.get(*name);
        if let Some(live) = shelf.live.get_mut(name) {
            match content {
                Content::Event(_, event) => {
                    // What another owner wrote about the same event does not stand for what this one does.
                    let is_own = counts && event.owner == shelf.owner;
                    shelf.appending -= usize::from(is_own && live.appending.remove(&event.source));
                    let is_ours = is_own && live.stops.remove(&event.source);
                    if applied == Applied::Stopped && !is_ours {
                        live.stop_at(event.source);
                    }
                }
                Content::Control(_, Control::Done { owner, up_to, .. })
                    if counts && *owner == shelf.owner =>
                {
                    live.noted(*up_to);
                }
                Content::Control(..) | Content::Claim(_) => {}
            }
            // What was dropped is not current any more.
            live.keep(|event| parked.is_some_and(|lane| lane.holds(event)));
        }
        if let (Applied::Stopped, Some(Standing::Waiting { until_micros })) =
            (applied, parked.map(|lane| lane.standing))
        {
            self.wakes.push(Reverse((until_micros, partition, *name)));
        }
        self.stirred.insert((partition, *name));
        applied
    }

    /// Whether an owner is this host, and what it writes about a partition counts up to where that was read.
    pub(super) fn counts(&self, partition: PartitionKey, owner: Owner) -> bool {
        let shelf = self.shelves.get(&partition).filter(|shelf| shelf.owner == owner);
        shelf.is_some_and(|shelf| shelf.lanes.owner() == Some(owner))
    }

    /// Partitions that another host has claimed since this one did, although they are held: what this one parks of
    /// them does not count.
    pub(super) fn take_contested(&mut self) -> BTreeSet<PartitionKey> {
        std::mem::take(&mut self.contested)
    }

    /// Lets lanes go on that have waited long enough.
    pub(super) fn wake(&mut self, now_micros: u64) {
        while let Some(Reverse((_, partition, name))) =
            self.wakes.peek().copied().filter(|Reverse((until, ..))| *until <= now_micros)
        {
            self.wakes.pop();
            let shelf = self.shelves.get_mut(&partition);
            if shelf.is_some_and(|shelf| shelf.lanes.end_wait(name, now_micros)) {
                self.stirred.insert((partition, name));
            }
        }
    }

    /// What is to be published and read now for the lanes that are released.
    pub(super) fn take_work(&mut self) -> (Vec<Note>, Vec<Fetch>) {
        let (mut notes, mut fetches) = (Vec::new(), Vec::new());
        let stirred = std::mem::take(&mut self.stirred);
        for key in &stirred {
            notes.extend(self.note(*key));
            if self.active.len() >= FETCHING_LANES_MAX && !self.active.contains(key) {
                self.queue.push(*key);
            } else {
                fetches.extend(self.fetch(*key));
            }
        }
        while self.active.len() < FETCHING_LANES_MAX
            && let Some(key) = self.queue.pop()
        {
            fetches.extend(self.fetch(key));
        }
        (notes, fetches)
    }

    /// Whether released events are on their way, so that what is appended is worth reading at once.
    pub(super) fn is_releasing(&self) -> bool {
        !self.active.is_empty()
    }

    /// Takes a released event that was read. None when it may not run now.
    pub(super) fn run(
        &mut self,
        (partition, assignment): (PartitionKey, AssignmentId),
        (name, fetch): (LaneName, u64),
        event: Offset,
    ) -> Option<ParkedPlace> {
        let run = self.number();
        let shelf = self.shelf(partition, assignment)?;
        let lane = shelf.lanes.get(name).filter(|lane| lane.holds(event))?;
        let live = shelf.live.get_mut(&name)?;
        let may_run =
            lane.standing == Standing::Released && live.stops.is_empty() && live.fetch == Some(fetch);
        (may_run && live.start(event, run)).then_some(ParkedPlace { lane: name, event, run })
    }

    /// A fetch was answered.
    pub(super) fn fetched(&mut self, partition: PartitionKey, (name, fetch): (LaneName, u64)) {
        let live = self.shelves.get_mut(&partition).and_then(|shelf| shelf.live.get_mut(&name));
        if let Some(live) = live.filter(|live| live.fetch == Some(fetch)) {
            live.fetch = None;
            self.stirred.insert((partition, name));
        }
    }

    /// Released events of a lane cannot be run: it rests until somebody does something about it.
    pub(super) fn shelve(&mut self, partition: PartitionKey, name: LaneName) {
        let live = self.shelves.get_mut(&partition).and_then(|shelf| shelf.live.get_mut(&name));
        if let Some(live) = live {
            live.fetch = None;
        }
        self.active.remove(&(partition, name));
    }

    /// Whether a released event is still to be run or settled.
    pub(super) fn is_current(&self, partition: PartitionKey, place: ParkedPlace) -> bool {
        let live = self.shelves.get(&partition).and_then(|shelf| shelf.live.get(&place.lane));
        live.is_some_and(|live| live.is_running(place.event, place.run))
    }

    /// A released event is settled.
    pub(super) fn settled(&mut self, partition: PartitionKey, place: ParkedPlace) {
        let live = self.shelves.get_mut(&partition).and_then(|shelf| shelf.live.get_mut(&place.lane));
        if let Some(live) = live {
            live.settle(place.event, place.run);
            self.stirred.insert((partition, place.lane));
        }
    }

    /// The attempts of an event that waited for this one: how many failed, and when the first did.
    pub(super) fn waited(&self, partition: PartitionKey, place: ParkedPlace) -> Option<(u32, u64)> {
        let waited = self.shelves.get(&partition)?.lanes.get(place.lane)?.waited?;
        (waited.event == place.event).then_some((waited.attempts, waited.first_failed_micros))
    }

    /// Deaths of the host that are not held against a released event: it had seen them when it was given up.
    pub(super) fn deaths_forgiven(&self, partition: PartitionKey, place: ParkedPlace) -> u32 {
        let lane = self.shelves.get(&partition).and_then(|shelf| shelf.lanes.get(place.lane));
        let forgiven = lane.and_then(|lane| lane.forgiven).filter(|(event, _)| *event == place.event);
        forgiven.map_or(0, |(_, deaths)| deaths)
    }

    /// Whose lane it is.
    pub(super) fn handler_of(&self, partition: PartitionKey, name: LaneName) -> Option<&str> {
        Some(&self.shelves.get(&partition)?.lanes.get(name)?.handler)
    }

    /// The lanes that hold events, each by its handler with the number of its events.
    pub(super) fn held(&self) -> impl Iterator<Item = (&str, usize)> {
        let lanes = self.shelves.values().flat_map(|shelf| shelf.lanes.held());
        lanes.map(|(_, lane)| (lane.handler.as_str(), lane.len()))
    }

    /// What a lane has settled and not noted; one note of it is on its way at a time.
    fn note(&mut self, (partition, lane): (PartitionKey, LaneName)) -> Option<Note> {
        let shelf = self.shelves.get_mut(&partition).filter(|shelf| shelf.is_open)?;
        let up_to = shelf.note_up_to(lane)?;
        let needed_from = shelf.lanes.needed_from();
        let Shelf { assignment, owner, .. } = *shelf;
        Some(Note { partition, assignment, lane, owner, up_to, needed_from })
    }

    fn fetch(&mut self, key: (PartitionKey, LaneName)) -> Option<Fetch> {
        let number = self.number();
        let (partition, name) = key;
        let shelf = self.shelves.get_mut(&partition).filter(|shelf| shelf.is_open && !shelf.is_leaving)?;
        let released = shelf.lanes.get(name).filter(|lane| lane.standing == Standing::Released);
        if let Some(lane) = released {
            let live = shelf.live.entry(name).or_default();
            let events = live.next_events(lane, FETCH_EVENTS_MAX);
            if !events.is_empty() {
                live.fetch = Some(number);
                self.active.insert(key);
                return Some(Fetch { partition, assignment: shelf.assignment, lane: name, number, events });
            }
        }
        let goes_on = |live: &LiveLane| live.is_busy() || (released.is_some() && !live.appending.is_empty());
        if shelf.live.get(&name).is_none_or(|live| !goes_on(live)) {
            self.active.remove(&key);
            shelf.forget_if_empty(name);
        }
        None
    }

    fn shelf(&mut self, partition: PartitionKey, assignment: AssignmentId) -> Option<&mut Shelf> {
        self.shelves.get_mut(&partition).filter(|shelf| shelf.assignment == assignment)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Shelf {
    /// Up to where a lane is settled, by its runs or by a command, when that is to be noted now.
    fn note_up_to(&mut self, name: LaneName) -> Option<Offset> {
        if let (Some(live), Some(lane)) = (self.live.get_mut(&name), self.lanes.get(name))
            && let Some(up_to) = live.note(lane)
        {
            return Some(up_to);
        }
        let emptied = self.lanes.emptied(name)?;
        self.live.entry(name).or_default().note_emptied(emptied)
    }

    fn forget_if_empty(&mut self, name: LaneName) {
        let is_held = self.lanes.get(name).is_some_and(|lane| lane.len() > 0);
        if is_held || self.live.get(&name).is_some_and(LiveLane::is_writing) {
            return;
        }
        self.live.remove(&name);
        self.lanes.forget(name);
    }
}
