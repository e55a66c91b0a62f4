//! What the figures of a host mean for its health. Pure.

use std::borrow::Cow;

use guesthouse_connector::{
    ConnectionState, ConnectionStatus, ConnectorError, HealthCheckResult, HealthStatus,
};
use serde_json::{Value, json};

use super::HealthSettings;
use super::observer::{Observation, Reader};
use crate::counters::{Counters, HandlerState};
use crate::telemetry::LogState;

/// Everything that health is judged by.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) is_finished: bool,
    pub(crate) connection: Option<ConnectionStatus>,
    pub(crate) subscriptions: Vec<SubscriptionFacts<'a>>,
    /// What the host noticed of itself: the cause of each, and its reason.
    pub(crate) troubles: Vec<(&'static str, String)>,
    pub(crate) observation: &'a Observation,
    pub(crate) settings: &'a HealthSettings,
    /// Threads and tasks of the host that ended in a panic; those of the connection are with its status.
    pub(crate) workers_died: Vec<String>,
    /// What the embedded broker cannot do.
    pub(crate) broker_troubles: Vec<String>,
    pub(crate) log: LogState,
}

/// What is known of one subscription.
#[derive(Debug)]
pub(crate) struct SubscriptionFacts<'a> {
    pub(crate) name: &'a str,
    /// Whether it is a member of its groups.
    pub(crate) is_member: bool,
    /// Why it is not, when that is known.
    pub(crate) why_no_member: Option<String>,
    pub(crate) counters: Cow<'a, Counters>,
}

/// The names of all causes there are, worst first.
pub(crate) const CAUSES: [&str; 29] = [
    "stopped",
    STARTING,
    "worker_died",
    "broker_unreachable",
    "topic_missing",
    "not_reading",
    "no_progress",
    "only_retries",
    "state_unwritable",
    "state_lost",
    "commits_refused",
    "messages_lost",
    "broker_damaged",
    "group_went_back",
    "topic_made_again",
    "topic_unwritable",
    "parked_unreadable",
    "journal_unwritable",
    "journal_lost",
    "cache_unwritable",
    "breaker_open",
    "lane_blocked",
    "lag",
    "dead_letters",
    "partition_stuck",
    "partition_unread",
    "topology_drift",
    "not_observed",
    "log_lost",
];

/// The host is still being built, and has no figures yet.
pub(crate) const STARTING: &str = "starting";

/// Nothing is settled, or nothing committed, for too long.
const NO_PROGRESS: &str = "no_progress";

/// Attempts end, and none of them settles anything, for too long.
const ONLY_RETRIES: &str = "only_retries";

/// The causes that explain why nothing is settled or committed.
const EXPLANATIONS: [&str; 9] = [
    "worker_died",
    "broker_unreachable",
    "not_reading",
    "state_unwritable",
    "commits_refused",
    "topic_unwritable",
    "parked_unreadable",
    "breaker_open",
    "lane_blocked",
];

/// What was found: how bad it is, its name, and the same for people.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<(HealthStatus, &'static str, String)>);

