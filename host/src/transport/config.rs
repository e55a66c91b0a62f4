//! What a transport needs to know: the `events.iggy` block of the platform's configuration.

use std::path::PathBuf;

use guesthouse_connector::{
    Batching, ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig, EmbeddedCredentials,
    RemoteConnectorConfig, Timeouts, TlsConfig, TopicSpec,
};
use secrecy::SecretString;

use crate::codec::Format;
use crate::config::{self, Config, DeadLetterConfig, RetentionConfig};

/// How a transport reaches Iggy, what it writes, and what its topics are like. A configuration file gives one by
/// `IggyConfig::from(&Config::load(…)?)`.
#[derive(Debug, Clone, Default)]
pub struct IggyConfig {
    /// Which of the two parts below counts.
    pub mode: ConnectorMode,
    /// What envelopes are written in.
    pub serialization: Format,
    /// The stream and its topics.
    pub topology: TopologyConfig,
    /// The broker inside this process.
    pub embedded: EmbeddedConnectorConfig,
    /// The brokers elsewhere.
    pub remote: RemoteConnectorConfig,
    /// How messages are put together into requests.
    pub batching: Batching,
    /// How long events are kept.
    pub retention: RetentionConfig,
    /// Secrets, trust and patience.
    pub access: Access,
}

/// The stream and its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyConfig {
    /// The stream; default `rustok`.
    pub stream_name: String,
    /// Partitions of each topic for events; default 8. It cannot be changed later.
    pub domain_partitions: u32,
    /// Servers of a cluster that keep a copy; default 1.
    pub replication_factor: u8,
    /// The topic for dead letters and its partitions.
    pub dead_letters: DeadLetterConfig,
}

/// Secrets, trust and patience of a connection.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Takes the place of `remote.password`.
    pub remote_password: Option<SecretString>,
    /// Where the password is read again before each login.
    pub remote_password_file: Option<PathBuf>,
    /// A personal access token that takes the place of user and password.
    pub remote_token: Option<SecretString>,
    /// Where the token is read again before each login.
    pub remote_token_file: Option<PathBuf>,
    /// What to trust when `remote.tls_enabled` is set.
    pub tls: TlsConfig,
    /// Who the root user of the embedded broker is.
    pub embedded_credentials: EmbeddedCredentials,
    /// Topics in which the embedded broker stores messages again that come again.
    pub repeats_stored_in: Vec<String>,
    /// How long to wait for the broker.
    pub timeouts: Timeouts,
}

impl Default for TopologyConfig {
    fn default() -> Self {
        let connector = ConnectorConfig::default();
        Self {
            stream_name: connector.stream_name,
            domain_partitions: connector.partitions,
            replication_factor: connector.replication_factor,
            dead_letters: DeadLetterConfig::default(),
        }
    }
}

impl IggyConfig {
    /// The same for a connector.
    pub fn connector_config(&self) -> ConnectorConfig {
        ConnectorConfig {
            mode: self.mode,
            embedded: self.embedded.clone(),
            remote: self.remote.clone(),
            stream_name: self.topology.stream_name.clone(),
            partitions: self.topology.domain_partitions,
            replication_factor: self.topology.replication_factor,
            tls: self.access.tls.clone(),
            batching: self.batching,
            timeouts: self.access.timeouts,
            remote_password: self.access.remote_password.clone(),
            remote_password_file: self.access.remote_password_file.clone(),
            remote_token: self.access.remote_token.clone(),
            remote_token_file: self.access.remote_token_file.clone(),
            embedded_credentials: self.access.embedded_credentials.clone(),
            repeats_stored_in: self.access.repeats_stored_in.clone(),
            ..ConnectorConfig::default()
        }
    }

    /// The topics that must exist, as they must be.
    pub fn topics(&self) -> Vec<TopicSpec> {
        config::topics(&self.connector_config(), &self.retention, &self.topology.dead_letters)
    }
}

impl From<&Config> for IggyConfig {
    fn from(config: &Config) -> Self {
        let connector = config.connector.clone();
        Self {
            mode: connector.mode,
            serialization: config.serialization,
            topology: TopologyConfig {
                stream_name: connector.stream_name,
                domain_partitions: connector.partitions,
                replication_factor: connector.replication_factor,
                dead_letters: config.dead_letters.clone(),
            },
            embedded: connector.embedded,
            remote: connector.remote,
            batching: connector.batching,
            retention: config.retention.clone(),
            access: Access {
                remote_password: connector.remote_password,
                remote_password_file: connector.remote_password_file,
                remote_token: connector.remote_token,
                remote_token_file: connector.remote_token_file,
                tls: connector.tls,
                embedded_credentials: connector.embedded_credentials,
                repeats_stored_in: connector.repeats_stored_in,
                timeouts: connector.timeouts,
            },
        }
    }
}
