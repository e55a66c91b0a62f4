//! Goal: a log that is gone, full or blocked costs lines, which are counted, and nothing else.
//! Method: programs whose error output is a pipe that is closed, or that nobody reads, while guests log.

use std::io::{PipeReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use guesthouse::Counters;
use guesthouse_connector::{TopicSpec, attach};
use guesthouse_tests::broker::Access;
use guesthouse_tests::client::DOMAIN;
use guesthouse_tests::endpoint::{get, sample};
use guesthouse_tests::envelope::{order, tenant};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::{House, builds, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const LOST: &str = "guesthouse_log_lines_lost_total";

/// A host whose log is a pipe.
struct Piped {
    child: Child,
    report: std::path::PathBuf,
    endpoint: SocketAddr,
}

impl Piped {
    /// Starts one, and gives it back with the end of its log where somebody could read. What it wrote until it showed its
    /// endpoint is read.
    fn start(house: &House, config: &Value) -> (Self, PipeReader) {
        let mut config = config.clone();
        config["metrics"] = json!({ "listen": "127.0.0.1:0" });
        let (mut reader, writer) = std::io::pipe().unwrap();
        let file = house.write("piped", &config);
        let report = file.with_extension("report.json");
        let child = run(&file, &report).stderr(writer).spawn().unwrap();
        let mut seen = Vec::new();
        let endpoint = loop {
            let mut bytes = [0; 4096];
            let read = reader.read(&mut bytes).unwrap();
            assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&bytes[..read]);
            let text = String::from_utf8_lossy(&seen);
            let address =
                text.split("metrics and health at http://").nth(1).and_then(|rest| rest.split_once('/'));
            if let Some((address, _)) = address {
                break address.parse().unwrap();
            }
        };
        (Self { child, report, endpoint }, reader)
    }

    fn counters(&self) -> Option<Counters> {
        serde_json::from_slice(&std::fs::read(&self.report).ok()?).ok()
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Counters) -> bool) {
        eventually(what, async || self.counters().filter(|counters| wanted(counters))).await;
    }

    async fn lost(&self) -> f64 {
        let scrape = get(self.endpoint, "/metrics").await.expect("it shows its metrics").1;
        sample(&scrape, LOST).expect("lost lines are counted")
    }

    async fn until_told(&self, cause: &str) {
        eventually("health names the log", async || {
            let (code, body) = get(self.endpoint, "/health/ready").await?;
            assert_eq!(code, 200, "{body}");
            body.contains(cause).then_some(())
        })
        .await;
    }

    /// Asks it to stop, once, and waits.
    async fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        eventually("it ends", async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn run(config: &Path, report: &Path) -> Command {
    let mut command = Command::new(builds::host());
    command.args(["run", "--config"]).arg(config).arg("--report").arg(report);
    command.env_remove("GUESTHOUSE_LOG").env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A configuration whose handler logs for each event.
fn talkative(house: &House) -> Value {
    let settings = [("/events", json!(["order.placed"])), ("/grants", json!(["log"]))];
    house.config(&[with(handler("audit-log", "audit-log"), &settings)])
}

fn orders(count: u128) -> Vec<Value> {
    (0..count).map(|n| order(&tenant(n % 5), &format!("order-{n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_reader_goes_away_costs_lines_alone() {
    let house = House::new();
    let (host, reader) = Piped::start(&house, &talkative(&house));
    host.until("it reads", |counters| counters.partitions == PARTITIONS).await;
    drop(reader);
    let client = house.client().await;
    client.publish(&orders(300)).await;
    host.until("all is settled", |counters| counters.settled == 300 && counters.unsettled == 0).await;
    assert_eq!(client.read(DOMAIN).await.len(), 300);
    host.until_told("log_lost").await;
    assert!(host.lost().await >= 300.0);
    drop(client);
    assert_eq!(host.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_empties_holds_up_nothing_not_even_the_end() {
    let house = House::new();
    let (host, mut reader) = Piped::start(&house, &talkative(&house));
    host.until("it reads", |counters| counters.partitions == PARTITIONS).await;
    let client = house.client().await;
    client.publish(&orders(3_000)).await;
    host.until("all is settled", |counters| counters.settled == 3_000 && counters.unsettled == 0).await;
    host.until_told("log_lost").await;
    drop(client);
    assert_eq!(host.stop().await, Some(0));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(String::from_utf8_lossy(&rest).contains(r#""target":"guest""#), "what fitted was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_from_the_start() {
    let Some(house) = House::embedded("log gone at start") else { return };
    let file = house.write("host", &talkative(&house));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let report = file.with_extension("report.json");
    let child = run(&file, &report).stderr(writer).spawn().unwrap();
    let host = Piped { child, report, endpoint: ([127, 0, 0, 1], 1).into() };
    host.until("it reads all the same", |counters| counters.partitions == PARTITIONS).await;
    assert_eq!(host.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_goes_on_when_its_output_and_log_are_closed() {
    let Some(house) = House::embedded("broker's log gone") else { return };
    let directory = house.data_dir();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(builds::host());
    command.args(["broker", "--address", "127.0.0.1:0", "--data-dir"]).arg(&directory);
    let child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    let broker = Piped { child, report: directory.clone(), endpoint: ([127, 0, 0, 1], 1).into() };
    let access = Access::to_running(&directory).await;
    let client = attach(&access.config()).await.unwrap();
    client.ensure_topics("stream", &[TopicSpec::new("topic", 1, 1)]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(broker.stop().await, Some(0));
}

#[test]
fn a_listing_whose_reader_has_seen_enough_ends_quietly() {
    for arguments in [&["check", "--config", "host.yaml"][..], &["--help"][..], &["inspect"][..]] {
        let directory = tempfile::tempdir().unwrap();
        let component = builds::guest("order-totals");
        let config = json!({ "handlers": [{ "name": "a", "component": component, "events": ["*"] }] });
        std::fs::write(directory.path().join("host.yaml"), config.to_string()).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(builds::host());
        command.current_dir(directory.path()).args(arguments);
        if arguments == ["inspect"] {
            command.arg(component);
        }
        let ended = command.stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}
