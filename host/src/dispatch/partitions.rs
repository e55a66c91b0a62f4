//! The partitions a subscription holds: their ledgers, what may be committed, and when polling must pause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::{Offset, PartitionId};

use super::agenda::{Agenda, Listed, commit_interval};
use super::bounds::{HostLoad, Load};
use super::parking::ParkedPlace;
use super::reads::Reads;
use super::settings::DispatchSettings;
use super::tenants::TenantGauges;
use crate::event::Tenant;
use crate::ledger::{Entering, Entry, Ledger, Settled, TenantSlot};

/// Position of a topic in its subscription's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicIndex(pub(crate) usize);

/// One partition of one of the subscription's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: TopicIndex,
    pub(crate) partition: PartitionId,
}

/// Counts the times that a topic's partitions were assigned. What was begun under an older one is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct AssignmentId(pub(crate) u64);

/// An offset to commit, under the assignment in which it was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) partition: PartitionKey,
    pub(crate) assignment: AssignmentId,
    pub(crate) offset: Offset,
}

/// One assignment of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) partition: PartitionKey,
    pub(crate) assignment: AssignmentId,
}

/// One event's place in the ledger of one assignment, or in its parked lane. It goes stale when the partition is
/// revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    place: Place,
    stand: Stand,
}

/// Where an event waits to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stand {
    /// It was read from its source.
    Ledger(Entry),
    /// It was released from its parked lane.
    Parked(ParkedPlace),
}

impl Ticket {
    /// The ticket of an event that was released from its parked lane.
    pub(crate) fn of_released(place: Place, parked: ParkedPlace) -> Self {
        Self { place, stand: Stand::Parked(parked) }
    }

    /// Where the event waits to be settled.
    pub(crate) fn stand(self) -> Stand {
        self.stand
    }

    /// Under which assignment the event was read.
    pub(crate) fn place(self) -> Place {
        self.place
    }
}

/// Whether a partition may be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polling {
    Go,
    Pause,
}

/// How long a partition stays held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tenure {
    /// Until it is revoked.
    Open,
    /// Until all that was read is settled, at the latest until then; nothing more is read.
    HandingOver { until: Instant },
}

/// Because of what a partition is not polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fullness {
    /// A lane that it brings events for is full.
    Lane,
    /// A tenant that it brings events of is full.
    Tenant,
    /// It is full itself.
    Partition,
    /// The host is full.
    Host,
}

impl Fullness {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Tenant => "tenant",
            Self::Partition => "partition",
            Self::Host => "host",
        }
    }
}

#[derive(Debug)]
struct Held {
    assignment: AssignmentId,
    tenure: Tenure,
    /// Full lanes and tenants that it waits for.
    full_lanes: u32,
    full_tenants: u32,
    is_full: bool,
    /// Whether nothing of it is handled yet, for it is not known what of it is parked.
    is_closed: bool,
    ledger: Ledger,
    reads: Reads,
    /// The watermark last handed out for commit.
    offered: Option<Offset>,
    offered_at: Instant,
    settled_since: u32,
    polling: Polling,
    listed: Listed,
}

/// All partitions that are assigned now.
#[derive(Debug)]
pub(crate) struct Partitions {
    settings: DispatchSettings,
    held: HashMap<PartitionKey, Held>,
    tenants: TenantGauges,
    host: Arc<HostLoad>,
    host_was_full: bool,
    agenda: Agenda,
}

impl Partitions {
    pub(crate) fn new(settings: DispatchSettings) -> Self {
        let (tenants, host) = (TenantGauges::new(settings.tenant), HostLoad::new(settings.host));
        let (held, agenda) = (HashMap::new(), Agenda::default());
        Self { settings, held, tenants, host: Arc::new(host), host_was_full: false, agenda }
    }

    /// Shares the load of a host with other subscriptions, before anything is read.
    pub(crate) fn share(&mut self, host: Arc<HostLoad>) {
        self.host = host;
    }

    /// Starts a new ledger for a partition. One that was already held starts again.
    pub(crate) fn assign(&mut self, partition: PartitionKey, assignment: AssignmentId, now: Instant) {
        self.agenda.forget(partition);
        let mut held = Held {
            assignment,
            tenure: Tenure::Open,
            full_lanes: 0,
            full_tenants: 0,
            is_full: false,
            is_closed: false,
            ledger: Ledger::default(),
            reads: Reads::default(),
            offered: None,
            offered_at: now,
            settled_since: 0,
            polling: Polling::Go,
            listed: Listed::default(),
        };
        self.agenda.touch(partition, &mut held.listed);
        self.held.insert(partition, held);
    }

