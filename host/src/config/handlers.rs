//! The `handlers` section: components, and for whom and under which limits they run.

use std::collections::BTreeSet;
use std::time::Duration;

use bytestring::ByteString;

use super::grants;
use super::section::Section;
use super::value::{bytes, duration, name, number, parsed, percent, word};
use super::{DeadLetterConfig, SubscriptionConfig};
use crate::dedup::DedupWindow;
use crate::dispatch::{BreakerPolicy, OnFailing};
use crate::event::Tenant;
use crate::handler::{FailurePolicy, HandlerConfig, HandlerName};
use crate::lane::OrderBy;
use crate::retry::{OnFault, RetryPolicy};
use crate::route::TenantScope;
use crate::sandbox::{Excess, GuestLimits, Isolation};

/// Longest deadline of an event.
pub(crate) const DEADLINE_MAX: Duration = Duration::from_secs(10 * 60);
/// Least memory: one page of WebAssembly.
const MEMORY_BYTES_MIN: u64 = 64 << 10;
/// Most memory: all that a 32-bit guest can address.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Least bytes of an answer: the log lines of a guest have to fit, too.
const ANSWER_BYTES_MIN: u64 = 64 << 10;
/// Most bytes of anything that a guest hands over for one event.
const BYTES_MAX: u64 = 1 << 30;
/// Most bytes that are kept for a tenant and a handler.
const STORED_BYTES_MAX: u64 = 1 << 40;
/// Longest guest call that batches aim at, and its share of the deadline.
const BATCH_TIME: Duration = Duration::from_millis(20);
const BATCH_DEADLINE_SHARE: u32 = 4;

pub(super) fn read(
    root: &Section<'_>,
    subscriptions: &[SubscriptionConfig],
    dead_letters: &DeadLetterConfig,
    ceilings: &GuestLimits,
) -> Vec<HandlerConfig> {
    let mut names = BTreeSet::new();
    let handlers = root.sections("handlers", |section| {
        let handler = one(section, dead_letters, ceilings)?;
        if !names.insert(handler.name.clone()) {
            section.refuse("name", &format!("`{}`: another handler has this name", handler.name));
        }
        refuse_unknown_subscription(section, &handler.subscription, subscriptions);
        Some(handler)
    });
    handlers.unwrap_or_default()
}

/// Reads everything before it gives up, so that every mistake is found.
fn one(
    section: &Section<'_>,
    dead_letters: &DeadLetterConfig,
    ceilings: &GuestLimits,
) -> Option<HandlerConfig> {
    let handler_name = section.required("name", parsed_name);
    section.require("component");
    let component = section.file("component");
    let version = section.value("version", None, |text| name(text).map(Some));
    section.require("events");
    let events = section.list("events", parsed);
    section.refuse_empty("events", "expected at least one pattern such as order.placed or order.*");
    let subscription = section.value("subscription", SubscriptionConfig::default().name, name);
    let tenants = read_tenants(section);
    let order_by = section.value("order_by", OrderBy::default(), parsed);
    let grants = grants::read(section);
    let isolations = [("reuse", Isolation::Reuse), ("fresh", Isolation::Fresh)];
    let isolation = section.value("isolation", Isolation::default(), word(&isolations));
    let limits = section.section("limits", |section| read_limits_below(section, ceilings));
    let retry = section.section("retry", read_retry);
    let on_failings = [("pause", OnFailing::Pause), ("dead-letter", OnFailing::DeadLetter)];
    let on_failing = section.value("on_failing", OnFailing::Pause, word(&on_failings));
    let breaker = section.section("breaker", |section| read_breaker(section, on_failing));
    let on_failure = section.value("on_failure", FailurePolicy::Skip, failure_policy);
    if on_failure != FailurePolicy::Skip && order_by == OrderBy::None {
        section.refuse("on_failure", "there is no lane to stop with `order_by: none`, expected skip");
    }
    let emit_topics = read_emit_topics(section, dead_letters);
    let dedup = section.section("dedup", read_dedup);
    let batch_max = section.value("batch_max", 256, number(1..=1_024));
    Some(HandlerConfig {
        name: handler_name?,
        component: component?,
        version,
        subscription,
        tenants,
        events: events?,
        order_by,
        grants,
        batch_time_target: BATCH_TIME.min(limits.deadline / BATCH_DEADLINE_SHARE),
        limits,
        isolation,
        retry,
        breaker,
        on_failure,
        emit_topics,
        dedup,
        batch_max,
    })
}

