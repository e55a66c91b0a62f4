//! The keepers of one host: they claim its parked partitions, read them, and fetch what is released.

use super::*;
use crate::identity::LaneName;
use crate::parked::{Action, Command, Content, Control, Fetched, Owner, ReadBack};

/// What a keeper knows of a parked partition.
#[derive(Debug)]
pub(super) struct Keeping {
    assignment: AssignmentId,
    owner: Owner,
    /// What it reads next, once it has claimed the partition.
    next: Option<usize>,
}

impl Keeping {
    pub(super) fn new(assignment: AssignmentId, owner: Owner) -> Self {
        Self { assignment, owner, next: None }
    }
}

impl Member {
    /// The keepers read on, and fetch what is released, as far as the broker lets them; tells what they did.
    pub(in super::super) fn keep(
        &mut self,
        broker: &mut Broker,
        (oracle, random): (&mut Oracle, &mut SmallRng),
    ) -> Vec<String> {
        let mut kept = Vec::new();
        if !broker.is_up {
            return kept;
        }
        for at in self.keeping.keys().copied().collect::<Vec<_>>() {
            if random.random_ratio(1, 4) {
                continue;
            }
            if self.keeping[&at].next.is_none() {
                kept.extend(self.claim(at, broker, (oracle, random)));
            }
            kept.extend(self.read_on(at, broker, random));
        }
        if let Some(fetch) = self.fetches.pop_front() {
            kept.push(self.fetch(fetch, broker, random));
        }
        kept
    }

    /// Claims a partition. The answer may be lost; then it does so again.
    fn claim(
        &mut self,
        at: usize,
        broker: &mut Broker,
        (oracle, random): (&mut Oracle, &mut SmallRng),
    ) -> Option<String> {
        let key = self.setting.key(at);
        if !broker.takes(&format!("t{}{SUFFIX}", key.topic.0)) {
            return None;
        }
        oracle.tally.claims += 1;
        let claim = self.keeping[&at].owner.claim(GROUP, key.partition, random.random());
        broker.shelve(at, &claim, oracle);
        if !random.random_ratio(1, 10) {
            self.keeping.get_mut(&at)?.next = Some(broker.partitions[at].shelf.needed_from());
        }
        Some(format!("claim on {at}"))
    }

    /// Reads what is new in a claimed partition. A page has an end, and what stands behind it is read later.
    fn read_on(&mut self, at: usize, broker: &Broker, random: &mut SmallRng) -> Option<String> {
        let Keeping { assignment, next, .. } = self.keeping[&at];
        let next = next?;
        let records = &broker.partitions[at].shelf.records;
        let end = records.len();
        let until = if random.random_ratio(2, 3) { end } else { end.min(next + random.random_range(1..30)) };
        self.keeping.get_mut(&at)?.next = Some(until);
        let read = ReadBack {
            partition: self.setting.key(at),
            assignment,
            records: records[next..until].to_vec(),
            next: Offset(until as u64),
            is_complete: until == end,
        };
        self.inbox.push_back(Input::ReadBack(read));
        Some(format!("{at}: {next} to {until}"))
    }

    /// Fetches the first events of those that are wanted.
    fn fetch(&mut self, fetch: Fetch, broker: &Broker, random: &mut SmallRng) -> String {
        let Fetch { partition, assignment, lane, number, events } = fetch;
        let at = self.setting.number(partition);
        let most = if random.random() { events.len() } else { random.random_range(1..=events.len()) };
        let event = |parked: &Offset| {
            let record = &broker.partitions[at].shelf.records[usize::try_from(parked.0).unwrap()];
            let Content::Event(_, event) = &record.content else { panic!("{record:?} is no event") };
            Ok(broker.record((at, event.source.0)).decoded.as_ref().expect("it was decoded").clone())
        };
        let events: Vec<_> = events[..most].iter().map(event).collect();
        self.inbox.push_back(Input::Fetched(Fetched { partition, assignment, lane, number, events }));
        format!("{most} of {lane}")
    }

    /// The dispatcher hears what a parked partition holds.
    pub(super) fn is_read_back(&mut self, read: ReadBack, oracle: &mut Oracle, now: Now) {
        let (key, assignment, next) = (read.partition, read.assignment, read.next);
        let at = self.setting.number(key);
        let is_meant = self.known.get(&at) == Some(&assignment);
        let (was_open, blocked) = (self.dispatcher.is_open(key), self.blocked_lanes());
        let commands: Vec<(LaneName, Command)> = read.records.iter().filter_map(command_in).collect();
        self.dispatcher.read_back(read, now);
        if !is_meant {
            return;
        }
        self.watch.heard(at, next.0);
        let still_blocked = self.blocked_lanes();
        for (lane, handler) in blocked.into_iter().filter(|lane| !still_blocked.contains(lane)) {
            let released = commands.iter().rev().filter(|(other, _)| *other == lane.1);
            let mut released = released.filter_map(|(_, command)| match command.action {
                Action::Release(head) => Some((command.head, head)),
                Action::Drop(_) => None,
            });
            let (event, head) = released.next().expect("a command released it");
            let errand = ((at, event.0), Some(handler));
            oracle.unblocked(errand, head);
            self.watch.unblocked(errand, head, oracle);
        }
        let unread = self.unread.remove(&at).unwrap_or_default();
        if was_open || !self.dispatcher.is_open(key) {
            self.unread.insert(at, unread);
        } else if !self.handing_over.contains(&at) {
            unread.iter().for_each(|message| self.watch.read(at, message));
        }
    }

    fn blocked_lanes(&self) -> Vec<((PartitionKey, LaneName), usize)> {
        let blocked = self.dispatcher.shelving.blocked.iter();
        let mut lanes: Vec<_> = blocked.map(|(lane, blocked)| (*lane, blocked.handler.0)).collect();
        lanes.sort_unstable();
        lanes
    }

    /// Does what the dispatcher wants done to parked partitions.
    pub(super) fn tend_parked(&mut self) {
        for key in self.dispatcher.take_let_go() {
            self.keeping.remove(&self.setting.number(key));
            self.fetches.retain(|fetch| fetch.partition != key);
        }
        self.fetches.extend(self.dispatcher.take_fetches());
        self.wants_to_rejoin |= !self.dispatcher.take_contested().is_empty();
    }

    /// Reads nothing more, and releases nothing more.
    pub(in super::super) fn drain(&mut self) {
        self.phase = Phase::Drains;
        self.dispatcher.drain();
    }
}

fn command_in(record: &crate::parked::Record) -> Option<(LaneName, Command)> {
    match &record.content {
        Content::Control(lane, Control::Command(command)) => Some((*lane, *command)),
        _ => None,
    }
}
