//! The partitions a subscription holds: their ledgers, what may be committed, and when polling must pause.

use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use guesthouse_connector::{Offset, PartitionId};

use crate::ledger::{Entering, Entry, Ledger, Settled};

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

/// One event's place in the ledger of one assignment. It goes stale when the partition is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    partition: PartitionKey,
    assignment: AssignmentId,
    entry: Entry,
}

/// When progress is committed and when polling pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchSettings {
    /// Unsettled events of one partition at which polling it pauses.
    pub in_flight_events_max: usize,
    /// Bytes of unsettled events of one partition at which polling it pauses.
    pub in_flight_bytes_max: usize,
    /// Longest time that progress stays uncommitted.
    pub commit_interval: Duration,
    /// Settled events of one partition after which progress is committed at once.
    pub commit_events_max: u32,
    /// Most events of one poll.
    pub poll_events_max: u32,
    /// How long a stopping host goes on with what it has read.
    pub drain: Duration,
    /// How long a host goes on with what it has read of a partition that was taken away, while the broker still takes
    /// its offsets.
    pub hand_over: Duration,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            in_flight_events_max: 10_000,
            in_flight_bytes_max: 64 << 20,
            commit_interval: Duration::from_millis(100),
            commit_events_max: 1_000,
            poll_events_max: 1_000,
            drain: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
        }
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

#[derive(Debug)]
struct Held {
    assignment: AssignmentId,
    tenure: Tenure,
    ledger: Ledger,
    /// The watermark last handed out for commit.
    offered: Option<Offset>,
    offered_at: Instant,
    settled_since: u32,
    polling: Polling,
}

/// All partitions that are assigned now.
#[derive(Debug)]
pub(crate) struct Partitions {
    settings: DispatchSettings,
    held: HashMap<PartitionKey, Held>,
}

impl Partitions {
    pub(crate) fn new(settings: DispatchSettings) -> Self {
        Self { settings, held: HashMap::new() }
    }

    /// Starts a new ledger for a partition. One that was already held starts again.
    pub(crate) fn assign(&mut self, partition: PartitionKey, assignment: AssignmentId, now: Instant) {
        let held = Held {
            assignment,
            tenure: Tenure::Open,
            ledger: Ledger::default(),
            offered: None,
            offered_at: now,
            settled_since: 0,
            polling: Polling::Go,
        };
        self.held.insert(partition, held);
    }

