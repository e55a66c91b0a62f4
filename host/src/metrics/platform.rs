//! The same figures by the names that RusToK's dashboards know. The label `consumer` is the name of a subscription, and
//! `module` that of a handler.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::proto::MetricType;

use super::Seen;
use super::family::{Family, families};
use super::sheet::{Labels, Sheet, flag};
use crate::counters::{Counters, HandlerCounters};
use crate::health::Observation;
use crate::histogram::Histogram;
use crate::outcome::OutcomeKind;
use crate::transport::TransportCounts;

/// The stages of [`FAILURES`] that stand for attempts of guests and for messages that no codec could read.
const HANDLE: &str = "handle";
const DECODE: &str = "decode";

families! {
    RECEIVED: COUNTER "rustok_runtime_consumer_received_total" "Messages read.";
    DELIVERIES: COUNTER "rustok_runtime_consumer_deliveries_total" "Deliveries that ended, by how they ended.";
    RETRIES: COUNTER "rustok_runtime_consumer_retries_total" "What was tried again, by stage.";
    FAILURES: COUNTER "rustok_runtime_consumer_failures_total" "What failed, by stage and code.";
    DLQ: COUNTER "rustok_runtime_consumer_dlq_total" "Dead letters published, and requests for it that failed.";
    PROCESSING: HISTOGRAM "rustok_runtime_consumer_processing_duration_seconds" "Time of guests that attempts took.";
    STARTS: COUNTER "rustok_runtime_consumer_worker_starts_total" "Times that a poller joined its group.";
    TERMINATIONS: COUNTER "rustok_runtime_consumer_worker_terminations_total" "Times that it ceased to be a member.";
    IN_FLIGHT: GAUGE "rustok_runtime_consumer_in_flight" "Messages read and not settled now.";
    IN_FLIGHT_SINCE: GAUGE "rustok_runtime_consumer_in_flight_started_timestamp_seconds" "When the oldest was read.";
    LAST_SUCCESS: GAUGE "rustok_runtime_consumer_last_success_timestamp_seconds" "When one was last settled.";
    SNAPSHOT: GAUGE "rustok_runtime_consumer_position_snapshot_timestamp_seconds" "When the broker was last asked.";
    POSITIONS: GAUGE "rustok_runtime_consumer_position_partition_count" "Partitions of the topics that are read.";
    COMPLETE: GAUGE "rustok_runtime_consumer_position_complete" "1 if nothing but messages came meanwhile.";
    LAG: GAUGE "rustok_runtime_consumer_lag" "Messages before the group: in all, and at most in one partition.";
    BUS_PUBLISHED: COUNTER "rustok_event_bus_published_total" "Events that the broker has confirmed.";
    BUS_DISPATCHED: COUNTER "rustok_event_bus_dispatched_total" "Events that were handed to handlers.";
    BUS_DEPTH: GAUGE "rustok_event_bus_queue_depth" "Messages read and not settled now.";
    BUS_LAG: GAUGE "rustok_event_bus_lag_seconds" "Age of the oldest of them, by its producer's clock.";
    BUS_PROCESSING: HISTOGRAM "rustok_event_bus_processing_duration_seconds" "Time of guests, however attempts ended.";
    BUS_ERRORS: COUNTER "rustok_event_bus_errors_total" "Events that were not published, by code.";
    CALLS: COUNTER "rustok_module_entrypoint_calls_total" "Attempts of handlers.";
    ERRORS: COUNTER "rustok_module_errors_total" "Attempts of handlers that failed.";
}

/// Writes down what the platform published itself.
pub(super) fn fill_whole(sheet: &mut Sheet, transports: &[Arc<TransportCounts>]) {
    for transport in transports {
        sheet.count(&BUS_PUBLISHED, &[("transport", "iggy")], transport.published());
        for (code, events) in transport.failures() {
            sheet.count(&BUS_ERRORS, &[("transport", "iggy"), ("error_code", code)], events);
        }
    }
}

