//! The metrics of Guesthouse by its own words. The label `subscription` is the name of one in the configuration, and
//! `handler` that of a handler.

use std::collections::BTreeMap;
use std::sync::Arc;

use guesthouse_connector::HealthStatus;
use prometheus::proto::MetricType;

use super::Seen;
use super::family::{Family, families};
use super::sheet::{Labels, Sheet, flag};
use crate::counters::{HandlerCounters, HandlerState};
use crate::health::{CAUSES, Findings};
use crate::host::HostHandle;
use crate::telemetry;
use crate::transport::TransportCounts;

families! {
    BUILD: GAUGE "guesthouse_build_info" "Always 1; the version of Guesthouse is its label.";
    READY: GAUGE "guesthouse_ready" "1 while all its topics are read and what must be published can be.";
    CONNECTED: GAUGE "guesthouse_connected" "1 while the broker of every host in this process answers.";
    CONNECTIONS: COUNTER "guesthouse_connections_opened_total" "Connections to the broker that were opened.";
    RECEIVED: COUNTER "guesthouse_received_total" "Messages read, those read again included.";
    SETTLED: COUNTER "guesthouse_settled_total" "Messages settled: handled, given up on, or wanted by nobody.";
    COMMITS: COUNTER "guesthouse_commits_total" "Offsets of partitions that the broker has stored.";
    UNSETTLED: GAUGE "guesthouse_unsettled" "Messages read and not settled now.";
    GIVEN_BACK: COUNTER "guesthouse_given_back_total" "Messages given back because their partition was taken away.";
    UNMATCHED: COUNTER "guesthouse_unmatched_total" "Messages that no handler wanted.";
    DEDUPLICATED: COUNTER "guesthouse_deduplicated_total" "Deliveries of events that were handled before, and not run.";
    UNDECODABLE: COUNTER "guesthouse_undecodable_total" "Messages that no codec could read.";
    SPLIT: COUNTER "guesthouse_batches_split_total" "Guest calls that failed as a whole and were run again one by one.";
    PARTITIONS: GAUGE "guesthouse_partitions" "Partitions assigned to this host now.";
    PAUSED: GAUGE "guesthouse_paused_partitions" "Partitions that are not polled now because something is full.";
    EXPIRED: COUNTER "guesthouse_lost_to_retention_total" "Messages that the broker dropped before they were read.";
    AGAIN: COUNTER "guesthouse_handled_again_total" "Messages handled again because the group's offset went back.";
    WENT_BACK: COUNTER "guesthouse_log_went_back_total" "Times that the offsets of a partition went back.";
    MEMORY_KILLS: COUNTER "guesthouse_killed_for_memory_total" "Events in guests when the last host was killed for want of memory.";
    LATENCY: HISTOGRAM "guesthouse_latency_seconds" "Time from the producer's clock to settled.";
    PUBLISHED: COUNTER "guesthouse_published_total" "Emits and dead letters that the broker has confirmed.";
    PUBLISH_FAILURES: COUNTER "guesthouse_publish_failures_total" "Requests to publish that failed; each is repeated.";
    UNWRITABLE: GAUGE "guesthouse_unwritable_messages" "Messages that wait for a topic that cannot be written now.";
    DEAD: COUNTER "guesthouse_dead_letters_total" "Events given up on, by handler and outcome.";
    ATTEMPTS: COUNTER "guesthouse_handler_attempts_total" "Attempts that ended, by handler and outcome.";
    HANDLER_PAUSED: GAUGE "guesthouse_handler_paused" "1 while a handler is paused because most attempts fail.";
    PAUSES: COUNTER "guesthouse_handler_pauses_total" "Times that a handler was paused.";
    PAUSED_TENANTS: GAUGE "guesthouse_handler_paused_tenants" "Tenants for whom alone a handler is paused now.";
    BLOCKED: GAUGE "guesthouse_handler_blocked_lanes" "Lanes that are stopped behind a dead event now.";
    PARKED_LANES: GAUGE "guesthouse_handler_parked_lanes" "Lanes of the partitions read here that are parked now.";
    PARKED_EVENTS: GAUGE "guesthouse_handler_parked_events" "Events that wait in parked lanes now.";
    DROPPED: COUNTER "guesthouse_handler_dropped_events_total" "Parked events that an operator let drop.";
    HEALTH: GAUGE "guesthouse_health" "0 while the hosts of this process are healthy, 1 if degraded, 2 if unhealthy.";
    CAUSE: GAUGE "guesthouse_health_cause" "1 while there is this cause of not being healthy.";
    TROUBLES: COUNTER "guesthouse_troubles_total" "Failures of what the host keeps or does, by cause of health.";
    LOG_LOST: COUNTER "guesthouse_log_lines_lost_total" "Lines of the log that were not written.";
    SENT: COUNTER "guesthouse_transport_published_total" "Events of the platform that the broker has confirmed.";
    REFUSED: COUNTER "guesthouse_transport_failures_total" "Events of the platform that were not published.";
}