impl Facts<'_> {
    /// What they mean. The details hold every cause by its name, and the figures of each subscription.
    pub(crate) fn judge(&self) -> HealthCheckResult {
        let findings = self.causes();
        let status = findings.status();
        let message = match status {
            HealthStatus::Healthy => "everything is as it should be".to_owned(),
            _ => findings.0.iter().map(|(_, _, reason)| reason.as_str()).collect::<Vec<_>>().join("; "),
        };
        HealthCheckResult { status, message, details: Some(self.details(&findings)) }
    }

    /// Every cause of not being healthy, the worst first.
    pub(crate) fn causes(&self) -> Findings {
        let mut findings = Findings::default();
        self.judge_host(&mut findings);
        for (at, subscription) in self.subscriptions.iter().enumerate() {
            self.judge_subscription(&mut findings, subscription);
            self.judge_dead_letters(&mut findings, at, subscription);
        }
        for reader in &self.observation.readers {
            self.judge_reader(&mut findings, reader);
        }
        self.judge_topology(&mut findings);
        self.judge_troubles(&mut findings);
        findings.0.sort_by_key(|(status, ..)| std::cmp::Reverse(*status));
        findings
    }

    fn judge_host(&self, findings: &mut Findings) {
        if self.is_finished {
            return findings.unhealthy("stopped", "the host has ended".to_owned());
        }
        self.judge_process(findings);
        let Some(connection) = &self.connection else { return };
        if connection.state != ConnectionState::Connected {
            let why = connection.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            findings.unhealthy("broker_unreachable", format!("the broker does not answer{why}"));
        }
        for trouble in &self.broker_troubles {
            findings.degraded("broker_damaged", format!("the broker: {trouble}"));
        }
        if let Some(error) = &self.observation.error {
            findings.degraded("not_observed", format!("the broker could not be asked everything: {error}"));
        }
    }

    /// What holds for the process whatever the broker does.
    fn judge_process(&self, findings: &mut Findings) {
        let of_connection = self.connection.iter().flat_map(|connection| &connection.workers_died);
        for worker in self.workers_died.iter().chain(of_connection) {
            findings.unhealthy("worker_died", format!("{worker} ended in a panic; start the host again"));
        }
        let LogState { lost, lost_lately, is_failing } = self.log;
        if is_failing {
            let reason = format!("the log cannot be written, {lost} lines of it are lost so far");
            findings.degraded("log_lost", reason);
        } else if lost_lately {
            findings.degraded("log_lost", format!("lines of the log were lost, {lost} since the start"));
        }
    }

    fn judge_subscription(&self, findings: &mut Findings, subscription: &SubscriptionFacts<'_>) {
        let SubscriptionFacts { name, is_member, why_no_member, counters } = subscription;
        if !is_member && !self.is_finished {
            let why = why_no_member.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let reason = format!("subscription {name} is not a member of its group{why}");
            findings.unhealthy("not_reading", reason);
        }
        for (topic, messages) in &counters.unwritable_topics {
            findings.degraded(
                "topic_unwritable",
                format!(
                    "subscription {name}: {messages} messages wait for topic {topic}, which cannot be written"
                ),
            );
        }
        for (handler, seen) in &counters.handlers {
            if seen.state == HandlerState::Paused {
                findings.degraded(
                    "breaker_open",
                    format!("handler {handler} is paused: most of its attempts fail"),
                );
            }
            if seen.paused_tenants > 0 {
                let tenants = seen.paused_tenants;
                findings
                    .degraded("breaker_open", format!("handler {handler} is paused for {tenants} tenants"));
            }
            if seen.blocked_lanes + seen.parked_lanes > 0 {
                let (blocked, parked) = (seen.blocked_lanes, seen.parked_lanes);
                findings.degraded(
                    "lane_blocked",
                    format!("handler {handler}: {blocked} lanes are blocked and {parked} parked behind a dead event"),
                );
            }
        }
    }

    fn judge_dead_letters(&self, findings: &mut Findings, at: usize, subscription: &SubscriptionFacts<'_>) {
        let made = self.observation.dead_letters.get(at).copied().unwrap_or_default();
        if made > self.settings.dead_letters_max {
            let (name, window) =
                (&subscription.name, humantime::format_duration(self.settings.dead_letters_window));
            findings.degraded(
                "dead_letters",
                format!("subscription {name} made {made} dead letters in {window}"),
            );
        }
    }

    fn judge_reader(&self, findings: &mut Findings, Reader { group, position, stuck, .. }: &Reader) {
        if position.lag_total > self.settings.lag_max {
            findings.degraded("lag", format!("group {group} has {} messages before it", position.lag_total));
        }
        let unread = position.partitions.iter().filter(|partition| partition.member.is_none()).count();
        if unread > 0 {
            findings
                .degraded("partition_unread", format!("nobody reads {unread} partitions of group {group}"));
        }
        for stuck in stuck {
            let since = humantime::format_duration(std::time::Duration::from_secs(stuck.since.as_secs()));
            findings.degraded(
                "partition_stuck",
                format!(
                    "group {group} stands still in partition {} for {since}, with {} messages before it",
                    stuck.partition, stuck.lag
                ),
            );
        }
    }

    /// What the host noticed itself. That nothing gets on is a cause of its own only where no other one explains it.
    fn judge_troubles(&self, findings: &mut Findings) {
        let is_of_pulse = |cause: &str| [NO_PROGRESS, ONLY_RETRIES].contains(&cause);
        for (cause, reason) in self.troubles.iter().filter(|(cause, _)| !is_of_pulse(cause)) {
            findings.degraded(cause, reason.clone());
        }
        if EXPLANATIONS.iter().any(|cause| findings.has(cause)) {
            return;
        }
        for (cause, reason) in self.troubles.iter().filter(|(cause, _)| is_of_pulse(cause)) {
            match *cause {
                NO_PROGRESS => findings.unhealthy(cause, reason.clone()),
                _ => findings.degraded(cause, reason.clone()),
            }
        }
    }

    fn judge_topology(&self, findings: &mut Findings) {
        for report in &self.observation.drift {
            if report.state.is_none() {
                findings.unhealthy("topic_missing", format!("topic {} does not exist", report.topic));
            }
            for difference in &report.differences {
                findings.degraded("topology_drift", format!("topic {}: {difference}", report.topic));
            }
        }
    }

    fn details(&self, findings: &Findings) -> Value {
        let cause = |(status, code, message): &(HealthStatus, &str, String)| json!({ "status": status, "code": code, "message": message });
        let connection = self.connection.as_ref().map(|connection| {
            let last_error = connection.last_error.as_ref();
            json!({
                "state": connection.state,
                "address": connection.address,
                "last_error": last_error.map(ToString::to_string),
                "last_error_code": last_error.map(ConnectorError::stable_code),
            })
        });
        let observation = self.observation;
        json!({
            "causes": findings.0.iter().map(cause).collect::<Vec<_>>(),
            "connection": connection,
            "subscriptions": self.subscriptions.iter().map(figures).collect::<serde_json::Map<_, _>>(),
            "observed_at": observation.at_micros.map(|micros| micros / 1_000_000),
            "positions": observation.readers.iter().map(position).collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl Findings {
    /// How bad the worst of it is.
    pub(crate) fn status(&self) -> HealthStatus {
        self.0.iter().map(|(status, ..)| *status).max().unwrap_or(HealthStatus::Healthy)
    }

    /// Whether a cause of this name was found.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.0.iter().any(|(_, found, _)| *found == code)
    }

    fn unhealthy(&mut self, code: &'static str, reason: String) {
        self.0.push((HealthStatus::Unhealthy, code, reason));
    }

    fn degraded(&mut self, code: &'static str, reason: String) {
        self.0.push((HealthStatus::Degraded, code, reason));
    }
}

fn figures(subscription: &SubscriptionFacts<'_>) -> (String, Value) {
    let counters = &subscription.counters;
    let figures = json!({
        "received": counters.received,
        "settled": counters.settled,
        "unsettled": counters.unsettled,
        "partitions": counters.partitions,
        "dead_letters": counters.dead_letters_made(),
        "last_settled_at": counters.last_settled_micros / 1_000_000,
    });
    (subscription.name.to_owned(), figures)
}

fn position(reader: &Reader) -> (String, Value) {
    let position = &reader.position;
    let figures = json!({
        "lag_total": position.lag_total,
        "lag_max": position.lag_max,
        "partitions": position.partitions.len(),
        "complete": position.complete,
    });
    (reader.group.to_string(), figures)
}

#[cfg(test)]
mod tests;
