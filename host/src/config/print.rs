//! Printing the resolved configuration in the form in which it is written, with secrets masked.

use std::collections::BTreeMap;
use std::time::Duration;

use guesthouse_connector::{DOMAIN_TOPIC, SYSTEM_TOPIC, TopicSpec};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::variables;
use super::{Config, DeadLetterConfig, SubscriptionConfig};
use crate::codec::{Codec, RawEventType, RawTenant};
use crate::dispatch::{BreakerPolicy, OnFailing};
use crate::event::Tenant;
use crate::handler::{FailurePolicy, HandlerConfig};
use crate::retry::{OnFault, RetryPolicy};
use crate::route::TenantScope;
use crate::sandbox::{CacheSettings, Grants, GuestConfig, GuestLimits, Isolation, SandboxSettings};
use crate::state::StateSettings;

/// Stands for a secret that is set.
pub(super) const MASK: &str = "********";
/// What is wrong with a configuration that was printed and is read.
pub(super) const MASKED: &str = "`********` is what `guesthouse check` prints in place of a secret";
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;
const GIGABYTE: u64 = 1_000_000_000;

pub(super) fn to_yaml(config: &Config) -> String {
    // Texts, numbers, lists and sections only: there is nothing in it that could not be written.
    let printed = serde_saphyr::to_string(&Root::of(config));
    // A dollar sign and a brace stand for themselves in every style of text, so that escaping all of them is right.
    printed.map_or_else(|error| format!("# cannot be printed: {error}\n"), |yaml| variables::escape(&yaml))
}

#[derive(Serialize)]
struct Root<'a> {
    events: Events<'a>,
    subscriptions: Vec<Subscription<'a>>,
    handlers: Vec<Handler<'a>>,
    dead_letters: DeadLetters<'a>,
    replays: Replays,
    dispatch: Dispatch<'a>,
    metrics: Metrics,
    health: Health,
    sandbox: Sandbox,
}

#[derive(Serialize)]
struct Events<'a> {
    transport: &'static str,
    iggy: Iggy<'a>,
}

#[derive(Serialize)]
struct Iggy<'a> {
    mode: &'static str,
    serialization: &'static str,
    topology: Topology<'a>,
    embedded: Embedded<'a>,
    remote: Remote<'a>,
    batching: PrintedBatching,
    retention: PrintedRetention,
}

#[derive(Serialize)]
struct Topology<'a> {
    stream_name: &'a str,
    domain_partitions: u32,
    replication_factor: u8,
}

#[derive(Serialize)]
struct Embedded<'a> {
    data_dir: &'a str,
    tcp_port: u16,
    http_port: u16,
    persistent: bool,
    password: Option<&'static str>,
    repeats_stored_in: &'a [String],
}

#[derive(Serialize)]
struct Remote<'a> {
    addresses: &'a [String],
    protocol: &'a str,
    username: &'a str,
    #[serde(flatten)]
    password: Password,
    #[serde(flatten)]
    token: Token,
    tls_enabled: bool,
    tls_domain: Option<&'a str>,
    tls_ca_file: Option<String>,
    wait_max: String,
}

/// A secret as the file that it is read from, or masked.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Password {
    Password(Option<&'static str>),
    PasswordFile(String),
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Token {
    Token(Option<&'static str>),
    TokenFile(String),
}

#[derive(Serialize)]
struct PrintedBatching {
    linger: String,
    messages_max: usize,
    bytes_max: String,
}

#[derive(Serialize)]
struct PrintedRetention {
    domain_max_age_days: Option<u64>,
    domain_max_size_gb: Option<u64>,
    system_max_age_days: Option<u64>,
    dlq_max_age_days: Option<u64>,
}

#[derive(Serialize)]
struct Subscription<'a> {
    name: &'a str,
    group: &'a str,
    topics: &'a [String],
    codec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Raw<'a>>,
}

#[derive(Serialize)]
struct Raw<'a> {
    tenant: &'a str,
    event_type: &'a str,
}

