//! Whether the broker can be worked with, found out by asking it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::address::GroupAddress;
use crate::connector::IggyConnector;
use crate::error::ConnectorError;
use crate::groups::ConsumerGroupManager;
use crate::topology::TopologyManager;

/// How long a health check may take when nothing else is said.
const DEADLINE: Duration = Duration::from_secs(5);

/// A broker that takes longer to answer a ping is in trouble.
const PING_EXPECTED_MAX: Duration = Duration::from_secs(1);

/// How things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything works.
    Healthy,
    /// It works, but somebody should look.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthCheckResult {
    /// How things are.
    pub status: HealthStatus,
    /// The same for people, with every reason.
    pub message: String,
    /// The figures behind it.
    pub details: Option<Value>,
}

/// What is looked at besides whether the broker answers.
#[derive(Debug)]
pub struct HealthCheck<'a> {
    connector: &'a dyn IggyConnector,
    deadline: Duration,
    topology: Option<&'a TopologyManager>,
    groups: Vec<(&'a ConsumerGroupManager, &'a GroupAddress, u64)>,
}

/// Asks the broker for a sign of life within five seconds.
///
/// # Errors
///
/// None: a broker that does not answer is [`HealthStatus::Unhealthy`]. The platform's callers expect a result.
pub async fn health_check(connector: &dyn IggyConnector) -> Result<HealthCheckResult, ConnectorError> {
    Ok(HealthCheck::new(connector).run().await)
}

/// What was found so far.
#[derive(Debug)]
struct Findings {
    status: HealthStatus,
    reasons: Vec<String>,
    details: serde_json::Map<String, Value>,
}

impl<'a> HealthCheck<'a> {
    /// A check of whether the broker answers.
    #[must_use]
    pub fn new(connector: &'a dyn IggyConnector) -> Self {
        Self { connector, deadline: DEADLINE, topology: None, groups: Vec::new() }
    }

    /// Lets the whole check take so long.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Looks at topics, too: a missing one is unhealthy, one that differs is degraded.
    #[must_use]
    pub fn topology(self, topology: &'a TopologyManager) -> Self {
        Self { topology: Some(topology), ..self }
    }

    /// Looks at a group, too: more messages before it in all are degraded, and so are partitions that nobody reads.
    #[must_use]
    pub fn group(mut self, groups: &'a ConsumerGroupManager, group: &'a GroupAddress, lag_max: u64) -> Self {
        self.groups.push((groups, group, lag_max));
        self
    }

    /// Asks. Ends within the deadline.
    pub async fn run(&self) -> HealthCheckResult {
        let mut findings = Findings::new();
        self.note_connection(&mut findings);
        if timeout(self.deadline, self.ask(&mut findings)).await.is_err() {
            let error = ConnectorError::Timeout(format!("no answer within {:?}", self.deadline));
            findings.note_error("broker", &error);
        }
        findings.into_result()
    }

    async fn ask(&self, findings: &mut Findings) {
        let start = Instant::now();
        if let Err(error) = self.connector.ping().await {
            findings.note_error("broker", &error);
            return;
        }
        let took = start.elapsed();
        findings.detail("latency_ms", json!(took.as_millis()));
        if took > PING_EXPECTED_MAX {
            findings.note(HealthStatus::Degraded, format!("the broker took {took:?} to answer"));
        }
        if let Some(topology) = self.topology {
            findings.note_topology(topology).await;
        }
        for (groups, group, lag_max) in &self.groups {
            findings.note_group(groups, group, *lag_max).await;
        }
    }

    fn note_connection(&self, findings: &mut Findings) {
        let status = self.connector.connection_status();
        findings.detail("connected", json!(self.connector.is_connected()));
        let last_error = status.last_error.as_ref();
        let connection = json!({
            "state": status.state,
            "address": status.address,
            "connections_opened": status.connections_opened,
            "failed_attempts": status.failed_attempts,
            "last_error": last_error.map(ToString::to_string),
            "last_error_code": last_error.map(ConnectorError::stable_code),
        });
        findings.detail("connection", connection);
    }
}

impl HealthCheckResult {
    /// Everything works.
    #[must_use]
    pub fn healthy(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Healthy, message: message.into(), details: None }
    }

    /// It works, but somebody should look.
    #[must_use]
    pub fn degraded(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Degraded, message: message.into(), details: None }
    }

    /// It does not work.
    #[must_use]
    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self { status: HealthStatus::Unhealthy, message: message.into(), details: None }
    }

    /// Adds figures.
    #[must_use]
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        })
    }
}

impl Findings {
    fn new() -> Self {
        Self { status: HealthStatus::Healthy, reasons: Vec::new(), details: serde_json::Map::new() }
    }

    fn note(&mut self, status: HealthStatus, reason: String) {
        self.status = self.status.max(status);
        self.reasons.push(reason);
    }

    fn note_error(&mut self, what: &str, error: &ConnectorError) {
        self.note(HealthStatus::Unhealthy, format!("{what}: {error}"));
        self.detail("error_code", json!(error.stable_code()));
    }

    fn detail(&mut self, name: &str, value: Value) {
        self.details.insert(name.to_owned(), value);
    }

    async fn note_topology(&mut self, topology: &TopologyManager) {
        let reports = match topology.report().await {
            Ok(reports) => reports,
            Err(error) => return self.note_error("topology", &error),
        };
        for report in reports.iter().filter(|report| !report.is_as_expected()) {
            let topic = &report.topic;
            if report.state.is_none() {
                self.note(HealthStatus::Unhealthy, format!("topic {topic} does not exist"));
            }
            for difference in &report.differences {
                self.note(HealthStatus::Degraded, format!("topic {topic}: {difference}"));
            }
        }
        self.detail("topics", json!(reports));
    }

    async fn note_group(&mut self, groups: &ConsumerGroupManager, group: &GroupAddress, lag_max: u64) {
        let position = match groups.position(group).await {
            Ok(position) => position,
            Err(error) => return self.note_error("group", &error),
        };
        if position.lag_total > lag_max {
            let lag = position.lag_total;
            self.note(HealthStatus::Degraded, format!("group {group} has {lag} messages before it"));
        }
        let unread = position.partitions.iter().filter(|partition| partition.member.is_none()).count();
        if unread > 0 {
            self.note(HealthStatus::Degraded, format!("nobody reads {unread} partitions of group {group}"));
        }
        self.detail(&format!("group {group}"), json!(position));
    }

    fn into_result(self) -> HealthCheckResult {
        let message = match self.status {
            HealthStatus::Healthy => "the broker answers and everything is as it should be".to_owned(),
            _ => self.reasons.join("; "),
        };
        HealthCheckResult { status: self.status, message, details: Some(Value::Object(self.details)) }
    }
}
