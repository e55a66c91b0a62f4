//! The configuration: one YAML file, with variables and overrides of the environment, checked as a whole.
//!
//! What is written (`written`) is read section by section (`section`), each by the module of its name, into the
//! resolved form, which is all that leaves this module. Every mistake is reported, not just the first one.

mod events;
mod grants;
mod handlers;
mod mistake;
mod print;
mod runtime;
mod section;
mod subscriptions;
mod syntax;
mod together;
mod value;
mod variables;
mod watch;
mod written;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use guesthouse_connector::{ConnectorConfig, DOMAIN_TOPIC, TopicSpec};

use self::section::{Reader, Section};
use self::variables::Environment;
use self::written::Node;
use crate::codec::{Codec, Format};
use crate::dispatch::DispatchSettings;
use crate::encoding;
use crate::handler::HandlerConfig;
use crate::health::HealthSettings;
use crate::sandbox::{CacheSettings, SandboxSettings};

pub use events::RetentionConfig;
pub(crate) use events::topology as topics;
#[cfg(test)]
pub(crate) use handlers::DEADLINE_MAX;
pub use mistake::{ConfigError, Mistake, Mistakes, Place};

/// Where replays are kept on record, unless a file says something else.
/// Longest configuration that is read: a thousand times what people write.
const BYTES_MAX: u64 = 256 << 20;
const REPLAYS_DIR: &str = "./data/replays";

/// Everything a host needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How to reach Iggy.
    pub connector: ConnectorConfig,
    /// Topics that must exist in the stream, and how they must be.
    pub topology: Vec<TopicSpec>,
    /// How long events are kept.
    pub retention: RetentionConfig,
    /// What envelopes are written in, where a subscription says nothing else.
    pub serialization: Format,
    /// What is read, and as which groups.
    pub subscriptions: Vec<SubscriptionConfig>,
    /// Who handles what is read.
    pub handlers: Vec<HandlerConfig>,
    /// Where events go that are given up on.
    pub dead_letters: DeadLetterConfig,
    /// Where replays are kept on record.
    pub replays_dir: PathBuf,
    /// How much is under way at once, and when progress is committed.
    pub dispatch: DispatchSettings,
    /// Where metrics and health are shown over HTTP; nowhere when absent.
    pub metrics_listen: Option<SocketAddr>,
    /// What is taken for a sign of trouble.
    pub health: HealthSettings,
    /// Where guests run.
    pub sandbox: SandboxSettings,
}

/// One consumer group over one or more topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionConfig {
    /// Its name, by which handlers refer to it.
    pub name: String,
    /// The consumer group.
    pub group: String,
    /// The topics it reads.
    pub topics: Vec<String>,
    /// How their messages are read.
    pub codec: Codec,
}

/// Where events go that are given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterConfig {
    /// The topic. Beside it, one of this name and `-states` says which letters were replayed or resolved.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Where events wait behind one that is dead: the topic of this name after the name of the one that they came from.
    pub parked_suffix: String,
}

impl Default for Config {
    /// No handlers; the embedded broker; one subscription that reads the topic `domain`.
    fn default() -> Self {
        let (connector, dead_letters) = (ConnectorConfig::default(), DeadLetterConfig::default());
        Self {
            topology: events::topology(&connector, &RetentionConfig::default(), &dead_letters),
            connector,
            retention: RetentionConfig::default(),
            serialization: Format::default(),
            subscriptions: vec![SubscriptionConfig::default()],
            handlers: Vec::new(),
            dead_letters,
            replays_dir: REPLAYS_DIR.into(),
            dispatch: DispatchSettings::default(),
            metrics_listen: None,
            health: HealthSettings::default(),
            sandbox: SandboxSettings {
                cache: Some(CacheSettings::default()),
                journal_dir: Some(SandboxSettings::JOURNAL_DIR.into()),
                ..SandboxSettings::default()
            },
        }
    }
}

impl Default for SubscriptionConfig {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            group: "guesthouse".to_owned(),
            topics: vec![DOMAIN_TOPIC.to_owned()],
            codec: Codec::default(),
        }
    }
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self { topic: "dlq".to_owned(), partitions: 8, parked_suffix: "-parked".to_owned() }
    }
}

impl DeadLetterConfig {
    /// The topic that says what became of the letters of `topic`.
    pub(crate) fn states_topic_of(topic: &str) -> String {
        format!("{topic}-states")
    }