fn parsed_name(text: &str) -> Result<HandlerName, String> {
    HandlerName::new(text).map_err(|error| error.to_string())
}

fn refuse_unknown_subscription(section: &Section<'_>, name: &str, subscriptions: &[SubscriptionConfig]) {
    if subscriptions.iter().any(|subscription| subscription.name == name) {
        return;
    }
    let names: Vec<&str> = subscriptions.iter().map(|subscription| subscription.name.as_str()).collect();
    let problem = format!("`{name}`: no such subscription, expected one of {}", names.join(", "));
    section.refuse("subscription", &problem);
}

fn read_tenants(section: &Section<'_>) -> TenantScope {
    if section.is_text("tenants") {
        let words = [("all", TenantWord::All), ("platform", TenantWord::Platform)];
        let expected = |_| "expected all, platform or a list of tenant ids".to_owned();
        let tenants = section.value("tenants", TenantWord::All, |text| word(&words)(text).map_err(expected));
        return match tenants {
            TenantWord::All => TenantScope::All,
            TenantWord::Platform => TenantScope::Platform,
        };
    }
    section.refuse_empty("tenants", "expected all, platform or at least one tenant id");
    match section.list("tenants", tenant) {
        Some(tenants) => TenantScope::Only(tenants.into_iter().collect()),
        None => TenantScope::All,
    }
}

#[derive(Clone, Copy)]
enum TenantWord {
    All,
    Platform,
}

/// A tenant's id. Envelopes write UUIDs in lower case, so they are compared so.
fn tenant(text: &str) -> Result<ByteString, String> {
    match text {
        Tenant::PLATFORM_ID | "platform" | "all" => {
            Err("is no tenant's id; write it instead of the list, as `tenants: platform` or `tenants: all`"
                .to_owned())
        }
        _ if uuid::Uuid::try_parse(text).is_ok() => Ok(text.to_ascii_lowercase().into()),
        _ => name(text).map(ByteString::from),
    }
}

fn read_limits_below(section: &Section<'_>, ceilings: &GuestLimits) -> GuestLimits {
    let limits = read_limits(section, &GuestLimits::usual_below(ceilings));
    for Excess { limit, wanted, ceiling } in limits.above(ceilings) {
        section.refuse(limit, &format!("`{wanted}`: expected at most {ceiling}, as `sandbox.ceilings` says"));
    }
    limits
}

