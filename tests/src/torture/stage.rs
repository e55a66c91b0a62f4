//! Where a run takes place: a broker in a process of its own, a proxy before it for each host, and hosts that are
//! started again and again, each life with a log of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::plan::{HANDLERS, Plan};
use super::proxy::{Proxy, micros};
use crate::broker::{Access, BrokerProgram};
use crate::builds;
use crate::client::{Client, DOMAIN};
use crate::house::{GROUP, PARTITIONS, with};
use crate::program::HostProgram;
use crate::redis::RedisServer;

/// A member that is silent for so long loses its partitions.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// The same, until another member has them, with a server that is as patient as it comes.
const OUTSIDE_SILENCE_MAX: Duration = Duration::from_secs(120);

/// Unsettled events of one partition at which it is not polled further; it bounds how much a kill repeats.
pub const IN_FLIGHT_EVENTS_MAX: u64 = 500;

/// How long handlers remember what they have handled: longer than any run.
const DEDUP_WITHIN: &str = "1h";

/// Attempts of an event that fails.
pub const ATTEMPTS_MAX: u32 = 3;

/// Which of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// The one that suffers.
    Main,
    /// The one that shares the work with it.
    Companion,
}

/// A failpoint to arm a host with.
#[derive(Debug, Clone, Copy)]
pub struct Arms {
    /// Its name.
    pub failpoint: &'static str,
    /// The passage at which it fires.
    pub nth: u32,
    /// The signal it raises: `kill`, `stop` or `term`.
    pub signal: &'static str,
}

/// The surroundings of one run.
#[derive(Debug)]
pub struct Stage {
    directory: TempDir,
    program: PathBuf,
    broker: StageBroker,
    stream: String,
    main_way: Proxy,
    companion_way: Proxy,
    lives: Vec<Life>,
    /// Handlers that remember what they have handled.
    dedup: Vec<&'static str>,
    /// Where they do: hosts that take partitions over from each other must share it.
    redis: RedisServer,
}

#[derive(Debug)]
enum StageBroker {
    /// A process of its own, which loses patience soon.
    Own(BrokerProgram),
    /// A server that somebody else runs.
    Outside(Access),
}

/// One life of a host.
#[derive(Debug, Clone)]
pub struct Life {
    /// What it wrote.
    pub log: PathBuf,
    /// When it began, in microseconds since 1970.
    pub began_micros: u64,
}

