//! Goal: what clients see of this broker is what they see of Iggy's server, except where a difference is meant.
//! Method: random sessions of all commands, with good and bad arguments, held with both; the answers, without ids and
//! times, are the same or stand in `differential/differences.json`. Some sessions with a real server are recorded in
//! `differential/recorded.txt` and replayed by every run; `GUESTHOUSE_TEST_IGGY=user:password@host:port` names a server
//! to hold others with, and `GUESTHOUSE_TEST_RECORD=1` records them anew.

mod author;
mod crowd;
mod dice;
mod differences;
mod grants;
mod known;
mod members;
mod plan;
mod show;
mod side;
mod words;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use guesthouse_broker::Broker;
use secrecy::ExposeSecret;

use crate::kit::{House, shut};
use differences::{Comparison, Differences};
use known::Purge;
use side::{Access, Side};

/// Names the server to compare with.
const OUTSIDE: &str = "GUESTHOUSE_TEST_IGGY";
/// How many sessions to hold with it.
const SESSIONS: &str = "GUESTHOUSE_TEST_SESSIONS";
const SESSIONS_USUAL: u64 = 20;
/// Set to record sessions: the first ones, and each that meets a difference which none before it met.
const RECORD: &str = "GUESTHOUSE_TEST_RECORD";
const RECORDED_FIRST: u64 = 45;
const RECORDED: &str = "tests/wire/differential/recorded.txt";
/// How long partitions may take to get to other members.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);
/// Between a step and its answer in the record.
const ANSWERS: &str = " => ";

/// A session that was held: the steps with the answers of the server, and the differences that nobody meant.
#[derive(Default)]
struct Held {
    theirs: Vec<(String, String)>,
    unmeant: Vec<String>,
}

fn outside() -> Option<Access> {
    let text = std::env::var(OUTSIDE).ok()?;
    let (login, address) = text.rsplit_once('@').expect("it is user:password@host:port");
    let (username, password) = login.split_once(':').expect("it is user:password@host:port");
    let [address, username, password] = [address, username, password].map(str::to_owned);
    Some(Access { address, username, password, purge: Purge::StartsAgain })
}

fn ours(broker: &Broker) -> Access {
    let root = broker.root_credentials();
    Access {
        address: broker.address().to_string(),
        username: root.username.clone(),
        password: root.password.expose_secret().to_owned(),
        purge: Purge::CountsOn,
    }
}

impl Held {
    /// Compares the answers to one step.
    fn take(&mut self, step: &str, [ours, theirs]: [String; 2], differences: &mut Differences) -> Comparison {
        let comparison = differences.compare(step, &ours, &theirs);
        if comparison == Comparison::Different {
            self.unmeant.push(format!("{step}\n    ours:   {ours}\n    theirs: {theirs}"));
        }
        self.theirs.push((step.to_owned(), theirs));
        comparison
    }
}

/// Whether a step asks for what comes about after the answer to another one: on Iggy's server partitions go to other
/// members of a group a while after what was read of them was committed.
fn takes_time(step: &str) -> bool {
    step.starts_with("all share")
}

/// Holds a session with both servers.
async fn hold(seed: u64, both: [&Access; 2], differences: &mut Differences) -> Held {
    let tag = format!("{:04x}-{seed:x}-", std::process::id() % 0x1_0000);
    let mut ours = Side::open(both[0], &tag).await;
    let mut theirs = Side::open(both[1], &tag).await;
    let mut held = Held::default();
    for step in plan::session(seed) {
        let mut answers = [ours.run(&step).await, theirs.run(&step).await];
        let deadline = Instant::now() + HAND_OVER_MAX;
        while takes_time(&step) && answers[0] != answers[1] && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            answers[1] = theirs.run(&step).await;
        }
        if held.take(&step, answers, differences) == Comparison::Ended {
            break;
        }
    }
    ours.close().await;
    theirs.close().await;
    held
}

/// Takes the steps of a recorded session with this broker.
async fn replay(number: usize, session: &str, access: &Access, differences: &mut Differences) -> Held {
    let mut ours = Side::open(access, &format!("r{number}-")).await;
    let mut held = Held::default();
    for line in session.lines() {
        let (step, theirs) = line.split_once(ANSWERS).unwrap();
        let answers = [ours.run(step).await, theirs.to_owned()];
        if held.take(step, answers, differences) == Comparison::Ended {
            break;
        }
    }
    ours.close().await;
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_the_same_with_the_server() {
    let Some(theirs) = outside() else {
        eprintln!("SKIPPED: nothing to compare with; {OUTSIDE} names a server");
        return;
    };
    let sessions = std::env::var(SESSIONS).map_or(SESSIONS_USUAL, |count| count.parse().unwrap());
    let house = House::new();
    let broker = house.open().await;
    let ours = ours(&broker);
    let mut differences = Differences::read();
    let mut unmeant = Vec::new();
    let mut record = Vec::new();
    for seed in 0..sessions {
        let met = differences.met();
        let held = hold(seed, [&ours, &theirs], &mut differences).await;
        unmeant.extend(held.unmeant.into_iter().map(|text| format!("{seed}: {text}")));
        if seed < RECORDED_FIRST || differences.met() > met {
            let lines = held.theirs.iter().map(|(step, answer)| format!("{step}{ANSWERS}{answer}\n"));
            record.push(lines.collect::<String>());
        }
    }
    shut(broker).await;
    if std::env::var_os(RECORD).is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDED), record.join("\n")).unwrap();
    }
    assert!(unmeant.is_empty(), "{} differences\n{}", unmeant.len(), unmeant.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_that_ends_the_server_is_refused_here() {
    let house = House::new();
    let broker = house.open().await;
    let mut ours = Side::open(&ours(&broker), "garbage-").await;
    for step in plan::deadly_session() {
        let answer = ours.run(&step).await;
        assert!(!step.contains('=') || answer == "code 4" || answer == "evicted 1", "{step}: {answer}");
    }
    ours.close().await;
    shut(broker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_sessions_are_the_same_and_meet_every_difference() {
    let house = House::new();
    let broker = house.open().await;
    let ours = ours(&broker);
    let mut differences = Differences::read();
    let mut unmeant = Vec::new();
    let recorded = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDED)).unwrap();
    for (number, session) in recorded.split("\n\n").enumerate() {
        unmeant.extend(replay(number, session, &ours, &mut differences).await.unmeant);
    }
    shut(broker).await;
    assert!(unmeant.is_empty(), "{} differences\n{}", unmeant.len(), unmeant.join("\n"));
    assert!(differences.unmet().is_empty(), "differences that no session meets: {:#?}", differences.unmet());
}
