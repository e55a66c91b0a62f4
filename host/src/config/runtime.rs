//! The sections `dead_letters`, `replays`, `dispatch` and `sandbox`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use guesthouse_connector::{DOMAIN_TOPIC, MODULE_BUILD_TOPIC, SYSTEM_TOPIC};

use super::DeadLetterConfig;
use super::events::PARTITIONS_MAX;
use super::handlers::read_limits;
use super::section::Section;
use super::value::{bytes, duration, name, number, text, word};
use crate::compiler::CompileSettings;
use crate::dispatch::{Bound, DispatchSettings};
use crate::event::Tenant;
use crate::sandbox::{CacheSettings, GuestLimits, SandboxSettings};
use crate::state::{StateError, StateSettings, check_redis_url};

/// Least memory of a compiling process: the program itself and a small component.
const COMPILE_MEMORY_BYTES_MIN: u64 = 64 << 20;

/// Longest hand-over of a partition.
const HAND_OVER_MAX: Duration = Duration::from_secs(25);

/// Most turns of one tenant in a row: others wait that long.
const TENANT_WEIGHT_MAX: u32 = 100;

pub(super) fn replays_dir(section: &Section<'_>) -> PathBuf {
    section.directory("dir", super::REPLAYS_DIR)
}

pub(super) fn dead_letters(section: &Section<'_>) -> DeadLetterConfig {
    let default = DeadLetterConfig::default();
    let topic = section.value("topic", default.topic, |text| match text {
        DOMAIN_TOPIC | SYSTEM_TOPIC | MODULE_BUILD_TOPIC => {
            Err("expected a topic of its own, for dead letters are not read like events".to_owned())
        }
        _ => name(text),
    });
    let partitions = section.value("partitions", default.partitions, number(1..=PARTITIONS_MAX));
    let parked_suffix = section.value("parked_suffix", default.parked_suffix, name);
    DeadLetterConfig { topic, partitions, parked_suffix }
}

pub(super) fn dispatch(section: &Section<'_>) -> DispatchSettings {
    let default = DispatchSettings::default();
    let partition = bound(section, ["in_flight_events_max", "in_flight_bytes_max"], default.partition());
    DispatchSettings {
        in_flight_events_max: partition.events_max,
        in_flight_bytes_max: partition.bytes_max,
        lane: bound(section, ["lane_events_max", "lane_bytes_max"], default.lane),
        tenant: bound(section, ["tenant_events_max", "tenant_bytes_max"], default.tenant),
        host: bound(section, ["host_events_max", "host_bytes_max"], default.host),
        tenant_weights: tenant_weights(section),
        commit_interval: section.value("commit_interval", default.commit_interval, duration),
        commit_events_max: section.value(
            "commit_events_max",
            default.commit_events_max,
            number(1..=1_000_000),
        ),
        poll_events_max: section.value("poll_events_max", default.poll_events_max, number(1..=100_000)),
        drain: section.value("drain", default.drain, duration),
        hand_over: section.value("hand_over", default.hand_over, hand_over),
    }
}

fn tenant_weights(section: &Section<'_>) -> BTreeMap<Tenant, u32> {
    let weights = section.names("tenant_weights", |named| named.value(number(1..=TENANT_WEIGHT_MAX)));
    let tenant = |name: String| match name.as_str() {
        "platform" => Tenant::Platform,
        // Envelopes write UUIDs in lower case.
        _ if uuid::Uuid::try_parse(&name).is_ok() => Tenant::from_name(name.to_ascii_lowercase().into()),
        _ => Tenant::from_name(name.into()),
    };
    weights.unwrap_or_default().into_iter().map(|(name, weight)| (tenant(name), weight)).collect()
}

fn bound(section: &Section<'_>, [events, bytes_key]: [&'static str; 2], default: Bound) -> Bound {
    let bytes_max = section.value(bytes_key, default.bytes_max as u64, bytes(1 << 10..=1 << 40));
    Bound {
        events_max: section.value(events, default.events_max, number(1..=10_000_000)),
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
    }
}