impl Stage {
    /// Sets it up for a plan. `program` is a host with failpoints.
    pub async fn open(program: &Path, plan: &Plan) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let broker = match Access::outside() {
            None => StageBroker::Own(BrokerProgram::start_impatient(SILENCE_MAX).await),
            Some(access) => StageBroker::Outside(access),
        };
        // A server outside keeps the streams of all runs.
        let stream = format!("torture-{}", Uuid::new_v4().simple());
        let address: SocketAddr = broker.access().address.parse().expect("a broker knows its address");
        let (main_way, companion_way) = (Proxy::start(address).await, Proxy::start(address).await);
        Self {
            directory,
            program: program.to_owned(),
            broker,
            stream,
            main_way,
            companion_way,
            lives: Vec::new(),
            dedup: plan.dedup.clone(),
            redis: RedisServer::start().await,
        }
    }

    /// Leaves all files where they are, and tells where.
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    /// The way of a host to the broker.
    pub fn way(&self, seat: Seat) -> &Proxy {
        match seat {
            Seat::Main => &self.main_way,
            Seat::Companion => &self.companion_way,
        }
    }

    /// Kills the broker and starts it again, if it is ours; tells whether it was.
    pub async fn restart_broker(&mut self) -> bool {
        let StageBroker::Own(broker) = &mut self.broker else { return false };
        broker.kill();
        broker.start_again().await;
        true
    }

    /// How long it may take until a silent host has lost its partitions to another one.
    pub fn taken_over_within(&self) -> Duration {
        match self.broker {
            StageBroker::Own(_) => 8 * SILENCE_MAX,
            StageBroker::Outside(_) => OUTSIDE_SILENCE_MAX,
        }
    }

    /// A client that goes past the proxies.
    pub async fn client(&self) -> Client {
        Client::connect(&self.broker.access().config(), &self.stream).await
    }

    /// Starts the next life of a host.
    pub fn start(&mut self, seat: Seat, arms: Option<&Arms>) -> HostProgram {
        let name = format!("life-{:03}", self.lives.len() + 1);
        let config = self.directory.path().join(format!("{name}.yaml"));
        // JSON is YAML as well.
        std::fs::write(&config, self.config(seat).to_string()).expect("the stage is writable");
        let mut command = Command::new(&self.program);
        if let Some(Arms { failpoint, nth, signal }) = arms {
            command.env("GUESTHOUSE_FAILPOINT", format!("{failpoint}:{nth}:{signal}"));
            command.env("GUESTHOUSE_FAILPOINT_FILE", self.fired_file());
            command.env("GUESTHOUSE_FAILPOINT_AFTER", go_file(&config));
        }
        self.lives.push(Life { log: config.with_extension("log"), began_micros: micros() });
        HostProgram::start_as(command, &config)
    }

    /// How many failpoints have fired so far.
    pub fn fired(&self) -> usize {
        std::fs::read_to_string(self.fired_file()).map_or(0, |text| text.lines().count())
    }

    /// Lets the passages of the last life's failpoint count.
    pub fn go(&self) {
        let life = self.lives.last().expect("a host was started");
        std::fs::write(go_file(&life.log), "").expect("the stage is writable");
    }

    /// All lives, in the order of their beginnings.
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    fn fired_file(&self) -> PathBuf {
        self.directory.path().join("fired")
    }

    fn config(&self, seat: Seat) -> Value {
        let Access { username, password, .. } = self.broker.access();
        let address = self.way(seat).address().to_string();
        let state = json!({ "store": "redis", "redis_url": self.redis.url() });
        json!({
            "events": { "iggy": {
                "mode": "remote",
                "remote": { "addresses": [address], "username": username, "password": password },
                "topology": { "stream_name": self.stream, "domain_partitions": PARTITIONS },
            } },
            "subscriptions": [{ "name": "default", "group": GROUP, "topics": [DOMAIN] }],
            "handlers": HANDLERS.map(|name| self.handler(name)),
            "dispatch": { "in_flight_events_max": IN_FLIGHT_EVENTS_MAX },
            "sandbox": { "cache_dir": self.directory.path().join("cache"), "state": state },
        })
    }

    fn handler(&self, name: &str) -> Value {
        let window = if self.dedup.contains(&name) { json!({ "within": DEDUP_WITHIN }) } else { json!({}) };
        with(handler(name), &[("/dedup", window)])
    }
}

impl StageBroker {
    fn access(&self) -> &Access {
        match self {
            Self::Own(broker) => broker.access(),
            Self::Outside(access) => access,
        }
    }
}

fn go_file(of_life: &Path) -> PathBuf {
    of_life.with_extension("go")
}

fn handler(name: &str) -> Value {
    let deadline = if name == "looping" { "50ms" } else { "5s" };
    with(
        crate::house::handler(name, "witness"),
        &[
            ("/events", json!([format!("torture.{name}")])),
            ("/grants", json!(["log"])),
            ("/emit_topics", json!(["system"])),
            ("/limits/deadline", json!(deadline)),
            ("/limits/log_lines_max", json!(10_000)),
            ("/limits/log_bytes_max", json!("4MiB")),
            ("/on_failing", json!("dead-letter")),
            ("/retry/attempts_max", json!(ATTEMPTS_MAX)),
            ("/retry/backoff_min", json!("20ms")),
            ("/retry/backoff_max", json!("100ms")),
        ],
    )
}

/// Builds what every run needs, so that no run is charged for it.
pub fn prepare(directory: &Path) -> PathBuf {
    let program = builds::host_with_failpoints(directory);
    let _ = (builds::guest("witness"), builds::broker());
    program
}
