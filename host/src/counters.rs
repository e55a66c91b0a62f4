//! Counters of a running host: what came in, what became of it, per tenant.

mod board;
mod counting;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dispatch::Handled;
use crate::histogram::Histogram;
use crate::outcome::OutcomeKind;

pub(crate) use self::board::{CountersBoard, SHOWN_MAX, ShowTimes, Shown};
pub(crate) use self::counting::{Arrivals, Counting};

/// Most tenants that are counted by name; the rest is counted together under [`OTHER_TENANTS`].
const TENANTS_MAX: usize = 10_000;

/// The name under which tenants beyond the bound are counted.
const OTHER_TENANTS: &str = "(other tenants)";

/// A snapshot of what a host counted since it started.
///
/// Two sums hold: `received = settled + unsettled + given_back`; and, once nothing is unsettled and if nothing was
/// given back, `deliveries = handled + deduplicated + dead_letters`, where undecodable messages are dead letters without
/// a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages read, those read again after a loss of the connection included.
    pub received: u64,
    /// Messages settled.
    pub settled: u64,
    /// Messages read and not settled now.
    pub unsettled: u64,
    /// Messages given back because their partition was taken away.
    pub given_back: u64,
    /// Messages that no handler wanted.
    pub unmatched: u64,
    /// Messages that no codec could read. Each is a dead letter.
    pub undecodable: u64,
    /// Guest calls of several events that failed as a whole and were run again one by one.
    pub batches_split: u64,
    /// Partitions assigned now.
    pub partitions: u64,
    /// Partitions that are not polled now because of a bound, by what is full: `lane`, `tenant`, `partition` or `host`.
    /// One can wait for several.
    pub paused_partitions: BTreeMap<String, u64>,
    /// Messages that the broker dropped, because they were old or too many, before they were read.
    pub lost_to_retention: u64,
    /// Messages that are handled again, because the stored offset of the group went back: it was deleted or put back, or its
    /// topic was made anew. At most so many: a host knows what it has committed itself.
    #[serde(default)]
    pub handled_again: u64,
    /// Events that were in guests when the last host was killed for want of memory, and are not blamed for it.
    #[serde(default)]
    pub killed_for_memory: u64,
    /// Times that the offsets of a partition went back, because the broker forgot messages or the topic was purged.
    pub log_went_back: u64,
    /// When the oldest of the messages that are not settled now was read, and when the oldest was made by its
    /// producer, in microseconds since 1970.
    pub oldest_read_micros: Option<u64>,
    /// See [`Self::oldest_read_micros`].
    pub oldest_made_micros: Option<u64>,
    /// When a message was last settled, in microseconds since 1970; 0 when none was.
    pub last_settled_micros: u64,
    /// Attempts that ended, by outcome, with the time they took: that of a guest call is shared equally by its events.
    pub attempts: BTreeMap<String, Histogram>,
    /// Times that a poller became a member of its group.
    pub joins: u64,
    /// Offsets of partitions that the broker has stored: commits.
    #[serde(default)]
    pub commits: u64,
    /// Times that it ceased to be one, by reason: `lost` or `stopped`.
    pub membership_ends: BTreeMap<String, u64>,
    /// What could not be done at once, by stage (`read`, `commit`, `publish`) and stable code. All of it is repeated.
    pub failures: BTreeMap<String, BTreeMap<String, u64>>,
    /// What was published, by topic.
    pub topics: BTreeMap<String, TopicCounters>,
    /// Requests to publish that failed. Each was repeated.
    pub publish_failures: u64,
    /// Topics that cannot be written now, with the number of messages that wait for each. What waits is not
    /// committed.
    pub unwritable_topics: BTreeMap<String, u64>,
    /// Time from the producer's clock to settled, of messages that a handler wanted. The two clocks are those of
    /// different machines when producer and host are.
    pub latency: Histogram,
    /// Counters of each tenant.
    pub tenants: BTreeMap<String, TenantCounters>,
    /// Dead letters by handler, then by outcome.
    pub dead_letters: BTreeMap<String, BTreeMap<String, u64>>,
    /// How each handler is.
    pub handlers: BTreeMap<String, HandlerCounters>,
    /// Failures of what the host itself keeps or does, by the cause of health that they are. All of it is repeated, or
    /// told because it cannot be.
    #[serde(default)]
    pub troubles: BTreeMap<String, u64>,
}

/// What was published to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCounters {
    /// Messages that the broker has confirmed.
    pub published: u64,
    /// Requests that failed, by stable code.
    pub failures: BTreeMap<String, u64>,
}

/// How a handler is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerCounters {
    /// Whether it gets events.
    pub state: HandlerState,
    /// How often it was paused because it failed at most of its attempts.
    pub pauses: u64,
    /// Tenants for whom alone it is paused now.
    pub paused_tenants: u64,
    /// Lanes that are stopped behind a dead event now.
    pub blocked_lanes: u64,
    /// Lanes that are parked now, in the partitions that this host reads.
    pub parked_lanes: u64,
    /// Events of those lanes that wait in the parked topic.
    pub parked_events: u64,
    /// Parked events that were dropped as an operator wanted.
    pub dropped_events: u64,
    /// Attempts that ended, by outcome.
    pub attempts: BTreeMap<String, u64>,
}