/// Brokers wait for some 30 seconds before they give a partition to its next reader without having heard from the last.
fn hand_over(text: &str) -> Result<Duration, String> {
    let wait = duration(text)?;
    let fits = wait <= HAND_OVER_MAX;
    if fits { Ok(wait) } else { Err(format!("expected a time of at most {HAND_OVER_MAX:?}")) }
}

pub(super) fn sandbox(section: &Section<'_>) -> SandboxSettings {
    let mut settings = SandboxSettings::default();
    settings.workers = section.value("workers", settings.workers, number(0..=1_024));
    settings.waiting_workers = section.value("waiting_workers", settings.waiting_workers, number(1..=1_024));
    settings.component_bytes_max =
        section.value("component_bytes_max", settings.component_bytes_max, bytes(1 << 10..=1 << 30));
    settings.state = section.section("state", state);
    settings.ceilings = section.section("ceilings", |section| read_limits(section, &GuestLimits::CEILINGS));
    settings.compile = section.section("compile", compile);
    settings.cache = cache(section);
    settings.journal_dir = Some(section.directory("journal_dir", SandboxSettings::JOURNAL_DIR));
    let deaths_max = settings.host_deaths_max.unwrap_or_default();
    let deaths_max = section.value("host_deaths_max", deaths_max, number(0..=1_000));
    settings.host_deaths_max = (deaths_max > 0).then_some(deaths_max);
    settings
}

#[derive(Clone, Copy)]
enum StoreWord {
    Embedded,
    Redis,
}

fn state(section: &Section<'_>) -> StateSettings {
    let words = [("embedded", StoreWord::Embedded), ("redis", StoreWord::Redis)];
    let store = section.value("store", StoreWord::Embedded, word(&words));
    let path = section.file("path").unwrap_or_else(|| section.resolve_path(StateSettings::DEFAULT_PATH));
    let is_given = ["redis_url", "redis_url_file"].map(|key| section.has(key)).contains(&true);
    match store {
        StoreWord::Embedded => {
            if path.is_dir() {
                section.refuse("path", &format!("`{}` is a directory, expected a file", path.display()));
            } else if let Some(parent) = path.parent() {
                section.refuse_under_a_file("path", parent);
            }
            StateSettings::Embedded { path }
        }
        StoreWord::Redis => {
            if !is_given {
                section
                    .refuse("redis_url", "is missing, expected redis://[user:password@]host:port/database");
            }
            let url = section.secret("redis_url", "redis_url_file");
            if let Some(Err(StateError::Url { cause })) = url.as_ref().map(check_redis_url) {
                let expected = "expected redis://[user:password@]host:port/database";
                section.refuse("redis_url", &format!("{cause}; {expected}"));
            }
            StateSettings::Redis { url: url.unwrap_or_default(), url_file: section.file("redis_url_file") }
        }
    }
}

fn compile(section: &Section<'_>) -> CompileSettings {
    let mut settings = CompileSettings::default();
    settings.cpu_max = section.value("cpu_max", settings.cpu_max, duration);
    settings.wall_max = section.value("wall_max", settings.wall_max, duration);
    let memory = bytes(COMPILE_MEMORY_BYTES_MIN..=1 << 40);
    settings.memory_bytes_max = section.value("memory_max", settings.memory_bytes_max, memory);
    settings
}

fn cache(section: &Section<'_>) -> Option<CacheSettings> {
    let CacheSettings { dir, bytes_max } = CacheSettings::default();
    let dir = section.value("cache_dir", dir.to_string_lossy().into_owned(), text);
    let bytes_max = section.value("cache_bytes_max", bytes_max, bytes(0..=1 << 40));
    (bytes_max > 0).then(|| CacheSettings { dir: section.resolve_path(&dir), bytes_max })
}