#[derive(Serialize)]
struct Handler<'a> {
    name: &'a str,
    component: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    subscription: &'a str,
    tenants: Tenants<'a>,
    events: Vec<String>,
    order_by: String,
    grants: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<&'a str, &'static str>,
    http_hosts: Vec<String>,
    isolation: &'static str,
    limits: Limits,
    retry: Retry,
    breaker: Breaker,
    on_failing: &'static str,
    on_failure: &'static str,
    emit_topics: &'a [String],
    dedup: Dedup,
    batch_max: u32,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Tenants<'a> {
    Word(&'static str),
    List(Vec<&'a str>),
}

#[derive(Serialize)]
struct Limits {
    deadline: String,
    memory_max: String,
    emits_max: u32,
    emit_bytes_max: String,
    log_lines_max: u32,
    log_bytes_max: String,
    answer_bytes_max: String,
    state_calls_max: u32,
    state_bytes_max: String,
    state_stored_max: String,
    http_calls_max: u32,
    http_bytes_max: String,
}

#[derive(Serialize)]
struct Retry {
    attempts_max: u32,
    backoff_min: String,
    backoff_max: String,
    in_memory_max: String,
    age_max: Option<String>,
    on_trap: &'static str,
    on_timeout: &'static str,
    on_limit: &'static str,
}

#[derive(Serialize)]
struct Dedup {
    events: Option<u32>,
    within: Option<String>,
}

#[derive(Serialize)]
struct Breaker {
    attempts_min: u32,
    failing_share: String,
    cool_down: String,
    cool_down_max: String,
}

#[derive(Serialize)]
struct Replays {
    dir: String,
}

#[derive(Serialize)]
struct Metrics {
    listen: Option<String>,
}

#[derive(Serialize)]
struct Health {
    every: String,
    lag_max: u64,
    dead_letters_max: u64,
    dead_letters_window: String,
    stuck_after: String,
    progress_within: String,
}

#[derive(Serialize)]
struct DeadLetters<'a> {
    topic: &'a str,
    partitions: u32,
    parked_suffix: &'a str,
}

#[derive(Serialize)]
struct Dispatch<'a> {
    in_flight_events_max: usize,
    in_flight_bytes_max: String,
    lane_events_max: usize,
    lane_bytes_max: String,
    tenant_events_max: usize,
    tenant_bytes_max: String,
    host_events_max: usize,
    host_bytes_max: String,
    tenant_weights: BTreeMap<&'a str, u32>,
    commit_interval: String,
    commit_events_max: u32,
    poll_events_max: u32,
    drain: String,
    hand_over: String,
}

#[derive(Serialize)]
struct Sandbox {
    workers: usize,
    waiting_workers: usize,
    component_bytes_max: String,
    compile: Compile,
    cache_dir: String,
    cache_bytes_max: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_dir: Option<String>,
    host_deaths_max: u32,
    state: State,
    ceilings: Limits,
}

#[derive(Serialize)]
struct Compile {
    cpu_max: String,
    wall_max: String,
    memory_max: String,
}

#[derive(Serialize)]
struct State {
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_url_file: Option<String>,
}

impl<'a> Root<'a> {
    fn of(config: &'a Config) -> Self {
        let dispatch = &config.dispatch;
        let DeadLetterConfig { topic, partitions, parked_suffix } = &config.dead_letters;
        Self {
            events: Events { transport: "iggy", iggy: Iggy::of(config) },
            subscriptions: config.subscriptions.iter().map(Subscription::of).collect(),
            handlers: config.handlers.iter().map(Handler::of).collect(),
            dead_letters: DeadLetters { topic, partitions: *partitions, parked_suffix },
            replays: Replays { dir: config.replays_dir.display().to_string() },
            dispatch: Dispatch {
                in_flight_events_max: dispatch.in_flight_events_max,
                in_flight_bytes_max: size(dispatch.in_flight_bytes_max as u64),
                lane_events_max: dispatch.lane.events_max,
                lane_bytes_max: size(dispatch.lane.bytes_max as u64),
                tenant_events_max: dispatch.tenant.events_max,
                tenant_bytes_max: size(dispatch.tenant.bytes_max as u64),
                host_events_max: dispatch.host.events_max,
                host_bytes_max: size(dispatch.host.bytes_max as u64),
                tenant_weights: weights(&dispatch.tenant_weights),
                commit_interval: time(dispatch.commit_interval),
                commit_events_max: dispatch.commit_events_max,
                poll_events_max: dispatch.poll_events_max,
                drain: time(dispatch.drain),
                hand_over: time(dispatch.hand_over),
            },
            metrics: Metrics { listen: config.metrics_listen.map(|address| address.to_string()) },
            health: Health {
                every: time(config.health.every),
                lag_max: config.health.lag_max,
                dead_letters_max: config.health.dead_letters_max,
                dead_letters_window: time(config.health.dead_letters_window),
                stuck_after: time(config.health.stuck_after),
                progress_within: time(config.health.progress_within),
            },
            sandbox: Sandbox::of(&config.sandbox),
        }
    }
}

fn weights(weights: &BTreeMap<Tenant, u32>) -> BTreeMap<&str, u32> {
    weights.iter().map(|(tenant, weight)| (tenant.as_str(), *weight)).collect()
}

