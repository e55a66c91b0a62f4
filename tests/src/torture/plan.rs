//! The plan of a run: every place where a host can be killed, some faults of the way and some other hardships, in an
//! order and at moments that follow from the seed alone.

use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::fault::{Fault, Target, Trap};
use super::hardship::Hardship;
use crate::client::{DLQ, DOMAIN};

/// Iggy's code for messages that could not be written.
const CANNOT_APPEND: u32 = 4_010;

/// Most commits of a host before it is killed: those of about two seconds.
const COMMITS_MAX: usize = 150;

/// Sets the draws of the other hardships apart from those of the kills, which stay the same without them.
const SURROUNDINGS: u64 = 0x5eed_7e57;

/// A place where a host is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The name in reports.
    pub name: &'static str,
    /// Where it is.
    pub place: Place,
    /// The latest passage at which it is killed.
    nth_max: u32,
}

/// Where a host is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At a failpoint inside of it.
    Inside(&'static str),
    /// Where the broker has carried out what it asked for, and it does not know yet. Nothing means a commit, anything
    /// else messages for that topic.
    Unanswered(Option<&'static str>),
}

/// Every such place.
pub const POINTS: [Point; 15] = [
    Point::inside("poll.after_recv", "poll.after_recv", 20),
    Point::inside("dispatch.before_call", "dispatch.before_call", 60),
    Point::inside("guest.in_call", "guest.in_call", 300),
    Point::inside("guest.after_call", "guest.after_call", 60),
    Point::inside("emit.mid_batch", "system.before_send", 30),
    Point::unanswered("emit.sent_before_ack", Some("system"), 30),
    Point::inside("terminal.before_commit", "terminal.before_commit", 20),
    Point::unanswered("commit.sent_before_ack", None, 20),
    Point::inside("commit.after_ack", "commit.after_ack", 20),
    Point::inside("retry.backoff_wait", "retry.backoff_wait", 20),
    Point::inside("dlq.before_send", "dlq.before_send", 10),
    Point::unanswered("dlq.sent_before_ack", Some(DLQ), 10),
    Point::inside("dlq.after_ack_before_commit", "dlq.after_ack", 10),
    Point::inside(REVOKE_SEEN, "rebalance.revoke_seen", 1),
    Point::inside("rebalance.after_assign", "rebalance.after_assign", 1),
];

/// The one that needs a second member to come.
pub const REVOKE_SEEN: &str = "rebalance.revoke_seen";

/// When a host suffers what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Where.
    pub point: Point,
    /// Commits of this life that come before.
    pub commits: usize,
    /// At which passage after them.
    pub nth: u32,
}

/// One hardship.
#[derive(Debug, Clone)]
pub enum Step {
    /// A host is killed.
    Kill(Moment),
    /// A host is asked to stop.
    Stop(Moment),
    /// A host freezes until another one has all its partitions, and then goes on.
    Freeze(Moment),
    /// A host loses the way to the broker until another one has all its partitions, and then finds it again.
    Split,
    /// Something happens on the way.
    Way(Trap),
    /// The broker is killed and started again.
    BrokerRestart,
    /// Nobody reads the log of a host.
    Log(LogFault),
    /// A disk is full for so long.
    Disk(Owner, Duration),
    /// The wall clock leaps ahead, and back after so long.
    Clock(Owner, Duration),
    /// A host that may open few files may open no further one for so long.
    Files(Duration),
    /// A host may use little memory.
    Memory,
}

/// How nobody reads a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFault {
    /// Its pipe is not emptied for so long.
    Blocked(Duration),
    /// It is not emptied for so long, and then the host is asked to stop.
    BlockedAtStop(Duration),
    /// Its reader goes away, and so long after that the host is asked to stop.
    Closed(Duration),
}

/// Whose surroundings fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The main host's.
    Host,
    /// The broker's.
    Broker,
}

