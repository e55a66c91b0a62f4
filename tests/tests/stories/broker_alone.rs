//! Goal: `guesthouse broker` serves any client, tells how to reach it, and keeps what it acknowledged.
//! Method: the program itself, started, asked to stop, started again, and asked for what cannot be.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use guesthouse_connector::{Durability, TopicAddress, TopicSpec, attach};
use guesthouse_tests::broker::Access;
use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::wait::eventually;
use guesthouse_tests::{builds, envelope};
use rustix::process::{Pid, Signal, kill_process};

/// A broker that runs as people run it. Dropping it kills it.
struct Alone {
    child: Child,
    /// What it said when it was ready.
    introduction: Vec<String>,
}

impl Alone {
    fn start(data_dir: &Path) -> Self {
        let mut child = command(data_dir, "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let introduction = lines.take(4).map(Result::unwrap).collect();
        Self { child, introduction }
    }

    fn access(&self) -> Access {
        let value = |word: &str| {
            let line = self.introduction.iter().find_map(|line| line.strip_prefix(word));
            line.unwrap_or_else(|| panic!("{:?} lacks {word}", self.introduction)).trim().to_owned()
        };
        let password_file = PathBuf::from(value("password: in"));
        let password = std::fs::read_to_string(password_file).unwrap();
        Access { address: value("listening on"), username: value("user:"), password }
    }

    async fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = eventually("the broker ends", async || self.child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended before; either way nothing is left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(data_dir: &Path, address: &str) -> Command {
    let mut command = Command::new(builds::host());
    command.args(["broker", "--address", address, "--data-dir"]).arg(data_dir);
    command.env_remove("GUESTHOUSE_LOG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn refused(data_dir: &Path, address: &str) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(data_dir, address).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_runs_alone_and_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let topic = TopicAddress::new("alone", DOMAIN);
    let spec = TopicSpec {
        name: DOMAIN.to_owned(),
        partitions: 2,
        replication_factor: 1,
        durability: Durability::Persisted,
        age_max: None,
        size_bytes_max: None,
    };
    for round in 1..=2 {
        let broker = Alone::start(dir.path());
        let connector = attach(&broker.access().config()).await.unwrap();
        connector.ensure_topics("alone", std::slice::from_ref(&spec)).await.unwrap();
        let message = envelope::message(&envelope::order(&envelope::tenant(1), &format!("order-{round}")));
        connector.publish_batch(&topic, vec![message]).await.unwrap();
        assert_eq!(Client::over(connector.clone(), "alone").count(DOMAIN).await, round);
        broker.stop().await;
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = refused(dir.path(), "0.0.0.0:0");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("can be reached from other machines, which needs a TLS certificate"), "{text}");
    let _running = Alone::start(dir.path());
    let (code, text) = refused(dir.path(), "127.0.0.1:0");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is in use by another broker; stop that one"), "{text}");
}
