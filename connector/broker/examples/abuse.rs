//! What a crowd of bad peers costs one who behaves: the time of a send without them and among them, and the memory of the
//! broker. Broker and crowd are processes of their own. The crowd would sit on other machines, so it runs when nobody else
//! wants the processor; what its mere presence costs is told by a round in which it besets another broker, which nobody
//! uses and which runs like the crowd. `abuse SENDS` prints one line of JSON.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that fails may panic"
)]
#![expect(clippy::print_stdout, reason = "it is how the processes talk")]

#[path = "../tests/wire/abuse/crowd.rs"]
mod crowd;
#[path = "../tests/wire/kit.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod kit;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use guesthouse_broker::{Broker, BrokerConfig};
use iggy_binary_protocol::Operation;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crowd::crowd;
use kit::{Raw, login_body};

const PASSWORD: &str = "secret";
const TOPIC: (&str, &str, u32) = ("s", "t", 0);
/// How long the crowd may take to be there.
const ARRIVAL: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["broker", data] => be_broker(Path::new(data)).await,
        ["crowd", address] => be_crowd(address.parse().unwrap()).await,
        [sends] => measure(sends.parse().unwrap()).await,
        _ => panic!("expected SENDS"),
    }
}

/// A process of this program, ended with its handle.
struct Process(Child);

impl Process {
    fn start(words: &[&str]) -> Self {
        Self::spawn(Command::new(env::current_exe().unwrap()).args(words))
    }

    /// One that runs when nobody else wants the processor. A low priority would not do: among processes of the lowest one
    /// the 99th percentile doubles whomever they talk to.
    fn start_aside(words: &[&str]) -> Self {
        Self::spawn(Command::new("chrt").args(["--idle", "0"]).arg(env::current_exe().unwrap()).args(words))
    }

    fn spawn(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Its first line.
    fn said(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn be_broker(data: &Path) {
    let config = BrokerConfig {
        data_dir: data.to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        root_password: Some(PASSWORD.into()),
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config).await.unwrap();
    println!("{}", broker.address());
    std::future::pending::<()>().await;
}

async fn be_crowd(address: SocketAddr) {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
    let guess = Raw::dial(address).await.frame(Operation::Register, 0, &login_body("iggy", "guess"));
    let _crowd = crowd(address, &guess);
    std::future::pending::<()>().await;
}

async fn measure(sends: u32) {
    let data = tempfile::tempdir().unwrap();
    let mut broker = Process::start(&["broker", &data.path().join("used").to_string_lossy()]);
    let mut other = Process::start_aside(&["broker", &data.path().join("other").to_string_lossy()]);
    let (address, elsewhere) = (broker.said(), other.said());
    let mut good = Raw::dial(address.parse().unwrap()).await;
    let reply = good.ask(Operation::Register, &login_body("iggy", PASSWORD)).await.ok();
    good.header.session = u64::from_le_bytes(reply[8..16].try_into().unwrap());
    good.create_stream(TOPIC.0).await;
    good.create_topic(TOPIC.0, TOPIC.1, 1).await;

    times(&mut good, 0, sends).await;
    let quiet = times(&mut good, sends, sends).await;
    let besieged_elsewhere = among(&elsewhere, &mut good, 2 * sends, sends).await;
    let memory_quiet = broker.memory_bytes();
    let abused = among(&address, &mut good, 3 * sends, sends).await;
    let memory_abused = broker.memory_bytes();
    let line = json!({
        "quiet_p50_micros": micros(&quiet, 50), "quiet_p99_micros": micros(&quiet, 99),
        "elsewhere_p50_micros": micros(&besieged_elsewhere, 50), "elsewhere_p99_micros": micros(&besieged_elsewhere, 99),
        "abused_p50_micros": micros(&abused, 50), "abused_p99_micros": micros(&abused, 99),
        "quiet_memory_bytes": memory_quiet, "abused_memory_bytes": memory_abused,
    });
    println!("{line}");
}

/// The same as [`times`] while a crowd besets the broker at this address.
async fn among(address: &str, good: &mut Raw, first: u32, sends: u32) -> Vec<Duration> {
    let _crowd = Process::start_aside(&["crowd", address]);
    tokio::time::sleep(ARRIVAL).await;
    times(good, first, sends).await
}

/// How long each of so many sends of one message took, in order of length.
async fn times(good: &mut Raw, first: u32, sends: u32) -> Vec<Duration> {
    let payload = "m".repeat(256);
    let mut times = Vec::new();
    for id in first..first + sends {
        let start = Instant::now();
        good.send(TOPIC, &[(u128::from(id) + 1, &payload)]).await.ok();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

fn micros(sorted: &[Duration], percent: usize) -> u64 {
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    u64::try_from(sorted[place].as_micros()).unwrap()
}