/// Where the main host keeps what its handlers remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In a server that it shares with other hosts.
    Redis,
    /// In a file of its own.
    File,
}

/// The handlers of a run.
pub const HANDLERS: [&str; 3] = ["steady", "picky", "looping"];

/// How many hosts share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// One.
    Alone,
    /// Two.
    Shared,
}

/// What happens in a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many hosts there are.
    pub company: Company,
    /// What happens to them.
    pub steps: Vec<Step>,
    /// The handlers that remember what they have handled.
    pub dedup: Vec<&'static str>,
    /// Where the main host does.
    pub store: Store,
}

impl Point {
    const fn inside(name: &'static str, failpoint: &'static str, nth_max: u32) -> Self {
        Self { name, place: Place::Inside(failpoint), nth_max }
    }

    const fn unanswered(name: &'static str, topic: Option<&'static str>, nth_max: u32) -> Self {
        Self { name, place: Place::Unanswered(topic), nth_max }
    }

    /// Whether events in ordinary company come past it again and again.
    fn is_busy(&self) -> bool {
        matches!(self.place, Place::Inside(_)) && !self.name.starts_with("rebalance")
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, commits, nth } = self;
        write!(f, "{} {nth}, {commits} commits", point.name)
    }
}

impl Step {
    /// The kind that reports count it by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::Freeze(_) => "freeze",
            Self::Split => "split",
            Self::Way(_) => "way",
            Self::BrokerRestart => "broker-restart",
            Self::Log(LogFault::Blocked(_)) => "log-blocked",
            Self::Log(LogFault::BlockedAtStop(_)) => "log-blocked-at-stop",
            Self::Log(LogFault::Closed(_)) => "log-closed",
            Self::Disk(Owner::Host, _) => "disk-of-host",
            Self::Disk(Owner::Broker, _) => "disk-of-broker",
            Self::Clock(Owner::Host, _) => "clock-of-host",
            Self::Clock(Owner::Broker, _) => "clock-of-broker",
            Self::Files(_) => "files",
            Self::Memory => "memory",
        }
    }

    /// Whether it happens to a broker, and so only to one that is ours.
    pub const fn needs_own_broker(&self) -> bool {
        matches!(self, Self::BrokerRestart | Self::Disk(Owner::Broker, _) | Self::Clock(Owner::Broker, _))
    }

    /// The name in reports.
    pub fn name(&self) -> String {
        match self {
            Self::Kill(moment) => format!("kill {moment}"),
            Self::Stop(moment) => format!("stop {moment}"),
            Self::Freeze(moment) => format!("freeze {moment}"),
            Self::Way(trap) => format!("{} {}", trap.fault.name(), target_name(&trap.target)),
            Self::Split => "split one host from the broker".to_owned(),
            Self::BrokerRestart => "restart broker".to_owned(),
            Self::Log(
                LogFault::Blocked(lasts) | LogFault::BlockedAtStop(lasts) | LogFault::Closed(lasts),
            )
            | Self::Disk(_, lasts)
            | Self::Clock(_, lasts)
            | Self::Files(lasts) => format!("{} {}s", self.kind(), lasts.as_secs()),
            Self::Memory => self.kind().to_owned(),
        }
    }
}

impl Plan {
    /// The plan that follows from a seed, with these hardships.
    pub fn of(seed: u64, hardships: &[Hardship]) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut steps = if hardships.contains(&Hardship::Kills) { kills(&mut random) } else { Vec::new() };
        let company = if random.random() { Company::Alone } else { Company::Shared };
        let dedup = HANDLERS.into_iter().filter(|_| random.random_ratio(19, 20)).collect();
        let mut random = SmallRng::seed_from_u64(seed ^ SURROUNDINGS);
        for hardship in hardships {
            for step in surroundings(*hardship, &mut random) {
                steps.insert(random.random_range(0..=steps.len()), step);
            }
        }
        // Hosts that share the work must share what their handlers remember.
        let may_be_file = company == Company::Alone && hardships.contains(&Hardship::Disk);
        let store = if may_be_file && random.random_ratio(3, 4) { Store::File } else { Store::Redis };
        Self { company, steps, dedup, store }
    }
}