    /// A partition that was just assigned is not polled until it is opened.
    pub(crate) fn close(&mut self, partition: PartitionKey) {
        if let Some(held) = self.held.get_mut(&partition) {
            (held.is_closed, held.polling) = (true, Polling::Pause);
        }
    }

    /// A partition may be polled from now on.
    pub(crate) fn open(&mut self, partition: PartitionKey) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.is_closed = false;
            self.agenda.touch(partition, &mut held.listed);
        }
    }

    /// Begins to hand a partition over: what was read of it may still be settled and committed, for a bounded time.
    /// Its progress is offered for commit at once, again if need be, for the answer tells whether that is still taken.
    pub(crate) fn hand_over(&mut self, partition: PartitionKey, now: Instant) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.tenure = Tenure::HandingOver { until: now + self.settings.hand_over };
            held.offered = None;
            self.agenda.leave(partition);
        }
    }

    /// Whether a partition is being handed over under this assignment.
    pub(crate) fn is_handing_over(&self, partition: PartitionKey, assignment: AssignmentId) -> bool {
        let held = self.held.get(&partition).filter(|held| held.assignment == assignment);
        held.is_some_and(|held| held.tenure != Tenure::Open)
    }

    /// The partitions whose hand-over has ended: all that was read is settled and offered for commit, or time is up.
    pub(crate) fn handed_over(&self, now: Instant) -> Vec<PartitionKey> {
        let is_over = |held: &Held| match held.tenure {
            Tenure::Open => false,
            Tenure::HandingOver { until } => {
                until <= now
                    || (held.ledger.unsettled_events() == 0 && held.offered == held.ledger.watermark())
            }
        };
        let leaving = self.agenda.leaving().iter().copied();
        leaving.filter(|key| self.held.get(key).is_some_and(is_over)).collect()
    }

    /// Forgets a partition and tells how many of its events were not settled. Their tickets go stale.
    pub(crate) fn revoke(&mut self, partition: PartitionKey) -> usize {
        let Some(held) = self.held.remove(&partition) else { return 0 };
        self.agenda.forget(partition);
        for (bytes, tenant) in held.ledger.unsettled() {
            self.unload(bytes, tenant);
        }
        held.ledger.unsettled_events()
    }

    /// Enters an event, of a tenant if one is known; none when the partition is no longer held, or only to be handed
    /// over.
    pub(crate) fn enter(
        &mut self,
        partition: PartitionKey,
        event: Entering,
        tenant: Option<&Tenant>,
    ) -> Option<Ticket> {
        let held = self.held.get_mut(&partition).filter(|held| held.tenure == Tenure::Open)?;
        let place = Place { partition, assignment: held.assignment };
        self.agenda.touch(partition, &mut held.listed);
        if event.parts == 0 {
            held.settled_since = held.settled_since.saturating_add(1);
            let entry = held.ledger.enter(event, None);
            self.progressed(partition);
            return Some(Ticket { place, stand: Stand::Ledger(entry) });
        }
        self.host.add(event.bytes);
        let (slot, stopped) = tenant.map(|tenant| self.tenants.add(tenant, event.bytes, place)).unzip();
        let entry = held.ledger.enter(event, slot);
        if stopped.flatten().is_some() {
            held.full_tenants += 1;
        }
        Some(Ticket { place, stand: Stand::Ledger(entry) })
    }

    /// Whether the event of a ticket is still this host's to handle.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        self.at(ticket.place).is_some()
    }

    /// Settles one part of an event; none when the ticket is stale, or not in a ledger.
    pub(crate) fn settle_part(&mut self, ticket: Ticket) -> Option<Settled> {
        let Stand::Ledger(entry) = ticket.stand else { return None };
        let held = self.at_mut(ticket.place)?;
        let settled = held.ledger.settle_part(entry);
        if let Settled::Whole { bytes, tenant, .. } = settled {
            held.settled_since = held.settled_since.saturating_add(1);
            self.progressed(ticket.place.partition);
            self.unload(bytes, tenant);
        }
        Some(settled)
    }

    /// Events of a partition were settled: it has room again, and may have something to commit.
    fn progressed(&mut self, partition: PartitionKey) {
        let interval = commit_interval(self.settings.commit_interval, self.held.len());
        let Some(held) = self.held.get_mut(&partition) else { return };
        self.agenda.touch(partition, &mut held.listed);
        if held.ledger.watermark() == held.offered {
            return;
        }
        self.agenda.commit_by(partition, &mut held.listed, held.offered_at + interval);
        if held.settled_since >= self.settings.commit_events_max {
            self.agenda.commit_now(partition, &mut held.listed);
        }
    }

    /// A lane that a place brings events for is full, or no longer.
    pub(crate) fn lane_filled(&mut self, place: Place, polling: Polling) {
        let Some(held) = self.at_mut(place) else { return };
        held.full_lanes = match polling {
            Polling::Pause => held.full_lanes.saturating_add(1),
            Polling::Go => held.full_lanes.saturating_sub(1),
        };
        self.touch(place.partition);
    }

    /// An event is no longer under way.
    fn unload(&mut self, bytes: usize, tenant: Option<TenantSlot>) {
        self.host.remove(Load { events: 1, bytes });
        let freed = tenant.map(|tenant| self.tenants.remove(tenant, bytes)).unwrap_or_default();
        for place in freed {
            if let Some(held) = self.at_mut(place) {
                held.full_tenants = held.full_tenants.saturating_sub(1);
                self.touch(place.partition);
            }
        }
    }

    fn touch(&mut self, partition: PartitionKey) {
        if let Some(held) = self.held.get_mut(&partition) {
            self.agenda.touch(partition, &mut held.listed);
        }
    }

    fn at(&self, place: Place) -> Option<&Held> {
        self.held.get(&place.partition).filter(|held| held.assignment == place.assignment)
    }

    fn at_mut(&mut self, place: Place) -> Option<&mut Held> {
        self.held.get_mut(&place.partition).filter(|held| held.assignment == place.assignment)
    }

    /// The offsets to commit now: of each partition the watermark, when it moved and either enough time has
    /// passed or enough events were settled since the last time. Whatever moved, with `Due::All` and of partitions
    /// that are handed over.
    ///
    /// This is the one place where "settled" becomes "committed".
    pub(crate) fn take_commits(&mut self, due: Due, now: Instant) -> Vec<Commit> {
        let interval = commit_interval(self.settings.commit_interval, self.held.len());
        let due_now = self.agenda.take_commits(now);
        let keys = if due == Due::All { self.held.keys().copied().collect() } else { due_now };
        let mut commits = Vec::new();
        for key in keys {
            let Some(held) = self.held.get_mut(&key) else { continue };
            held.listed.not_committing();
            let watermark = held.ledger.watermark();
            let Some(offset) = watermark.filter(|_| watermark != held.offered) else { continue };
            let is_due = due == Due::All
                || held.tenure != Tenure::Open
                || held.settled_since >= self.settings.commit_events_max
                || now.saturating_duration_since(held.offered_at) >= interval;
            if is_due {
                held.offered = watermark;
                held.offered_at = now;
                held.settled_since = 0;
                commits.push(Commit { partition: key, assignment: held.assignment, offset });
            } else {
                // It was committed after it was listed, because it had progress enough.
                self.agenda.commit_by(key, &mut held.listed, held.offered_at + interval);
            }
        }
        commits
    }

    /// The partitions whose polling must change, with what it changes to. Polling pauses at the bounds and
    /// goes on at half of them.
    pub(crate) fn take_polling_changes(&mut self) -> Vec<(PartitionKey, Polling)> {
        let (bound, host_is_full) = (self.settings.partition(), self.host.is_full());
        let touched = self.agenda.take_touched();
        let host_has_changed = std::mem::replace(&mut self.host_was_full, host_is_full) != host_is_full;
        let keys = if host_has_changed { self.held.keys().copied().collect() } else { touched };
        let mut changes = Vec::new();
        for key in keys {
            let Some(held) = self.held.get_mut(&key) else { continue };
            held.listed.not_touched();
            let load = Load { events: held.ledger.remembered_events(), bytes: held.ledger.unsettled_bytes() };
            held.is_full = bound.is_full(load, held.is_full);
            let is_full = host_is_full || held.is_full || held.full_lanes > 0 || held.full_tenants > 0;
            let pauses = is_full || held.is_closed;
            let wanted = if pauses { Polling::Pause } else { Polling::Go };
            if wanted != held.polling {
                held.polling = wanted;
                changes.push((key, wanted));
            }
        }
        changes
    }

    /// How many partitions are not polled because of each bound, where there are any.
    pub(crate) fn paused(&self) -> BTreeMap<Fullness, u64> {
        let mut paused = BTreeMap::new();
        for held in self.held.values().filter(|held| held.polling == Polling::Pause) {
            let mut count = |is_so, why| *paused.entry(why).or_default() += u64::from(is_so);
            count(held.full_lanes > 0, Fullness::Lane);
            count(held.full_tenants > 0, Fullness::Tenant);
            count(held.is_full, Fullness::Partition);
            count(self.host.is_full(), Fullness::Host);
        }
        paused.retain(|_, partitions| *partitions > 0);
        paused
    }

    /// Events of all partitions that were read and are not settled.
    pub(crate) fn unsettled_events(&self) -> usize {
        self.held.values().map(|held| held.ledger.unsettled_events()).sum()
    }

    /// Events of a partition are about to enter, read at this time, in microseconds since 1970.
    pub(crate) fn note_read(&mut self, partition: PartitionKey, unix_micros: u64) {
        if let Some(held) = self.held.get_mut(&partition) {
            let oldest = held.ledger.oldest().map(|(entry, _)| entry);
            held.reads.note(held.ledger.next(), unix_micros, oldest);
        }
    }

    /// When the oldest of the events that are not settled was read, and when the oldest was made, in microseconds since
    /// 1970.
    pub(crate) fn oldest(&self) -> (Option<u64>, Option<u64>) {
        let oldest = || self.held.values().filter_map(|held| Some((held, held.ledger.oldest()?)));
        let read = oldest().filter_map(|(held, (entry, _))| held.reads.time_of(entry)).min();
        (read, oldest().map(|(_, (_, made))| made).min())
    }

    /// Partitions that are assigned now.
    pub(crate) fn count(&self) -> usize {
        self.held.values().filter(|held| held.tenure == Tenure::Open).count()
    }
}