/// Writes down what a subscription shows.
pub(super) fn fill(sheet: &mut Sheet, seen: &Seen<'_>) {
    let (counters, labels): (_, Labels<'_>) = (seen.counters, &[("consumer", seen.subscription)]);
    sheet.count(&RECEIVED, labels, counters.received);
    sheet.gauge(&IN_FLIGHT, labels, counters.unsettled as f64);
    sheet.moment(&IN_FLIGHT_SINCE, labels, counters.oldest_read_micros);
    let last_settled = counters.last_settled_micros;
    sheet.moment(&LAST_SUCCESS, labels, (last_settled > 0).then_some(last_settled));
    sheet.count(&STARTS, labels, counters.joins);
    for (reason, count) in &counters.membership_ends {
        sheet.count(&TERMINATIONS, &[("consumer", seen.subscription), ("reason", reason)], *count);
    }
    let mut processing = Histogram::default();
    for (outcome, attempts) in &counters.attempts {
        sheet.histogram(&PROCESSING, &[("consumer", seen.subscription), ("outcome", outcome)], attempts);
        processing.add(attempts);
    }
    sheet.histogram(&BUS_PROCESSING, labels, &processing);
    sheet.count(&BUS_DISPATCHED, labels, counters.tenants.values().map(|tenant| tenant.deliveries).sum());
    sheet.gauge(&BUS_DEPTH, labels, counters.unsettled as f64);
    sheet.gauge(&BUS_LAG, labels, age_seconds(counters.oldest_made_micros));
    fill_deliveries(sheet, seen);
    fill_failures(sheet, seen);
    for (name, handler) in &counters.handlers {
        fill_module(sheet, name, handler);
    }
}

/// Writes down where the groups of a subscription are, as the broker last told.
pub(super) fn fill_position(sheet: &mut Sheet, subscription: &str, observation: &Observation) {
    let readers = || observation.readers.iter().filter(|reader| reader.subscription == subscription);
    // A look that failed says nothing about how far the groups are.
    if observation.error.is_some() || readers().next().is_none() {
        return;
    }
    let positions = || readers().map(|reader| &reader.position);
    let labels: Labels<'_> = &[("consumer", subscription)];
    sheet.moment(&SNAPSHOT, labels, observation.at_micros);
    sheet.gauge(
        &POSITIONS,
        labels,
        positions().map(|position| position.partitions.len()).sum::<usize>() as f64,
    );
    sheet.gauge(&COMPLETE, labels, flag(positions().all(|position| position.complete)));
    let total: u64 = positions().map(|position| position.lag_total).sum();
    let most = positions().map(|position| position.lag_max).max().unwrap_or_default();
    sheet.gauge(&LAG, &[("consumer", subscription), ("aggregation", "total")], total as f64);
    sheet.gauge(&LAG, &[("consumer", subscription), ("aggregation", "max")], most as f64);
}

fn fill_deliveries(sheet: &mut Sheet, Seen { subscription, counters, dead_letter_topic, .. }: &Seen<'_>) {
    let deliveries = |outcome| [("consumer", *subscription), ("outcome", outcome)];
    let done = attempts(counters, OutcomeKind::Done);
    sheet.count(&DELIVERIES, &deliveries(OutcomeKind::Done.as_str()), done);
    let before: u64 = counters.tenants.values().map(|tenant| tenant.deduplicated).sum();
    if before > 0 {
        sheet.count(&DELIVERIES, &deliveries("deduplicated"), before);
    }
    for kind in OutcomeKind::ALL {
        let outcome = kind.as_str();
        let dead: u64 = counters.dead_letters.values().filter_map(|by_outcome| by_outcome.get(outcome)).sum();
        if dead > 0 {
            sheet.count(&DELIVERIES, &deliveries(outcome), dead);
        }
    }
    let letters = counters.topics.get(*dead_letter_topic).cloned().unwrap_or_default();
    let result = |result| [("consumer", *subscription), ("result", result)];
    sheet.count(&DLQ, &result("published"), letters.published);
    sheet.count(&DLQ, &result("failed"), letters.failures.values().sum());
}

fn fill_failures(sheet: &mut Sheet, Seen { subscription, counters, .. }: &Seen<'_>) {
    let mut failed = |stage, code, count| {
        let labels = [("consumer", *subscription), ("stage", stage), ("error_code", code)];
        sheet.count(&FAILURES, &labels, count);
    };
    for (stage, by_code) in &counters.failures {
        by_code.iter().for_each(|(code, count)| failed(stage, code, *count));
    }
    for (outcome, attempts) in &counters.attempts {
        if outcome != OutcomeKind::Done.as_str() {
            failed(HANDLE, outcome, attempts.count());
        }
    }
    failed(DECODE, OutcomeKind::Undecodable.as_str(), counters.undecodable);
    let stage = |stage| [("consumer", *subscription), ("stage", stage)];
    sheet.count(&RETRIES, &stage(HANDLE), counters.tenants.values().map(|tenant| tenant.retried).sum());
    sheet.count(&RETRIES, &stage("publish"), counters.publish_failures);
}

fn fill_module(sheet: &mut Sheet, module: &str, handler: &HandlerCounters) {
    let calls = [("module", module), ("entry_point", HANDLE), ("path", "event")];
    sheet.count(&CALLS, &calls, handler.attempts.values().sum());
    for (outcome, attempts) in &handler.attempts {
        if outcome != OutcomeKind::Done.as_str() {
            let errors = [("module", module), ("error_type", outcome.as_str()), ("severity", "error")];
            sheet.count(&ERRORS, &errors, *attempts);
        }
    }
}

fn attempts(counters: &Counters, kind: OutcomeKind) -> u64 {
    counters.attempts.get(kind.as_str()).map_or(0, |attempts| attempts.count())
}

/// How long ago a moment was; nothing is no time ago.
fn age_seconds(unix_micros: Option<u64>) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    unix_micros.map_or(0.0, |then| (now - then as f64 / 1e6).max(0.0))
}
