//! Where a run takes place: a broker in a process of its own, a proxy before it for each host, and hosts that are
//! started again and again, each life with a log of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::clock::WallClock;
use super::disk::Disk;
use super::files::FILES_MAX;
use super::hardship::Hardship;
use super::log_pipe::LogPipe;
use super::memory::MemoryGroup;
use super::plan::{HANDLERS, Owner, Plan, Store};
use super::proxy::{Proxy, micros};
use super::vigil::{OBSERVED_EVERY, STUCK_AFTER};
use super::watcher::Watcher;
use crate::broker::{self, Access, BrokerProgram};
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

/// Dead letters that are no sign of trouble: more than any run makes.
const DEAD_LETTERS_MAX: u64 = 100_000_000;

/// What the disk of the host holds when it is not full.
const HOST_DISK_BYTES: u64 = 512 << 20;

/// The same for the broker, which keeps all messages of a run.
const BROKER_DISK_BYTES: u64 = 4 << 30;

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

/// What one life of the main host finds around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// A pipe for its log.
    LogPipe,
    /// A wall clock that can leap.
    WallClock,
    /// A low limit of open files.
    FewFiles,
    /// A low limit of memory.
    LittleMemory,
}

/// The surroundings of one run.
#[derive(Debug)]
pub struct Stage {
    /// Ends first: whom it asks may have gone.
    watcher: Watcher,
    broker: StageBroker,
    disks: Vec<Disk>,
    memory: Option<MemoryGroup>,
    clock: Option<WallClock>,
    pipes: Vec<LogPipe>,
    directory: TempDir,
    program: PathBuf,
    stream: String,
    main_way: Proxy,
    companion_way: Proxy,
    lives: Vec<Life>,
    /// Handlers that remember what they have handled.
    dedup: Vec<&'static str>,
    /// Where the main host does.
    store: Store,
    /// Hosts that take partitions over from each other must share it.
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
    /// Sets it up for a plan with these hardships. `program` is a host with failpoints.
    pub async fn open(program: &Path, plan: &Plan, hardships: &[Hardship]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let place = |owner| directory.path().join(folder(owner));
        let mut disks = Vec::new();
        if hardships.contains(&Hardship::Disk) {
            for (owner, bytes) in [(Owner::Host, HOST_DISK_BYTES), (Owner::Broker, BROKER_DISK_BYTES)] {
                disks.push(Disk::mount(&place(owner), bytes).expect("mounting was tried before"));
            }
        }
        let memory = hardships.contains(&Hardship::Memory);
        let memory = memory.then(|| MemoryGroup::open().expect("a group was made before"));
        let clock = hardships.contains(&Hardship::Clock);
        let clock = clock
            .then(|| WallClock::open(&directory.path().join("clock")).expect("the library was found before"));
        let broker = match Access::outside() {
            None => {
                StageBroker::Own(BrokerProgram::start_impatient(&place(Owner::Broker), SILENCE_MAX).await)
            }
            Some(access) => StageBroker::Outside(access),
        };
        // A server outside keeps the streams of all runs.
        let stream = format!("torture-{}", Uuid::new_v4().simple());
        let address: SocketAddr = broker.access().address.parse().expect("a broker knows its address");
        let (main_way, companion_way) = (Proxy::start(address).await, Proxy::start(address).await);
        Self {
            watcher: Watcher::default(),
            broker,
            disks,
            memory,
            clock,
            pipes: Vec::new(),
            directory,
            program: program.to_owned(),
            stream,
            main_way,
            companion_way,
            lives: Vec::new(),
            dedup: plan.dedup.clone(),
            store: plan.store,
            redis: RedisServer::start().await,
        }
    }

    /// Leaves all files where they are, and tells where.
    pub fn keep(self) -> PathBuf {
        let Self { broker, disks, directory, .. } = self;
        drop(broker);
        disks.into_iter().for_each(Disk::keep);
        directory.keep()
    }