    /// Begins to hand a partition over: what was read of it may still be settled and committed, for a bounded time.
    /// Its progress is offered for commit at once, again if need be, for the answer tells whether that is still taken.
    pub(crate) fn hand_over(&mut self, partition: PartitionKey, now: Instant) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.tenure = Tenure::HandingOver { until: now + self.settings.hand_over };
            held.offered = None;
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
        self.held.iter().filter(|(_, held)| is_over(held)).map(|(key, _)| *key).collect()
    }

    /// Forgets a partition and tells how many of its events were not settled. Their tickets go stale.
    pub(crate) fn revoke(&mut self, partition: PartitionKey) -> usize {
        self.held.remove(&partition).map_or(0, |held| held.ledger.unsettled_events())
    }

    /// Enters an event; none when the partition is no longer held, or only to be handed over.
    pub(crate) fn enter(&mut self, partition: PartitionKey, event: Entering) -> Option<Ticket> {
        let held = self.held.get_mut(&partition).filter(|held| held.tenure == Tenure::Open)?;
        let entry = held.ledger.enter(event);
        if event.parts == 0 {
            held.settled_since = held.settled_since.saturating_add(1);
        }
        Some(Ticket { partition, assignment: held.assignment, entry })
    }

    /// Whether the event of a ticket is still this host's to handle.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        self.held.get(&ticket.partition).is_some_and(|held| held.assignment == ticket.assignment)
    }

    /// Settles one part of an event; none when the ticket is stale.
    pub(crate) fn settle_part(&mut self, ticket: Ticket) -> Option<Settled> {
        let held = self.held.get_mut(&ticket.partition)?;
        if held.assignment != ticket.assignment {
            return None;
        }
        let settled = held.ledger.settle_part(ticket.entry);
        if settled != Settled::InPart {
            held.settled_since = held.settled_since.saturating_add(1);
        }
        Some(settled)
    }

    /// The offsets to commit now: of each partition the watermark, when it moved and either enough time has
    /// passed or enough events were settled since the last time. Whatever moved, with `Due::All` and of partitions
    /// that are handed over.
    ///
    /// This is the one place where "settled" becomes "committed".
    pub(crate) fn take_commits(&mut self, due: Due, now: Instant) -> Vec<Commit> {
        let mut commits = Vec::new();
        for (key, held) in &mut self.held {
            let watermark = held.ledger.watermark();
            let Some(offset) = watermark.filter(|_| watermark != held.offered) else { continue };
            let is_due = due == Due::All
                || held.tenure != Tenure::Open
                || held.settled_since >= self.settings.commit_events_max
                || now.saturating_duration_since(held.offered_at) >= self.settings.commit_interval;
            if is_due {
                held.offered = watermark;
                held.offered_at = now;
                held.settled_since = 0;
                commits.push(Commit { partition: *key, assignment: held.assignment, offset });
            }
        }
        commits
    }

    /// The partitions whose polling must change, with what it changes to. Polling pauses at the bounds and
    /// goes on at half of them.
    pub(crate) fn take_polling_changes(&mut self) -> Vec<(PartitionKey, Polling)> {
        let (events_max, bytes_max) = (self.settings.in_flight_events_max, self.settings.in_flight_bytes_max);
        let mut changes = Vec::new();
        for (key, held) in &mut self.held {
            let (events, bytes) = (held.ledger.remembered_events(), held.ledger.unsettled_bytes());
            let wanted = match held.polling {
                Polling::Go if events >= events_max || bytes >= bytes_max => Polling::Pause,
                Polling::Pause if events <= events_max / 2 && bytes <= bytes_max / 2 => Polling::Go,
                unchanged => unchanged,
            };
            if wanted != held.polling {
                held.polling = wanted;
                changes.push((*key, wanted));
            }
        }
        changes
    }

    /// Events of all partitions that were read and are not settled.
    pub(crate) fn unsettled_events(&self) -> usize {
        self.held.values().map(|held| held.ledger.unsettled_events()).sum()
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
    use super::*;

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
        let first = partitions.enter(KEY, event(7, 1)).unwrap();
        let second = partitions.enter(KEY, event(8, 1)).unwrap();
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
            partitions.enter(KEY, event(offset, 0));
        }
        assert_eq!(partitions.take_commits(Due::Now, start), [commit(2)]);
    }

    #[test]
    fn a_revoked_partition_makes_its_tickets_stale() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        let ticket = partitions.enter(KEY, event(0, 1)).unwrap();
        assert_eq!(partitions.revoke(KEY), 1);
        assert!(!partitions.is_current(ticket));
        partitions.assign(KEY, AssignmentId(2), start);
        assert!(!partitions.is_current(ticket));
        assert_eq!(partitions.settle_part(ticket), None);
    }

    #[test]
    fn a_partition_is_handed_over_once_all_is_settled_and_offered() {
        let (mut partitions, start) = partitions(DispatchSettings::default());
        let first = partitions.enter(KEY, event(0, 1)).unwrap();
        let second = partitions.enter(KEY, event(1, 1)).unwrap();
        partitions.settle_part(first);
        assert_eq!(partitions.take_commits(Due::All, start), [commit(0)]);
        partitions.hand_over(KEY, start);
        assert_eq!(partitions.enter(KEY, event(2, 1)), None, "nothing more is read");
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
        partitions.enter(KEY, event(0, 1)).unwrap();
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
        let tickets: Vec<_> = (0..4).filter_map(|offset| partitions.enter(KEY, event(offset, 1))).collect();
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Pause)]);
        partitions.settle_part(tickets[0]);
        assert_eq!(partitions.take_polling_changes(), []);
        partitions.settle_part(tickets[1]);
        assert_eq!(partitions.take_polling_changes(), [(KEY, Polling::Go)]);
    }
}