impl Sandbox {
    fn of(settings: &SandboxSettings) -> Self {
        let no_cache = || CacheSettings { bytes_max: 0, ..CacheSettings::default() };
        let cache = settings.cache.clone().unwrap_or_else(no_cache);
        Self {
            workers: settings.workers,
            waiting_workers: settings.waiting_workers,
            component_bytes_max: size(settings.component_bytes_max),
            compile: Compile {
                cpu_max: time(settings.compile.cpu_max),
                wall_max: time(settings.compile.wall_max),
                memory_max: size(settings.compile.memory_bytes_max),
            },
            cache_dir: cache.dir.display().to_string(),
            cache_bytes_max: size(cache.bytes_max),
            journal_dir: settings.journal_dir.as_ref().map(|dir| dir.display().to_string()),
            host_deaths_max: settings.host_deaths_max.unwrap_or_default(),
            state: State::of(&settings.state),
            ceilings: Limits::of(&settings.ceilings),
        }
    }
}

impl State {
    fn of(state: &StateSettings) -> Self {
        match state {
            StateSettings::Embedded { path } => {
                let path = Some(path.display().to_string());
                Self { store: "embedded", path, redis_url: None, redis_url_file: None }
            }
            StateSettings::Redis { url, url_file } => {
                let redis_url_file = url_file.as_ref().map(|file| file.display().to_string());
                let redis_url = redis_url_file.is_none().then(|| masked_url(url));
                Self { store: "redis", path: None, redis_url, redis_url_file }
            }
        }
    }
}

impl<'a> Iggy<'a> {
    fn of(config: &'a Config) -> Self {
        let connector = &config.connector;
        let (embedded, remote) = (&connector.embedded, &connector.remote);
        let remote_password = connector.remote_password.is_some() || !remote.password.is_empty();
        Self {
            mode: connector.mode.as_str(),
            serialization: config.serialization.as_str(),
            topology: Topology {
                stream_name: &connector.stream_name,
                domain_partitions: connector.partitions,
                replication_factor: connector.replication_factor,
            },
            embedded: Embedded {
                data_dir: &embedded.data_dir,
                tcp_port: embedded.tcp_port,
                http_port: embedded.http_port,
                persistent: embedded.persistent,
                password: mask(connector.embedded_credentials.password.as_ref()),
                repeats_stored_in: &connector.repeats_stored_in,
            },
            remote: Remote {
                addresses: &remote.addresses,
                protocol: &remote.protocol,
                username: &remote.username,
                password: match &connector.remote_password_file {
                    Some(file) => Password::PasswordFile(file.display().to_string()),
                    None => Password::Password(remote_password.then_some(MASK)),
                },
                token: match &connector.remote_token_file {
                    Some(file) => Token::TokenFile(file.display().to_string()),
                    None => Token::Token(mask(connector.remote_token.as_ref())),
                },
                tls_enabled: remote.tls_enabled,
                tls_domain: connector.tls.domain.as_deref(),
                tls_ca_file: connector.tls.ca_file.as_ref().map(|file| file.display().to_string()),
                wait_max: time(connector.timeouts.first_answer),
            },
            batching: PrintedBatching {
                linger: time(connector.batching.linger),
                messages_max: connector.batching.messages_max,
                bytes_max: size(connector.batching.bytes_max as u64),
            },
            retention: PrintedRetention::of(&config.topology, &config.dead_letters.topic),
        }
    }
}

impl PrintedRetention {
    fn of(topology: &[TopicSpec], dead_letters: &str) -> Self {
        let topic = |name: &str| topology.iter().find(|topic| topic.name == name);
        let days = |name: &str| Some(topic(name)?.age_max?.as_secs() / SECONDS_PER_DAY);
        let domain_bytes = topic(DOMAIN_TOPIC).and_then(|topic| topic.size_bytes_max);
        Self {
            domain_max_age_days: days(DOMAIN_TOPIC),
            domain_max_size_gb: domain_bytes.map(|bytes| bytes / GIGABYTE),
            system_max_age_days: days(SYSTEM_TOPIC),
            dlq_max_age_days: days(dead_letters),
        }
    }
}

impl<'a> Subscription<'a> {
    fn of(subscription: &'a SubscriptionConfig) -> Self {
        let (codec, raw) = match &subscription.codec {
            Codec::Enveloped(format) => (format.as_str(), None),
            Codec::Raw(raw) => {
                let tenant = match &raw.tenant {
                    RawTenant::Fixed(tenant) => tenant.as_str(),
                    RawTenant::Header => "header",
                };
                let event_type = match &raw.event_type {
                    RawEventType::Fixed(event_type) => event_type,
                    RawEventType::Header => "header",
                };
                ("raw", Some(Raw { tenant, event_type }))
            }
        };
        let SubscriptionConfig { name, group, topics, .. } = subscription;
        Self { name, group, topics, codec, raw }
    }
}