/// Which commits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Those that time or number makes due.
    Now,
    /// All that moved, as before leaving.
    All,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dispatch::bounds::Bound;

    const KEY: PartitionKey = PartitionKey { topic: TopicIndex(0), partition: PartitionId(3) };

    fn event(offset: u64, parts: u32) -> Entering {
        Entering { offset: Offset(offset), parts, bytes: 1, origin_micros: 0 }
    }

    fn commit(offset: u64) -> Commit {
        Commit { partition: KEY, assignment: AssignmentId(1), offset: Offset(offset) }
    }

    fn partitions(settings: DispatchSettings) -> (Partitions, Instant) {
        let start = Instant::now();
        let mut partitions = Partitions::new(settings);
        partitions.assign(KEY, AssignmentId(1), start);
        (partitions, start)
    }

    #[test]
    fn only_settled_events_are_committed_and_once() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        let first = partitions.enter(KEY, event(7, 1), None).unwrap();
        let second = partitions.enter(KEY, event(8, 1), None).unwrap();
        partitions.settle_part(second);
        assert_eq!(partitions.take_commits(Due::All, start), []);
        partitions.settle_part(first);
        assert_eq!(partitions.take_commits(Due::Now, start), []);
        let later = start + Duration::from_millis(100);
        assert_eq!(partitions.take_commits(Due::Now, later), [commit(8)]);
        assert_eq!(partitions.take_commits(Due::All, later), []);
    }

    #[test]
    fn many_settled_events_are_committed_at_once() {
        let settings = DispatchSettings { commit_events_max: 3, ..DispatchSettings::default() };
        let (mut partitions, start) = partitions(settings);
        for offset in 0..3 {
            partitions.enter(KEY, event(offset, 0), None);
        }
        assert_eq!(partitions.take_commits(Due::Now, start), [commit(2)]);
    }

    #[test]
    fn a_revoked_partition_makes_its_tickets_stale() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        let ticket = partitions.enter(KEY, event(0, 1), None).unwrap();
        assert_eq!(partitions.revoke(KEY), 1);
        assert!(!partitions.is_current(ticket));
        partitions.assign(KEY, AssignmentId(2), start);
        assert!(!partitions.is_current(ticket));
        assert_eq!(partitions.settle_part(ticket), None);
    }

    #[test]
    fn a_partition_is_handed_over_once_all_is_settled_and_offered() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        let first = partitions.enter(KEY, event(0, 1), None).unwrap();
        let second = partitions.enter(KEY, event(1, 1), None).unwrap();
        partitions.settle_part(first);
        assert_eq!(partitions.take_commits(Due::All, start), [commit(0)]);
        partitions.hand_over(KEY, start);
        assert_eq!(partitions.enter(KEY, event(2, 1), None), None, "nothing more is read");
        assert_eq!((partitions.count(), partitions.unsettled_events()), (0, 1));
        assert_eq!(
            partitions.take_commits(Due::Now, start),
            [commit(0)],
            "whether it is taken must be known"
        );
        assert!(partitions.is_current(second) && partitions.handed_over(start).is_empty());
        partitions.settle_part(second);
        assert_eq!(partitions.handed_over(start), [], "it is not offered yet");
        assert_eq!(partitions.take_commits(Due::Now, start), [commit(1)]);
        assert_eq!(partitions.handed_over(start), [KEY]);
        assert!(partitions.is_handing_over(KEY, AssignmentId(1)));
        assert_eq!(partitions.revoke(KEY), 0);
    }

    #[test]
    fn a_hand_over_ends_in_time() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        partitions.enter(KEY, event(0, 1), None).unwrap();
        partitions.hand_over(KEY, start);
        let end = start + DispatchSettings::default().hand_over;
        assert_eq!(partitions.handed_over(end - Duration::from_millis(1)), []);
        assert_eq!((partitions.handed_over(end), partitions.revoke(KEY)), (vec![KEY], 1));
        partitions.assign(KEY, AssignmentId(2), end);
        assert!(!partitions.is_handing_over(KEY, AssignmentId(1)));
    }

    #[test]
    fn polling_pauses_at_the_bound_and_goes_on_at_half() {
        let settings = DispatchSettings { in_flight_events_max: 4, ..DispatchSettings::default() };
        let (mut partitions, _) = partitions(settings);
        let tickets: Vec<_> =
            (0..4).filter_map(|offset| partitions.enter(KEY, event(offset, 1), None)).collect();
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Pause)]);
        partitions.settle_part(tickets[0]);
        assert_eq!(partitions.take_polling_changes(), []);
        partitions.settle_part(tickets[1]);
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Go)]);
    }

    const OTHER: PartitionKey = PartitionKey { topic: TopicIndex(0), partition: PartitionId(4) };

    fn tenant(name: &str) -> Tenant {
        Tenant::Named(name.into())
    }

    #[test]
    fn a_full_tenant_stops_those_that_bring_more_of_it() {
        let tenant_bound = Bound { events_max: 2, bytes_max: 100 };
        let (mut partitions, start) =
            partitions(DispatchSettings { tenant: tenant_bound, ..DispatchSettings::default() });
        partitions.assign(OTHER, AssignmentId(1), start);
        let mut enter = |partition, offset, name| {
            partitions.enter(partition, event(offset, 1), Some(&tenant(name))).unwrap()
        };
        let tickets = [enter(KEY, 0, "flood"), enter(OTHER, 0, "calm"), enter(KEY, 1, "flood")];
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Pause)]);
        assert_eq!(partitions.paused(), [(Fullness::Tenant, 1)].into());
        partitions.settle_part(tickets[0]);
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Go)]);
    }

    #[test]
    fn only_partitions_that_have_changed_are_looked_at() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        (0..1_000).for_each(|number| {
            let key = PartitionKey { topic: TopicIndex(1), partition: PartitionId(number) };
            partitions.assign(key, AssignmentId(1), start);
        });
        assert_eq!(partitions.take_polling_changes(), []);
        let ticket = partitions.enter(KEY, event(0, 1), None).unwrap();
        partitions.settle_part(ticket);
        assert_eq!(partitions.agenda.take_touched(), [KEY]);
        let later = start + Duration::from_secs(60);
        assert_eq!(partitions.agenda.take_commits(later), [KEY]);
    }

    #[test]
    fn what_is_given_back_makes_room() {
        let bound = Bound { events_max: 2, bytes_max: 100 };
        let settings = DispatchSettings { tenant: bound, host: bound, ..DispatchSettings::default() };
        let (mut partitions, start) = partitions(settings);
        partitions.assign(OTHER, AssignmentId(1), start);
        for offset in 0..2 {
            partitions.enter(KEY, event(offset, 1), Some(&tenant("flood"))).unwrap();
        }
        partitions.enter(OTHER, event(0, 1), Some(&tenant("flood"))).unwrap();
        assert_eq!(partitions.take_polling_changes().len(), 2);
        assert_eq!(partitions.paused(), [(Fullness::Tenant, 2), (Fullness::Host, 2)].into());
        assert_eq!(partitions.revoke(KEY), 2);
        assert_eq!(partitions.take_polling_changes(), [(OTHER, Polling::Go)]);
        partitions.assign(KEY, AssignmentId(2), start);
        assert_eq!(partitions.take_polling_changes(), []);
    }
}
