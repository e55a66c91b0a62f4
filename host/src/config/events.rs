//! The `events` section, as the platform writes it: how to reach Iggy, and what its topics are like.

use std::time::Duration;

use guesthouse_connector::{
    Batching, ConnectorConfig, ConnectorMode, DOMAIN_TOPIC, Durability, EmbeddedConnectorConfig,
    MODULE_BUILD_TOPIC, RemoteConnectorConfig, SYSTEM_TOPIC, TlsConfig, TopicSpec, is_address,
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::DeadLetterConfig;
use super::section::{Effect, Section};
use super::value::{bytes, duration_or_zero, name, number, text, truth};
use crate::codec::Format;

/// Most partitions of a topic that a broker accepts.
pub(super) const PARTITIONS_MAX: u32 = 1_000;

/// The longest wait for a server that is not up yet.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const GIGABYTE: u64 = 1_000_000_000;
/// Longest retention, a hundred years, so that ages stay far from what a broker's clock can hold.
const DAYS_MAX: u32 = 36_500;

/// How long events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Days for the topic `domain`.
    pub domain_max_age_days: u32,
    /// Size of the topic `domain`, in gigabytes of 10^9 bytes.
    pub domain_max_size_gb: u64,
    /// Days for the topics `system` and `module-build`.
    pub system_max_age_days: u32,
    /// Days for dead letters.
    pub dlq_max_age_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            domain_max_age_days: 30,
            domain_max_size_gb: 10,
            system_max_age_days: 7,
            dlq_max_age_days: 365,
        }
    }
}

pub(super) fn read(events: &Section<'_>) -> (ConnectorConfig, RetentionConfig, Format) {
    events.optional("transport", |transport| match transport {
        "iggy" => Ok(()),
        _ => Err("Guesthouse reads from Iggy only, expected iggy".to_owned()),
    });
    events.section("iggy", |iggy| {
        let format = iggy.value("serialization", Format::default(), serialization);
        let mut config = ConnectorConfig::default();
        config.mode = iggy.value("mode", config.mode, mode);
        iggy.section("topology", |topology| {
            config.stream_name = topology.value("stream_name", config.stream_name.clone(), name);
            config.partitions =
                topology.value("domain_partitions", config.partitions, number(1..=PARTITIONS_MAX));
            config.replication_factor =
                topology.value("replication_factor", config.replication_factor, number(1..=u8::MAX));
        });
        let of_mode = |mode| if config.mode == mode { Effect::Used } else { Effect::Unused };
        let (embedded, remote) = (of_mode(ConnectorMode::Embedded), of_mode(ConnectorMode::Remote));
        let (embedded_key, remote_key) =
            (either(iggy, "embedded", "bundled"), either(iggy, "remote", "external"));
        iggy.section_with(embedded_key, embedded, |section| read_embedded(section, &mut config));
        iggy.section_with(remote_key, remote, |section| read_remote(section, remote, &mut config));
        config.batching = iggy.section("batching", batching);
        (config, iggy.section("retention", retention), format)
    })
}

/// The topics that must exist.
pub(crate) fn topology(
    connector: &ConnectorConfig,
    retention: &RetentionConfig,
    dead_letters: &DeadLetterConfig,
) -> Vec<TopicSpec> {
    let topic = |name: &str, days: u32| TopicSpec {
        name: name.to_owned(),
        partitions: connector.partitions,
        replication_factor: connector.replication_factor,
        durability: Durability::Replicated,
        age_max: Some(DAY * days),
        size_bytes_max: None,
    };
    vec![
        TopicSpec {
            size_bytes_max: Some(retention.domain_max_size_gb.saturating_mul(GIGABYTE)),
            ..topic(DOMAIN_TOPIC, retention.domain_max_age_days)
        },
        topic(SYSTEM_TOPIC, retention.system_max_age_days),
        topic(MODULE_BUILD_TOPIC, retention.system_max_age_days),
        TopicSpec {
            partitions: dead_letters.partitions,
            durability: Durability::Persisted,
            ..topic(&dead_letters.topic, retention.dlq_max_age_days)
        },
        // A record is younger than the letters that it is about, and so is still there when they go.
        TopicSpec {
            partitions: 1,
            durability: Durability::Persisted,
            ..topic(&dead_letters.states_topic(), retention.dlq_max_age_days)
        },
    ]
}