    /// What a topic is kept for, when the host writes it for itself: nothing else may be written there, and it is not read like
    /// events.
    pub(crate) fn use_of_topic(&self, topic: &str) -> Option<&'static str> {
        if topic == self.topic {
            Some("dead letters")
        } else if topic == self.states_topic() {
            Some("the states of dead letters")
        } else if topic.ends_with(&self.parked_suffix) {
            Some("parked events, as `dead_letters.parked_suffix` says")
        } else {
            None
        }
    }

    /// The topic that says what became of the letters.
    pub(crate) fn states_topic(&self) -> String {
        Self::states_topic_of(&self.topic)
    }
}

impl Config {
    /// All defaults as a commented file.
    pub const DEFAULT_YAML: &str = include_str!("../guesthouse.default.yaml");

    /// Reads a file. Relative paths in it start at its directory. `environment` is where variables and overrides
    /// are looked up, such as [`std::env::vars_os`]; nothing else reads the environment.
    ///
    /// # Errors
    /// When the file cannot be read, is not UTF-8 or not YAML, or has mistakes; all of them are reported.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let file = std::fs::File::open(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::read(file, path, path.parent().unwrap_or(Path::new("")), environment)
    }

    /// Reads what is no file, such as standard input. `name` is what errors call it; relative paths in it start at
    /// `base_dir`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn read(
        source: impl Read,
        name: &Path,
        base_dir: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut bytes = Vec::new();
        let read = source.take(BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|source| ConfigError::Read { path: name.to_owned(), source })?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ConfigError::TooLong { path: name.to_owned() });
        }
        let text = encoding::utf8(&bytes)
            .map_err(|problem| ConfigError::Encoding { path: name.to_owned(), problem })?;
        Self::parse(text, base_dir, environment)
    }

    /// Reads a text. Relative paths in it start at `base_dir`.
    ///
    /// # Errors
    /// When the text is not YAML or has mistakes; all of them are reported.
    pub fn parse(
        text: &str,
        base_dir: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::new(environment);
        let mut root = Node::parse(text)?;
        let reader = Reader::new(&environment, base_dir);
        for (name, value) in environment.texts() {
            if let Err(mistake) = root.override_by(name, value) {
                reader.add(mistake);
            }
        }
        environment.not_utf8().filter_map(written::unusable_override).for_each(|mistake| reader.add(mistake));
        let config = reader.read(&root, resolve);
        let mut mistakes = reader.into_mistakes();
        mistakes.sort_by(|left, right| left.place.cmp(&right.place));
        if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes).into()) }
    }

    /// The topic beside this one where events wait behind one that is dead.
    pub(crate) fn parked_topic(&self, topic: &str) -> String {
        format!("{topic}{}", self.dead_letters.parked_suffix)
    }

    /// The topics beside which there is a parked one, each once.
    pub(crate) fn topics_with_parking(&self) -> BTreeSet<&str> {
        let parking = self.handlers.iter().filter(|handler| handler.may_stop());
        let subscriptions: BTreeSet<&str> = parking.map(|handler| handler.subscription.as_str()).collect();
        let feeding = self.subscriptions.iter().filter(|fed| subscriptions.contains(fed.name.as_str()));
        feeding.flat_map(|subscription| subscription.topics.iter().map(String::as_str)).collect()
    }

    /// The whole configuration as YAML that reads back as the same, but for secrets, which are masked.
    pub fn to_yaml_masked(&self) -> String {
        print::to_yaml(self)
    }
}

fn resolve(root: &Section<'_>) -> Config {
    let (mut connector, retention, serialization) = root.section("events", events::read);
    let dead_letters = root.section("dead_letters", runtime::dead_letters);
    let replays_dir = root.section("replays", runtime::replays_dir);
    let dispatch = root.section("dispatch", runtime::dispatch);
    connector.poll_messages_max = dispatch.poll_events_max;
    connector.poll_bytes_max = dispatch.poll_bytes_max() as u64;
    let subscriptions = subscriptions::read(root, &dead_letters, serialization);
    let metrics_listen = root.section("metrics", watch::metrics_listen);
    let health = root.section("health", watch::health);
    let sandbox = root.section("sandbox", runtime::sandbox);
    let handlers = handlers::read(root, &subscriptions, &dead_letters, &sandbox.ceilings);
    let config = Config {
        topology: events::topology(&connector, &retention, &dead_letters),
        connector,
        retention,
        serialization,
        subscriptions,
        handlers,
        dead_letters,
        replays_dir,
        dispatch,
        metrics_listen,
        health,
        sandbox,
    };
    together::refuse(root, &config);
    config
}
