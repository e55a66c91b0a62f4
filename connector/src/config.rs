//! How to reach Iggy: which mode, and the settings of each.

mod batching;
mod written;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::topology::DOMAIN_TOPIC;

pub use batching::Batching;

/// Whether the broker runs inside this process or elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum ConnectorMode {
    /// Inside this process; also written `bundled`.
    #[default]
    Embedded,
    /// Elsewhere; also written `external`.
    Remote,
}

/// A mode that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown mode: {0}, expected embedded or remote")]
pub struct UnknownMode(String);

/// Everything a connector needs to know.
///
/// It reads both vocabularies of the platform: `embedded` or `bundled`, `remote` or `external`, and `tls_domain` and
/// `tls_ca_file` of the latter as well as [`tls`](Self::tls).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "written::Config")]
pub struct ConnectorConfig {
    /// Which of the two parts below counts.
    pub mode: ConnectorMode,
    /// The broker inside this process.
    pub embedded: EmbeddedConnectorConfig,
    /// The brokers elsewhere.
    pub remote: RemoteConnectorConfig,
    /// The stream that the platform uses.
    pub stream_name: String,
    /// The topic for domain events.
    pub topic_name: String,
    /// How many partitions that topic has.
    pub partitions: u32,
    /// How many servers of a cluster keep a copy of it.
    pub replication_factor: u8,
    /// What to trust when `remote.tls_enabled` is set.
    pub tls: TlsConfig,
    /// How many messages one poll asks for at most. It asks for so many only while there are as many to read.
    pub poll_messages_max: u32,
    /// How many bytes one poll should bring at most, by the size of the messages before; a single message may be larger.
    #[serde(skip)]
    pub poll_bytes_max: u64,
    /// How messages are put together into requests.
    #[serde(skip)]
    pub batching: Batching,
    /// How long to wait for the broker.
    #[serde(skip)]
    pub timeouts: Timeouts,
    /// Takes the place of `remote.password`, for programs that keep secrets apart.
    #[serde(skip)]
    pub remote_password: Option<SecretString>,
    /// Where the password is read again before each login, so that it can be changed without a restart.
    #[serde(skip)]
    pub remote_password_file: Option<PathBuf>,
    /// A personal access token that takes the place of `remote.username` and the password.
    #[serde(skip)]
    pub remote_token: Option<SecretString>,
    /// Where the token is read again before each login.
    #[serde(skip)]
    pub remote_token_file: Option<PathBuf>,
    /// Who the root user of the embedded broker is.
    #[serde(skip)]
    pub embedded_credentials: EmbeddedCredentials,
    /// Topics in which the embedded broker stores messages again that another connection sends again under the same ids;
    /// `*` stands for all. In the others it takes them for a retry after a lost answer.
    #[serde(skip)]
    pub repeats_stored_in: Vec<String>,
}

/// The broker inside this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConnectorConfig {
    /// Where it keeps everything.
    pub data_dir: String,
    /// The port it listens on, on the loopback interface; 0 takes any free one.
    pub tcp_port: u16,
    /// The port on the loopback interface where it answers over HTTP what it holds and how it fares; 0 is off.
    pub http_port: u16,
    /// Whether the data is kept. If not, it lies in a temporary directory that is removed at shutdown.
    pub persistent: bool,
}

/// The brokers elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteConnectorConfig {
    /// Their addresses as `host:port`. A connection is opened to the first one that accepts it, from the one that
    /// accepted the last connection on.
    pub addresses: Vec<String>,
    /// Must be `tcp`: over `http` there are no consumer groups, and so nothing that reads events.
    pub protocol: String,
    /// Who logs in.
    pub username: String,
    /// Their password; there is no default. It is never written out.
    #[serde(skip_serializing)]
    pub password: String,
    /// Whether the connection is encrypted and the server's certificate checked.
    pub tls_enabled: bool,
}

/// What to trust in an encrypted connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The name that the certificate must carry; `None` takes the host of the address.
    pub domain: Option<String>,
    /// The authorities to trust, as PEM; `None` trusts the public ones.
    pub ca_file: Option<PathBuf>,
}

/// How long to wait for the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For brokers elsewhere to answer for the first time, by programs that start beside them and can wait; default 60 s.
    /// A connector by itself tries once.
    pub first_answer: Duration,
    /// For one address to accept a connection and the login; default 10 s.
    pub connect: Duration,
    /// For the answer to one request; default 30 s, and never more than that. A shorter one gives up earlier, but the
    /// connection that was given up is closed only after those 30 s: until then the broker takes a group member that
    /// used it for alive.
    pub request: Duration,
    /// For the embedded broker to finish what it is doing at shutdown; default 10 s.
    pub shutdown: Duration,
}

/// Who the root user of the embedded broker is.
#[derive(Clone, Debug)]
pub struct EmbeddedCredentials {
    /// The user name; default `iggy`.
    pub username: String,
    /// The password; `None` lets the broker keep a random one in its data directory.
    pub password: Option<SecretString>,
    /// A file that says what the password is from now on; broker and clients read it again at each login.
    pub password_file: Option<PathBuf>,
}

#[expect(non_upper_case_globals, reason = "the platform's later names of the variants, used as those are")]
impl ConnectorMode {
    /// The later name of [`Embedded`](Self::Embedded).
    pub const Bundled: Self = Self::Embedded;
    /// The later name of [`Remote`](Self::Remote).
    pub const External: Self = Self::Remote;

    /// The mode as it is written in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Remote => "remote",
        }
    }
}

impl FromStr for ConnectorMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_lowercase().as_str() {
            "embedded" | "bundled" => Ok(Self::Embedded),
            "remote" | "external" => Ok(Self::Remote),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ConnectorMode {
    type Error = UnknownMode;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ConnectorMode> for &'static str {
    fn from(mode: ConnectorMode) -> Self {
        mode.as_str()
    }
}

impl fmt::Display for ConnectorMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self {
            mode: ConnectorMode::default(),
            embedded: EmbeddedConnectorConfig::default(),
            remote: RemoteConnectorConfig::default(),
            stream_name: "rustok".to_owned(),
            topic_name: DOMAIN_TOPIC.to_owned(),
            partitions: 8,
            replication_factor: 1,
            tls: TlsConfig::default(),
            poll_messages_max: 10_000,
            poll_bytes_max: 8 << 20,
            batching: Batching::default(),
            timeouts: Timeouts::default(),
            remote_password: None,
            remote_password_file: None,
            remote_token: None,
            remote_token_file: None,
            embedded_credentials: EmbeddedCredentials::default(),
            repeats_stored_in: Vec::new(),
        }
    }
}

impl Default for EmbeddedConnectorConfig {
    fn default() -> Self {
        Self { data_dir: "./data/iggy".to_owned(), tcp_port: 8090, http_port: 0, persistent: true }
    }
}

impl Default for RemoteConnectorConfig {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:8090".to_owned()],
            protocol: "tcp".to_owned(),
            username: "rustok".to_owned(),
            password: String::new(),
            tls_enabled: false,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_answer: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            shutdown: Duration::from_secs(10),
        }
    }
}

impl Default for EmbeddedCredentials {
    fn default() -> Self {
        Self { username: "iggy".to_owned(), password: None, password_file: None }
    }
}

impl fmt::Debug for RemoteConnectorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteConnectorConfig")
            .field("addresses", &self.addresses)
            .field("protocol", &self.protocol)
            .field("username", &self.username)
            .field("password", &"[hidden]")
            .field("tls_enabled", &self.tls_enabled)
            .finish()
    }
}