/// Reads limits; those that are not written are as in `default`.
pub(super) fn read_limits(section: &Section<'_>, default: &GuestLimits) -> GuestLimits {
    let deadline = |text: &str| {
        duration(text).ok().filter(|deadline| *deadline <= DEADLINE_MAX).ok_or_else(|| {
            let longest = humantime::format_duration(DEADLINE_MAX);
            format!("expected a time above zero with its unit, such as 250ms, up to {longest}")
        })
    };
    let bytes_of = |key, default| section.value(key, default, bytes(0..=BYTES_MAX));
    GuestLimits {
        deadline: section.value("deadline", default.deadline, deadline),
        memory_bytes_max: section.value(
            "memory_max",
            default.memory_bytes_max,
            bytes(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX),
        ),
        emits_max: section.value("emits_max", default.emits_max, number(0..=100_000)),
        emit_bytes_max: bytes_of("emit_bytes_max", default.emit_bytes_max),
        log_lines_max: section.value("log_lines_max", default.log_lines_max, number(0..=1_000_000)),
        log_bytes_max: bytes_of("log_bytes_max", default.log_bytes_max),
        answer_bytes_max: section.value(
            "answer_bytes_max",
            default.answer_bytes_max,
            bytes(ANSWER_BYTES_MIN..=BYTES_MAX),
        ),
        state_calls_max: section.value("state_calls_max", default.state_calls_max, number(0..=100_000)),
        state_bytes_max: bytes_of("state_bytes_max", default.state_bytes_max),
        state_stored_bytes_max: section.value(
            "state_stored_max",
            default.state_stored_bytes_max,
            bytes(0..=STORED_BYTES_MAX),
        ),
        http_calls_max: section.value("http_calls_max", default.http_calls_max, number(0..=10_000)),
        http_bytes_max: bytes_of("http_bytes_max", default.http_bytes_max),
    }
}

fn read_retry(section: &Section<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let on_fault = || word(&[("retry", OnFault::Retry), ("dead-letter", OnFault::DeadLetter)]);
    let policy = RetryPolicy {
        attempts_max: section.value("attempts_max", default.attempts_max, number(1..=1_000_000)),
        backoff_min: section.value("backoff_min", default.backoff_min, duration),
        backoff_max: section.value("backoff_max", default.backoff_max, duration),
        in_memory_max: section.value("in_memory_max", default.in_memory_max, duration),
        age_max: section.optional("age_max", duration),
        on_trap: section.value("on_trap", default.on_trap, on_fault()),
        on_timeout: section.value("on_timeout", default.on_timeout, on_fault()),
        on_limit: section.value("on_limit", default.on_limit, on_fault()),
    };
    if policy.backoff_max < policy.backoff_min {
        let least = humantime::format_duration(policy.backoff_min);
        section.refuse("backoff_max", &format!("expected at least `backoff_min`, which is {least}"));
    }
    policy
}

fn read_breaker(section: &Section<'_>, on_failing: OnFailing) -> BreakerPolicy {
    let default = BreakerPolicy::default();
    let policy = BreakerPolicy {
        attempts_min: section.value("attempts_min", default.attempts_min, number(1..=1_000)),
        failing_share_percent: section.value("failing_share", default.failing_share_percent, percent),
        cool_down: section.value("cool_down", default.cool_down, duration),
        cool_down_max: section.value("cool_down_max", default.cool_down_max, duration),
        on_failing,
    };
    if policy.cool_down_max < policy.cool_down {
        let least = humantime::format_duration(policy.cool_down);
        section.refuse("cool_down_max", &format!("expected at least `cool_down`, which is {least}"));
    }
    policy
}

fn read_dedup(section: &Section<'_>) -> Option<DedupWindow> {
    let events_max = section.optional("events", number(1..=DedupWindow::EVENTS_MAX));
    let age_max = section.optional("within", duration);
    (events_max.is_some() || age_max.is_some())
        .then(|| DedupWindow { events_max: events_max.unwrap_or(DedupWindow::EVENTS_MAX), age_max })
}

fn failure_policy(text: &str) -> Result<FailurePolicy, String> {
    match text {
        "skip" => Ok(FailurePolicy::Skip),
        "block" => Ok(FailurePolicy::Block),
        "park" => Ok(FailurePolicy::Park),
        _ => Err("expected skip, park or block".to_owned()),
    }
}

fn read_emit_topics(section: &Section<'_>, dead_letters: &DeadLetterConfig) -> Vec<String> {
    let topics = section.list("emit_topics", name).unwrap_or_default();
    for topic in &topics {
        if let Some(used) = dead_letters.use_of_topic(topic) {
            section.refuse("emit_topics", &format!("`{topic}` is kept for {used}; name another topic"));
        }
    }
    topics
}