impl<'a> Handler<'a> {
    fn of(handler: &'a HandlerConfig) -> Self {
        Self {
            name: handler.name.as_str(),
            component: handler.component.display().to_string(),
            version: handler.version.as_deref(),
            subscription: &handler.subscription,
            tenants: match &handler.tenants {
                TenantScope::All => Tenants::Word("all"),
                TenantScope::Platform => Tenants::Word("platform"),
                TenantScope::Only(tenants) => Tenants::List(tenants.iter().map(AsRef::as_ref).collect()),
            },
            events: handler.events.iter().map(ToString::to_string).collect(),
            order_by: handler.order_by.to_string(),
            grants: grants(&handler.grants),
            config: printed(handler, |config| {
                config.values().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
            }),
            secrets: printed(handler, |config| config.secret_keys().map(|key| (key, MASK)).collect()),
            http_hosts: http_hosts(&handler.grants),
            isolation: match handler.isolation {
                Isolation::Reuse => "reuse",
                Isolation::Fresh => "fresh",
            },
            limits: Limits::of(&handler.limits),
            retry: Retry::of(&handler.retry),
            breaker: Breaker::of(&handler.breaker),
            on_failing: match handler.breaker.on_failing {
                OnFailing::Pause => "pause",
                OnFailing::DeadLetter => "dead-letter",
            },
            on_failure: match handler.on_failure {
                FailurePolicy::Skip => "skip",
                FailurePolicy::Park => "park",
                FailurePolicy::Block => "block",
            },
            emit_topics: &handler.emit_topics,
            dedup: Dedup {
                events: handler.dedup.as_ref().map(|window| window.events_max),
                within: handler.dedup.as_ref().and_then(|window| window.age_max).map(time),
            },
            batch_max: handler.batch_max,
        }
    }
}

impl Limits {
    fn of(limits: &GuestLimits) -> Self {
        Self {
            deadline: time(limits.deadline),
            memory_max: size(limits.memory_bytes_max),
            emits_max: limits.emits_max,
            emit_bytes_max: size(limits.emit_bytes_max),
            log_lines_max: limits.log_lines_max,
            log_bytes_max: size(limits.log_bytes_max),
            answer_bytes_max: size(limits.answer_bytes_max),
            state_calls_max: limits.state_calls_max,
            state_bytes_max: size(limits.state_bytes_max),
            state_stored_max: size(limits.state_stored_bytes_max),
            http_calls_max: limits.http_calls_max,
            http_bytes_max: size(limits.http_bytes_max),
        }
    }
}

impl Retry {
    fn of(retry: &RetryPolicy) -> Self {
        let on_fault = |on_fault| match on_fault {
            OnFault::Retry => "retry",
            OnFault::DeadLetter => "dead-letter",
        };
        Self {
            attempts_max: retry.attempts_max,
            backoff_min: time(retry.backoff_min),
            backoff_max: time(retry.backoff_max),
            in_memory_max: time(retry.in_memory_max),
            age_max: retry.age_max.map(time),
            on_trap: on_fault(retry.on_trap),
            on_timeout: on_fault(retry.on_timeout),
            on_limit: on_fault(retry.on_limit),
        }
    }
}

impl Breaker {
    fn of(breaker: &BreakerPolicy) -> Self {
        Self {
            attempts_min: breaker.attempts_min,
            failing_share: format!("{}%", breaker.failing_share_percent),
            cool_down: time(breaker.cool_down),
            cool_down_max: time(breaker.cool_down_max),
        }
    }
}

fn http_hosts(grants: &Grants) -> Vec<String> {
    let hosts = grants.http.iter().flat_map(|http| &http.hosts);
    hosts.map(ToString::to_string).collect()
}

fn grants(grants: &Grants) -> Vec<&'static str> {
    let all = [
        ("log", grants.log),
        ("clocks", grants.clocks),
        ("random", grants.random),
        ("state", grants.state),
        ("config", grants.config.is_some()),
        ("http", grants.http.is_some()),
    ];
    all.into_iter().filter(|(_, granted)| *granted).map(|(name, _)| name).collect()
}

/// What is printed of a handler's configuration: nothing when it has none.
fn printed<'a, T: Default>(handler: &'a HandlerConfig, print: impl FnOnce(&'a GuestConfig) -> T) -> T {
    handler.grants.config.as_deref().map(print).unwrap_or_default()
}

fn mask(secret: Option<&SecretString>) -> Option<&'static str> {
    secret.map(|_| MASK)
}

/// A URL with its password masked, so that it reads back as one.
fn masked_url(url: &SecretString) -> String {
    let url = url.expose_secret();
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    // Over a socket of this machine the password stands among the parameters.
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        Some((login, server)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{server}"),
            None => format!("{MASK}@{server}"),
        },
    };
    // One that is written in another way is not told apart from a secret.
    if path.contains('@') { MASK.to_owned() } else { format!("{scheme}://{authority}{path}") }
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A size in its largest binary unit without a fraction, so that it reads back exactly.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}