    /// Who asks the hosts for their health.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The disk of a host or broker; none without that hardship.
    pub fn disk(&self, owner: Owner) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.directory().ends_with(folder(owner)))
    }

    /// The clock that hosts and brokers may see; none without that hardship.
    pub fn clock(&self) -> Option<&WallClock> {
        self.clock.as_ref()
    }

    /// The pipe of the last life that has one.
    pub fn log_pipe(&self) -> Option<&LogPipe> {
        self.pipes.last()
    }

    /// How often the kernel killed a host that used too much memory.
    pub fn deaths_for_memory(&self) -> u64 {
        self.memory.as_ref().map_or(0, MemoryGroup::deaths)
    }

    /// Waits until what all lives wrote to pipes has arrived.
    pub fn finish_logs(&self) {
        self.pipes.iter().for_each(LogPipe::finish);
    }

    /// The way of a host to the broker.
    pub fn way(&self, seat: Seat) -> &Proxy {
        match seat {
            Seat::Main => &self.main_way,
            Seat::Companion => &self.companion_way,
        }
    }

    /// Kills the broker and starts it again, if it is ours.
    pub async fn restart_broker(&mut self) {
        let StageBroker::Own(broker) = &mut self.broker else { return };
        broker.kill();
        broker.start_again().await;
    }

    /// The same; the broker sees the clock of the stage afterwards.
    pub async fn restart_broker_with_clock(&mut self) {
        let (StageBroker::Own(broker), Some(clock)) = (&mut self.broker, &self.clock) else { return };
        let mut command = broker::program();
        clock.give_to(&mut command);
        broker.kill();
        broker.start_again_as(command).await;
    }

    /// Whether the broker is ours.
    pub fn has_own_broker(&self) -> bool {
        matches!(self.broker, StageBroker::Own(_))
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
        let config = self.next_config(seat);
        let mut command = Command::new(&self.program);
        if let Some(Arms { failpoint, nth, signal }) = arms {
            command.env("GUESTHOUSE_FAILPOINT", format!("{failpoint}:{nth}:{signal}"));
            command.env("GUESTHOUSE_FAILPOINT_FILE", self.fired_file());
            command.env("GUESTHOUSE_FAILPOINT_AFTER", go_file(&config));
        }
        self.begin_life(seat, &config);
        HostProgram::start_as(command, &config)
    }

    /// Starts the next life of the main host in surroundings of its own.
    pub fn start_in(&mut self, surroundings: Surroundings) -> HostProgram {
        let config = self.next_config(Seat::Main);
        let script = match (surroundings, &self.memory) {
            (Surroundings::FewFiles, _) => format!("ulimit -S -n {FILES_MAX}"),
            (Surroundings::LittleMemory, Some(group)) => {
                format!("echo $$ > '{}'", group.members_file().display())
            }
            _ => ":".to_owned(),
        };
        // The shell becomes the host, under the same process id.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{script} && exec \"$0\" \"$@\"")]).arg(&self.program);
        if let (Surroundings::WallClock, Some(clock)) = (surroundings, &self.clock) {
            command = Command::new(&self.program);
            clock.give_to(&mut command);
        }
        self.begin_life(Seat::Main, &config);
        if surroundings != Surroundings::LogPipe {
            return HostProgram::start_as(command, &config);
        }
        let (host, pipe) = HostProgram::start_piped(command, &config);
        self.pipes.push(LogPipe::start(pipe, host.log_file()));
        host
    }

    fn next_config(&self, seat: Seat) -> PathBuf {
        let name = format!("life-{:03}", self.lives.len() + 1);
        let config = self.directory.path().join(format!("{name}.yaml"));
        // JSON is YAML as well.
        std::fs::write(&config, self.config(seat).to_string()).expect("the stage is writable");
        config
    }

    fn begin_life(&mut self, seat: Seat, config: &Path) {
        let log = config.with_extension("log");
        self.watcher.watch(self.lives.len(), log.clone(), self.way(seat).tally());
        self.lives.push(Life { log, began_micros: micros() });
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
        let home = match seat {
            Seat::Main => self.directory.path().join(folder(Owner::Host)),
            Seat::Companion => self.directory.path().join("companion"),
        };
        let state = match (seat, self.store) {
            (Seat::Main, Store::File) => json!({ "store": "embedded", "path": home.join("state.redb") }),
            _ => json!({ "store": "redis", "redis_url": self.redis.url() }),
        };
        let every = format!("{}s", OBSERVED_EVERY.as_secs());
        let stuck_after = format!("{}s", STUCK_AFTER.as_secs());
        json!({
            "events": { "iggy": {
                "mode": "remote",
                "remote": { "addresses": [address], "username": username, "password": password },
                "topology": { "stream_name": self.stream, "domain_partitions": PARTITIONS },
            } },
            "subscriptions": [{ "name": "default", "group": GROUP, "topics": [DOMAIN] }],
            "handlers": HANDLERS.map(|name| self.handler(name)),
            "dispatch": { "in_flight_events_max": IN_FLIGHT_EVENTS_MAX },
            "sandbox": { "cache_dir": home.join("cache"), "journal_dir": home.join("journal"), "state": state },
            "metrics": { "listen": "127.0.0.1:0" },
            // Dead letters are what is asked for here, and must not hide another cause.
            "health": { "every": every, "stuck_after": stuck_after, "dead_letters_max": DEAD_LETTERS_MAX },
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

const fn folder(owner: Owner) -> &'static str {
    match owner {
        Owner::Host => "host",
        Owner::Broker => "broker",
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