/// Whether a handler gets events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandlerState {
    /// It does.
    #[default]
    Running,
    /// Its events wait, because it failed at most of its attempts; now and then it is tried with one of them.
    Paused,
}

/// What was counted for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantCounters {
    /// Events read.
    pub received: u64,
    /// Events times handlers that want them.
    pub deliveries: u64,
    /// Deliveries handled.
    pub handled: u64,
    /// Deliveries of events that were handled before, recognised by a handler that keeps that on record, and not run.
    pub deduplicated: u64,
    /// Attempts that were followed by another one.
    pub retried: u64,
    /// Events that guests asked to publish.
    pub emitted: u64,
    /// Deliveries given up, by outcome.
    pub dead_letters: BTreeMap<String, u64>,
}

impl Counters {
    pub(crate) fn settled(&mut self, now_micros: u64, origin_micros: u64) {
        self.settled += 1;
        self.last_settled_micros = self.last_settled_micros.max(now_micros);
        self.latency.record(now_micros.saturating_sub(origin_micros));
    }

    pub(crate) fn attempted(&mut self, outcome: OutcomeKind, micros: u64, times: u64) {
        let name = outcome.as_str();
        if !self.attempts.contains_key(name) {
            self.attempts.insert(name.to_owned(), Histogram::default());
        }
        if let Some(histogram) = self.attempts.get_mut(name) {
            histogram.record_many(micros, times);
        }
    }

    /// Dead letters of all handlers and outcomes, those of messages that no codec could read included.
    pub(crate) fn dead_letters_made(&self) -> u64 {
        self.dead_letters.values().flat_map(BTreeMap::values).sum()
    }

    /// Adds what was published to a topic.
    pub(crate) fn published_to(&mut self, topic: &str, theirs: &TopicCounters) {
        let ours = self.topics.entry(topic.to_owned()).or_default();
        ours.published += theirs.published;
        add_counts(&mut ours.failures, &theirs.failures);
        self.publish_failures += theirs.failures.values().sum::<u64>();
        add_counts(self.failures.entry("publish".to_owned()).or_default(), &theirs.failures);
    }

    /// Adds the counts of another subscription.
    pub(crate) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.settled += other.settled;
        self.unsettled += other.unsettled;
        self.given_back += other.given_back;
        self.unmatched += other.unmatched;
        self.undecodable += other.undecodable;
        self.batches_split += other.batches_split;
        self.partitions += other.partitions;
        add_counts(&mut self.paused_partitions, &other.paused_partitions);
        self.lost_to_retention += other.lost_to_retention;
        self.handled_again += other.handled_again;
        self.log_went_back += other.log_went_back;
        self.killed_for_memory += other.killed_for_memory;
        self.oldest_read_micros = earlier(self.oldest_read_micros, other.oldest_read_micros);
        self.oldest_made_micros = earlier(self.oldest_made_micros, other.oldest_made_micros);
        self.last_settled_micros = self.last_settled_micros.max(other.last_settled_micros);
        self.add_shell(other);
        add_counts(&mut self.unwritable_topics, &other.unwritable_topics);
        self.latency.add(&other.latency);
        for (tenant, theirs) in &other.tenants {
            let ours = self.tenants.entry(tenant.clone()).or_default();
            ours.received += theirs.received;
            ours.deliveries += theirs.deliveries;
            ours.handled += theirs.handled;
            ours.deduplicated += theirs.deduplicated;
            ours.retried += theirs.retried;
            ours.emitted += theirs.emitted;
            add_counts(&mut ours.dead_letters, &theirs.dead_letters);
        }
        for (handler, theirs) in &other.dead_letters {
            add_counts(self.dead_letters.entry(handler.clone()).or_default(), theirs);
        }
        add_counts(&mut self.troubles, &other.troubles);
        // A handler belongs to one subscription.
        self.handlers.extend(other.handlers.iter().map(|(name, theirs)| (name.clone(), theirs.clone())));
    }

    /// Adds what another subscription counted around its dispatcher.
    fn add_shell(&mut self, other: &Self) {
        for (outcome, theirs) in &other.attempts {
            self.attempts.entry(outcome.clone()).or_default().add(theirs);
        }
        self.joins += other.joins;
        self.commits += other.commits;
        add_counts(&mut self.membership_ends, &other.membership_ends);
        for (stage, theirs) in &other.failures {
            add_counts(self.failures.entry(stage.clone()).or_default(), theirs);
        }
        self.publish_failures += other.publish_failures;
        for (topic, theirs) in &other.topics {
            let ours = self.topics.entry(topic.clone()).or_default();
            ours.published += theirs.published;
            add_counts(&mut ours.failures, &theirs.failures);
        }
    }
}

impl TenantCounters {
    fn of_mut(&mut self, handled: Handled) -> &mut u64 {
        match handled {
            Handled::Now => &mut self.handled,
            Handled::Before(_) => &mut self.deduplicated,
        }
    }
}

fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}

fn add_counts(ours: &mut BTreeMap<String, u64>, theirs: &BTreeMap<String, u64>) {
    for (name, count) in theirs {
        *ours.entry(name.clone()).or_default() += count;
    }
}