/// The one of two names under which a section is written.
fn either(section: &Section<'_>, name: &'static str, other: &'static str) -> &'static str {
    match (section.has(name), section.has(other)) {
        (true, true) => {
            section.refuse(other, &format!("expected this or `{name}`, not both"));
            name
        }
        (false, true) => other,
        (_, false) => name,
    }
}

fn mode(text: &str) -> Result<ConnectorMode, String> {
    text.parse().map_err(|_| "expected embedded (or bundled) or remote (or external)".to_owned())
}

fn serialization(text: &str) -> Result<Format, String> {
    let word = text.to_ascii_lowercase();
    if let Some(format) = Format::ALL.into_iter().find(|format| format.as_str() == word) {
        return Ok(format);
    }
    let problem = match word.as_str() {
        "raw" => "raw is set per subscription, as its `codec`",
        "bincode" => "Bincode was retired and postcard took its place",
        _ => "no such serialization",
    };
    Err(format!("{problem}; expected json, messagepack or postcard"))
}

fn read_embedded(section: &Section<'_>, config: &mut ConnectorConfig) {
    let default = EmbeddedConnectorConfig::default();
    let persistent = section.value("persistent", default.persistent, truth);
    let data_dir = section.resolve_path(&section.value("data_dir", default.data_dir, text));
    if section.is_used() && persistent {
        section.refuse_under_a_file("data_dir", &data_dir);
    }
    let data_dir = data_dir.into_os_string().into_string().unwrap_or_else(|dir| {
        // Another directory would be made in its place.
        let problem = format!("lies in `{}`, a name that is not UTF-8", dir.display());
        section.refuse("data_dir", &problem);
        String::new()
    });
    config.embedded = EmbeddedConnectorConfig {
        data_dir,
        tcp_port: section.value("tcp_port", default.tcp_port, number(0..=u16::MAX)),
        http_port: section.value("http_port", default.http_port, number(0..=u16::MAX)),
        persistent,
    };
    config.embedded_credentials.password = section.secret("password", "password_file");
    config.embedded_credentials.password_file = section.file("password_file");
    config.repeats_stored_in = section.list("repeats_stored_in", name).unwrap_or_default();
}

fn read_remote(section: &Section<'_>, effect: Effect, config: &mut ConnectorConfig) {
    let default = RemoteConnectorConfig::default();
    let addresses = section.list("addresses", address).unwrap_or(default.addresses);
    section.refuse_empty("addresses", "expected at least one address such as 127.0.0.1:8090");
    config.remote = RemoteConnectorConfig {
        addresses,
        protocol: section.value("protocol", default.protocol, protocol),
        username: section.value("username", default.username, text),
        password: String::new(),
        tls_enabled: section.value("tls_enabled", default.tls_enabled, truth),
    };
    config.tls = TlsConfig {
        domain: section.optional("tls_domain", server_name),
        ca_file: section.file("tls_ca_file"),
    };
    let has_password = section.has("password") || section.has("password_file");
    let has_token = section.has("token") || section.has("token_file");
    config.remote_password = section.secret("password", "password_file");
    config.remote_password_file = section.file("password_file");
    config.remote_token = section.secret("token", "token_file");
    config.remote_token_file = section.file("token_file");
    let first_answer = config.timeouts.first_answer;
    config.timeouts.first_answer = section.value("wait_max", first_answer, duration_or_zero(WAIT_MAX));
    if effect == Effect::Used && has_password && has_token {
        section.refuse("token", "expected a token or a password, not both");
    }
    if effect == Effect::Used && !has_password && !has_token {
        section.refuse("password", "is missing and has no default; set it, `password_file` or a token");
    }
}

fn batching(section: &Section<'_>) -> Batching {
    let default = Batching::default();
    let bytes_max = bytes(Batching::BYTES_MIN as u64..=Batching::BYTES_MAX as u64);
    let bytes_max = section.value("bytes_max", default.bytes_max as u64, bytes_max);
    Batching {
        linger: section.value("linger", default.linger, duration_or_zero(Batching::LINGER_MAX)),
        messages_max: section.value("messages_max", default.messages_max, number(1..=Batching::MESSAGES_MAX)),
        bytes_max: usize::try_from(bytes_max).unwrap_or(default.bytes_max),
    }
}

fn address(text: &str) -> Result<String, String> {
    let fits = is_address(text);
    if fits { Ok(text.to_owned()) } else { Err("expected host:port such as 127.0.0.1:8090".to_owned()) }
}

fn server_name(text: &str) -> Result<String, String> {
    let parsed = ServerName::try_from(text).map(|_| text.to_owned());
    parsed.map_err(|_| "expected the name of a host such as iggy.example.com, or an address".to_owned())
}

fn protocol(text: &str) -> Result<String, String> {
    match text {
        "tcp" => Ok(text.to_owned()),
        _ => Err("expected tcp; over http there are no consumer groups to read with".to_owned()),
    }
}

fn retention(section: &Section<'_>) -> RetentionConfig {
    let default = RetentionConfig::default();
    let days = || number(1..=DAYS_MAX);
    RetentionConfig {
        domain_max_age_days: section.value("domain_max_age_days", default.domain_max_age_days, days()),
        domain_max_size_gb: section.value(
            "domain_max_size_gb",
            default.domain_max_size_gb,
            number(1..=1_000_000),
        ),
        system_max_age_days: section.value("system_max_age_days", default.system_max_age_days, days()),
        dlq_max_age_days: section.value("dlq_max_age_days", default.dlq_max_age_days, days()),
    }
}