/// Writes down what holds for the process as a whole.
pub(super) fn fill_whole(sheet: &mut Sheet, hosts: &[HostHandle], transports: &[Arc<TransportCounts>]) {
    sheet.gauge(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let statuses: Vec<_> = hosts.iter().filter_map(HostHandle::connection_status).collect();
    let are_connected = statuses.len() == hosts.len() && hosts.iter().all(HostHandle::is_connected);
    sheet.gauge(&CONNECTED, &[], flag(are_connected));
    sheet.count(&CONNECTIONS, &[], statuses.iter().map(|status| status.connections_opened).sum());
    sheet.count(&LOG_LOST, &[], telemetry::state().lost);
    fill_health(sheet, hosts);
    for transport in transports {
        sheet.count(&SENT, &[], transport.published());
        for (code, events) in transport.failures() {
            sheet.count(&REFUSED, &[("error_code", code)], events);
        }
    }
}

fn fill_health(sheet: &mut Sheet, hosts: &[HostHandle]) {
    let found: Vec<_> = hosts.iter().map(HostHandle::health_causes).collect();
    let status = found.iter().map(Findings::status).max().unwrap_or(HealthStatus::Healthy);
    sheet.gauge(&HEALTH, &[], f64::from(status as u8));
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (cause, count) in hosts.iter().flat_map(HostHandle::trouble_counts) {
        *counts.entry(cause).or_default() += count;
    }
    for (cause, count) in counts {
        sheet.count(&TROUBLES, &[("cause", cause)], count);
    }
    for cause in CAUSES {
        sheet.gauge(&CAUSE, &[("cause", cause)], flag(found.iter().any(|findings| findings.has(cause))));
    }
}

/// Writes down what a subscription shows.
pub(super) fn fill(sheet: &mut Sheet, seen: &Seen<'_>) {
    let (counters, labels): (_, Labels<'_>) = (seen.counters, &[("subscription", seen.subscription)]);
    sheet.gauge(&READY, labels, flag(seen.is_ready));
    for (family, count) in [
        (&RECEIVED, counters.received),
        (&SETTLED, counters.settled),
        (&COMMITS, counters.commits),
        (&GIVEN_BACK, counters.given_back),
        (&UNMATCHED, counters.unmatched),
        (&DEDUPLICATED, counters.tenants.values().map(|tenant| tenant.deduplicated).sum()),
        (&UNDECODABLE, counters.undecodable),
        (&SPLIT, counters.batches_split),
        (&EXPIRED, counters.lost_to_retention),
        (&AGAIN, counters.handled_again),
        (&WENT_BACK, counters.log_went_back),
        (&MEMORY_KILLS, counters.killed_for_memory),
    ] {
        sheet.count(family, labels, count);
    }
    sheet.gauge(&UNSETTLED, labels, counters.unsettled as f64);
    sheet.gauge(&PARTITIONS, labels, counters.partitions as f64);
    sheet.histogram(&LATENCY, labels, &counters.latency);
    fill_topics(sheet, seen);
    for (name, handler) in &counters.handlers {
        fill_handler(sheet, (seen.subscription, name), handler);
    }
    for (handler, by_outcome) in &counters.dead_letters {
        for (outcome, count) in by_outcome {
            let labels =
                [("subscription", seen.subscription), ("handler", handler.as_str()), ("outcome", outcome)];
            sheet.count(&DEAD, &labels, *count);
        }
    }
}

fn fill_topics(sheet: &mut Sheet, Seen { subscription, counters, .. }: &Seen<'_>) {
    for (reason, partitions) in &counters.paused_partitions {
        sheet.gauge(&PAUSED, &[("subscription", subscription), ("reason", reason)], *partitions as f64);
    }
    for (topic, counted) in &counters.topics {
        let labels = [("subscription", *subscription), ("topic", topic)];
        sheet.count(&PUBLISHED, &labels, counted.published);
        for (code, requests) in &counted.failures {
            let [subscription, topic] = labels;
            sheet.count(&PUBLISH_FAILURES, &[subscription, topic, ("error_code", code)], *requests);
        }
    }
    for (topic, messages) in &counters.unwritable_topics {
        sheet.gauge(&UNWRITABLE, &[("subscription", subscription), ("topic", topic)], *messages as f64);
    }
}

fn fill_handler(sheet: &mut Sheet, (subscription, name): (&str, &str), handler: &HandlerCounters) {
    let labels = [("subscription", subscription), ("handler", name)];
    sheet.gauge(&HANDLER_PAUSED, &labels, flag(handler.state == HandlerState::Paused));
    sheet.count(&PAUSES, &labels, handler.pauses);
    sheet.gauge(&PAUSED_TENANTS, &labels, handler.paused_tenants as f64);
    sheet.gauge(&BLOCKED, &labels, handler.blocked_lanes as f64);
    sheet.gauge(&PARKED_LANES, &labels, handler.parked_lanes as f64);
    sheet.gauge(&PARKED_EVENTS, &labels, handler.parked_events as f64);
    sheet.count(&DROPPED, &labels, handler.dropped_events);
    for (outcome, attempts) in &handler.attempts {
        let [subscription, handler] = labels;
        sheet.count(&ATTEMPTS, &[subscription, handler, ("outcome", outcome)], *attempts);
    }
}