fn kills(random: &mut SmallRng) -> Vec<Step> {
    let mut kills: Vec<Step> = POINTS.iter().map(|point| Step::Kill(moment(*point, random))).collect();
    let busy: Vec<Point> = POINTS.into_iter().filter(Point::is_busy).collect();
    let pick = |random: &mut SmallRng| moment(*busy.choose(random).expect("there are busy points"), random);
    let (stop, freeze) = (pick(random), pick(random));
    kills.extend([Step::Stop(stop), Step::Freeze(freeze), Step::Split, Step::BrokerRestart]);
    let mut faults = faults(random);
    faults.shuffle(random);
    kills.extend(faults.into_iter().take(3).map(Step::Way));
    kills.shuffle(random);
    kills
}

/// What happens around a host, for one kind of hardship.
fn surroundings(hardship: Hardship, random: &mut SmallRng) -> Vec<Step> {
    let mut brief = |seconds| Duration::from_secs(random.random_range(seconds));
    match hardship {
        Hardship::Kills => Vec::new(),
        Hardship::Log => {
            let blocked = LogFault::Blocked(brief(2..12));
            let faults = [blocked, LogFault::BlockedAtStop(brief(2..12)), LogFault::Closed(brief(1..5))];
            faults.map(Step::Log).into()
        }
        Hardship::Disk => {
            // Longer than health may be silent about it, now and then.
            let lasts = if random.random_ratio(1, 4) { 35..45 } else { 2..8 };
            let lasts = Duration::from_secs(random.random_range(lasts));
            let brief = Duration::from_secs(random.random_range(2..8));
            vec![Step::Disk(Owner::Host, lasts), Step::Disk(Owner::Broker, brief)]
        }
        Hardship::Clock => {
            vec![Step::Clock(Owner::Host, brief(3..10)), Step::Clock(Owner::Broker, brief(3..10))]
        }
        Hardship::Files => vec![Step::Files(brief(2..6))],
        Hardship::Memory => vec![Step::Memory],
    }
}

/// Some soon, most once the host has come to work.
fn moment(point: Point, random: &mut SmallRng) -> Moment {
    let is_soon = random.random_ratio(1, 4) || point.name.starts_with("rebalance");
    let commits = if is_soon { 0 } else { random.random_range(1..=COMMITS_MAX) };
    Moment { point, commits, nth: random.random_range(1..=point.nth_max) }
}

fn faults(random: &mut SmallRng) -> Vec<Trap> {
    let targets = [
        Target::Publish("system".into()),
        Target::Publish(DLQ.into()),
        Target::Store,
        Target::Poll,
        Target::Any,
    ];
    let faults = [
        Fault::CutRequest,
        Fault::CutAnswered,
        Fault::CutAnswer,
        Fault::Delay { by: Duration::from_millis(20), lasts: Duration::from_secs(1) },
        Fault::Trickle,
        Fault::BlackHole(Duration::from_millis(random.random_range(100..3_000))),
        Fault::Refuse { code: CANNOT_APPEND, times: random.random_range(1..5) },
    ];
    let mut traps = Vec::new();
    for fault in faults {
        let target = match fault {
            // What only publishing may be answered with.
            Fault::Refuse { .. } => Target::Publish([DOMAIN, DLQ][random.random_range(0..2)].to_owned()),
            _ => targets[random.random_range(0..targets.len())].clone(),
        };
        traps.push(Trap { target, nth: random.random_range(1..10), fault });
    }
    traps
}

fn target_name(target: &Target) -> &str {
    match target {
        Target::Any => "any",
        Target::Publish(topic) => topic,
        Target::Store => "commit",
        Target::Poll => "poll",
        Target::Join => "join",
    }
}
