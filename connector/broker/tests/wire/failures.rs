//! Goal: five failures that Iggy's own tests list as open cannot happen to the embedded broker.
//! Method: each is brought about as it is there: a process that is killed, files with torn ends, a crowd of other
//! clients, and a request that comes again late.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use guesthouse_broker::{Broker, BrokerConfig};
use iggy_binary_protocol::Operation;

use crate::kit::{House, Raw, login_body, send_body, shut};

const T: (&str, &str, u32) = ("s", "t", 0);
const PLACE: &str = "GUESTHOUSE_TEST_BROKER_TO_KILL";
const PASSWORD: &str = "secret";

fn config(data_dir: &Path) -> BrokerConfig {
    BrokerConfig {
        data_dir: data_dir.to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        root_password: Some(PASSWORD.into()),
        // A segment for each batch of one short message.
        segment_bytes_max: 500,
        ..BrokerConfig::default()
    }
}

/// A broker in a process of its own, which is killed with it.
pub(crate) struct Victim {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Victim {
    pub(crate) fn start(data_dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "failures::a_broker_to_kill", "--nocapture"]).env(PLACE, data_dir);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = |line: String| line.split_once("listening on ").map(|(_, address)| address.to_owned());
        let address = lines.map_while(Result::ok).find_map(told).expect("the broker says where it listens");
        Self { child, address: address.parse().unwrap() }
    }

    /// What it holds in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// Files and sockets that it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) async fn enter(&self) -> Raw {
        let mut raw = Raw::dial(self.address).await;
        let reply = raw.ask(Operation::Register, &login_body("iggy", PASSWORD)).await.ok();
        raw.header.session = u64::from_le_bytes(reply[8..16].try_into().unwrap());
        raw
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SIGKILL: it gets to do nothing more.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The part that runs in a process of its own; elsewhere there is nothing to do.
#[tokio::test]
async fn a_broker_to_kill() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let broker = Broker::start(config(Path::new(&place))).await.unwrap();
    println!("listening on {}", broker.address());
    std::future::pending::<()>().await;
}

/// A topic with this many messages of one letter, at rest after a kill.
async fn killed(dir: &Path, messages: u64) {
    let victim = Victim::start(dir);
    let mut raw = victim.enter().await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    for id in 1..=messages {
        raw.send(T, &[(u128::from(id), "m")]).await.ok();
    }
}

async fn offsets(raw: &mut Raw) -> Vec<u64> {
    raw.contents(T).await.into_iter().map(|(offset, _)| offset).collect()
}

fn segments(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("streams/0/0/0")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().unwrap() == extension).collect();
    found.sort();
    found
}

/// There: a single node that is killed mints offsets again that it had confirmed.
#[tokio::test]
async fn a_killed_broker_gives_no_confirmed_offset_again() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), 5).await;
    for round in 1..=4u64 {
        let victim = Victim::start(dir.path());
        let mut raw = victim.enter().await;
        assert_eq!(offsets(&mut raw).await, (0..5 * round).collect::<Vec<_>>(), "nothing confirmed is gone");
        for id in 1..=5 {
            raw.send(T, &[(u128::from(round * 100 + id), "m")]).await.ok();
        }
        assert_eq!(offsets(&mut raw).await, (0..5 * (round + 1)).collect::<Vec<_>>());
    }
}

/// There: what a torn end of a log leaves makes the start after the next one fail.
#[tokio::test]
async fn a_torn_end_of_a_log_is_survived_by_every_start_after_it() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), 3).await;
    let mut count = 3;
    // Each message has a segment of its own; the last one is cut as if its write had not come to an end.
    for torn in [1, 100, 256, 280, 304] {
        let last = segments(dir.path(), "log").pop().unwrap();
        OpenOptions::new().write(true).open(last).unwrap().set_len(torn).unwrap();
        count -= 1;
        for start in 0..3 {
            let broker = Broker::start(config(dir.path())).await.unwrap();
            let mut raw = Raw::enter(&broker).await;
            assert_eq!(
                offsets(&mut raw).await,
                (0..count).collect::<Vec<_>>(),
                "torn at {torn}, start {start}"
            );
            raw.send(T, &[(u128::from(1_000 * torn + count), "m")]).await.ok();
            count += 1;
            shut(broker).await;
        }
    }
}

/// There: a torn end of an index shifts every entry behind it.
#[tokio::test]
async fn a_torn_index_misleads_nobody() {
    let dir = tempfile::tempdir().unwrap();
    killed(dir.path(), 9).await;
    let path = segments(dir.path(), "index")[1].clone();
    let intact = fs::read(&path).unwrap();
    for length in (0..intact.len()).step_by(5) {
        fs::write(&path, &intact[..length]).unwrap();
        let broker = Broker::start(config(dir.path())).await.unwrap();
        let mut raw = Raw::enter(&broker).await;
        assert_eq!(offsets(&mut raw).await, (0..9).collect::<Vec<_>>(), "cut at {length}");
        shut(broker).await;
        assert_eq!(fs::read(&path).unwrap(), intact, "it is made again");
    }
}

/// There: a table of clients is full, and evicting one makes its retry a second message.
#[tokio::test]
async fn a_crowd_of_other_clients_does_not_make_a_retry_a_second_message() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    raw.send(T, &[(1, "once")]).await.ok();
    for client in 0..200 {
        let mut other = Raw::dial(broker.address()).await;
        other.header.client = 1_000 + client;
        drop(other.read(1, &[]).await.ok());
    }
    for id in 2..300 {
        raw.send(T, &[(id, "other")]).await.ok();
    }
    let mut retry = Raw::enter(&broker).await;
    retry.send(T, &[(1, "once")]).await.ok();
    assert_eq!(raw.contents(T).await.len(), 299);
    shut(broker).await;
    // Not even a new process takes it for another one.
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.send(T, &[(1, "once")]).await.ok();
    assert_eq!(raw.contents(T).await.len(), 299);
    shut(broker).await;
}

/// There: a request that comes again after its reply was forgotten is refused for good.
#[tokio::test]
async fn a_request_that_comes_again_late_is_answered() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    let frame = raw.frame(Operation::SendMessages, 0, &send_body(T, &[(1, "once")]));
    raw.exchange(&frame).await.ok();
    for _ in 0..2_000 {
        raw.read(1, &[]).await.ok();
    }
    for _ in 0..3 {
        raw.exchange(&frame).await.ok();
    }
    assert_eq!(raw.contents(T).await, [(0, "once".to_owned())]);
    shut(broker).await;
}
