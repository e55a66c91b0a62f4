//! The configuration as it is written, in either vocabulary of the platform.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig, RemoteConnectorConfig, TlsConfig};

/// What a [`ConnectorConfig`] is read from.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Config {
    mode: ConnectorMode,
    #[serde(alias = "bundled")]
    embedded: EmbeddedConnectorConfig,
    #[serde(alias = "external")]
    remote: Remote,
    stream_name: String,
    topic_name: String,
    partitions: u32,
    replication_factor: u8,
    tls: TlsConfig,
    poll_messages_max: u32,
}

/// [`RemoteConnectorConfig`] with what later releases of the platform put beside it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Remote {
    addresses: Vec<String>,
    protocol: String,
    username: String,
    password: String,
    tls_enabled: bool,
    tls_domain: Option<String>,
    tls_ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let ConnectorConfig {
            mode,
            embedded,
            stream_name,
            topic_name,
            partitions,
            replication_factor,
            tls,
            poll_messages_max,
            ..
        } = ConnectorConfig::default();
        let remote = Remote::default();
        Self {
            mode,
            embedded,
            remote,
            stream_name,
            topic_name,
            partitions,
            replication_factor,
            tls,
            poll_messages_max,
        }
    }
}

impl Default for Remote {
    fn default() -> Self {
        let RemoteConnectorConfig { addresses, protocol, username, password, tls_enabled } =
            RemoteConnectorConfig::default();
        Self { addresses, protocol, username, password, tls_enabled, tls_domain: None, tls_ca_file: None }
    }
}

impl From<Config> for ConnectorConfig {
    fn from(written: Config) -> Self {
        let Remote { addresses, protocol, username, password, tls_enabled, tls_domain, tls_ca_file } =
            written.remote;
        Self {
            mode: written.mode,
            embedded: written.embedded,
            remote: RemoteConnectorConfig { addresses, protocol, username, password, tls_enabled },
            stream_name: written.stream_name,
            topic_name: written.topic_name,
            partitions: written.partitions,
            replication_factor: written.replication_factor,
            tls: TlsConfig {
                domain: tls_domain.or(written.tls.domain),
                ca_file: tls_ca_file.or(written.tls.ca_file),
            },
            poll_messages_max: written.poll_messages_max,
            ..Self::default()
        }
    }
}
