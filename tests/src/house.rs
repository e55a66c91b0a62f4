//! A house for one story: a temporary directory, a broker, and a stream that nobody else uses.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::broker::{Access, BrokerProgram};
use crate::builds;
use crate::client::{Client, DOMAIN};
use crate::program::HostProgram;

/// Partitions of the domain topic in every house.
pub const PARTITIONS: u64 = 8;

/// The consumer group of a house's hosts.
pub const GROUP: &str = "guesthouse-tests";

/// One story's surroundings.
#[derive(Debug)]
pub struct House {
    directory: TempDir,
    broker: HouseBroker,
    stream: String,
}

#[derive(Debug)]
enum HouseBroker {
    /// Inside the host.
    Embedded,
    /// A program of its own.
    Beside(Box<BrokerProgram>),
    /// A server that was there before and stays.
    Outside(Access),
}

impl Default for House {
    fn default() -> Self {
        Self::new()
    }
}

impl House {
    /// A house whose host runs the broker, or whatever server the suite shall use.
    pub fn new() -> Self {
        Self::with(Access::outside().map_or(HouseBroker::Embedded, HouseBroker::Outside))
    }

    /// A house beside a broker that outlives its hosts: a program, or whatever server the suite shall use.
    pub async fn beside_a_broker() -> Self {
        match Access::outside() {
            Some(access) => Self::with(HouseBroker::Outside(access)),
            None => Self::with(HouseBroker::Beside(Box::new(BrokerProgram::start().await))),
        }
    }

    /// A house whose host runs the broker, whatever the suite shall use; none, said aloud, when that is a server.
    pub fn embedded(story: &str) -> Option<Self> {
        has_brokers_of_its_own(story).then(|| Self::with(HouseBroker::Embedded))
    }

    /// A house beside a broker that may be killed; none, said aloud, when the suite shall use a server.
    pub async fn beside_a_mortal_broker(story: &str) -> Option<Self> {
        if has_brokers_of_its_own(story) { Some(Self::beside_a_broker().await) } else { None }
    }

    fn with(broker: HouseBroker) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        // A server outside keeps the streams of all stories, and of all runs.
        let stream = format!("tests-{}", Uuid::new_v4().simple());
        Self { directory, broker, stream }
    }

    /// The stream of this house.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The data directory of the embedded broker.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The broker beside the hosts.
    pub fn broker(&mut self) -> &mut BrokerProgram {
        match &mut self.broker {
            HouseBroker::Beside(broker) => broker,
            _ => panic!("only a house beside a broker of its own has one to kill"),
        }
    }

    /// Where its hosts keep compiled code.
    pub fn cache_dir(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// The configuration of a host of this house with these handlers, to be changed by the story at will.
    pub fn config(&self, handlers: &[Value]) -> Value {
        let mut iggy = json!({ "topology": { "stream_name": self.stream, "domain_partitions": PARTITIONS } });
        match self.access() {
            None => {
                iggy["mode"] = json!("embedded");
                iggy["embedded"] = json!({ "data_dir": self.data_dir(), "tcp_port": 0 });
            }
            Some(access) => {
                iggy["mode"] = json!("remote");
                iggy["remote"] = json!({
                    "addresses": [access.address],
                    "username": access.username,
                    "password": access.password,
                });
            }
        }
        json!({
            "events": { "iggy": iggy },
            "subscriptions": [{ "name": "default", "group": GROUP, "topics": [DOMAIN] }],
            "handlers": handlers,
            // Stories kill hosts at random, which is no fault of the events in hand.
            "sandbox": { "cache_dir": self.cache_dir(), "host_deaths_max": 0 },
        })
    }

    /// How to reach the broker, when it is not inside the host.
    fn access(&self) -> Option<&Access> {
        match &self.broker {
            HouseBroker::Embedded => None,
            HouseBroker::Beside(broker) => Some(broker.access()),
            HouseBroker::Outside(access) => Some(access),
        }
    }

    /// Writes a file into the house.
    pub fn keep(&self, name: &str, content: &[u8]) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, content).expect("the house is writable");
        file
    }

    /// Writes a configuration into the house.
    pub fn write(&self, name: &str, config: &Value) -> PathBuf {
        // JSON is YAML as well.
        self.keep(&format!("{name}.yaml"), config.to_string().as_bytes())
    }

    /// Starts a host under a name of its own.
    pub fn start(&self, name: &str, config: &Value) -> HostProgram {
        HostProgram::start(&self.write(name, config))
    }

    /// What `guesthouse parked` answers, which must be able to do what it is asked.
    pub async fn parked(&self, config: &Value, arguments: &[&str]) -> String {
        let (verb, rest) = arguments.split_first().expect("a verb comes first");
        let mut command = tokio::process::Command::new(builds::host());
        command.args(["parked", verb, "--config"]).arg(self.write("command", config)).args(rest);
        let output = command.output().await.expect("the program can be run");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "parked {arguments:?}: {err}");
        out.into_owned()
    }

    /// A client of the house's broker, once that runs.
    pub async fn client(&self) -> Client {
        let config = match self.access() {
            None => Access::to_running(&self.data_dir()).await.config(),
            Some(access) => access.config(),
        };
        Client::connect(&config, &self.stream).await
    }
}

#[expect(clippy::print_stderr, reason = "a story that is left out says so")]
fn has_brokers_of_its_own(story: &str) -> bool {
    let ours = Access::outside().is_none();
    if !ours {
        eprintln!("SKIPPED: {story}: it needs a broker of its own, and this run uses a server outside");
    }
    ours
}

/// A handler for everything, by the name of its guest.
pub fn handler(name: &str, guest: &str) -> Value {
    json!({ "name": name, "component": builds::guest(guest), "events": ["*"] })
}

/// The handler that emits a total for every order.
pub fn order_totals() -> Value {
    with(handler("order-totals", "order-totals"), &[("/events", json!(["order.placed"]))])
}

/// The same with some settings changed; each is named by its path.
pub fn with(mut handler: Value, settings: &[(&str, Value)]) -> Value {
    for (path, value) in settings {
        let mut place = &mut handler;
        for key in path.split('/').skip(1) {
            place = &mut place[key];
        }
        *place = value.clone();
    }
    handler
}
