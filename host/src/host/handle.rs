//! The handle by which others look at a host and stop it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use guesthouse_broker::workers::Workers;
use guesthouse_connector::{ConnectionStatus, HealthCheckResult, IggyConnector};
use tokio::sync::watch;

use super::Ended;
use crate::counters::Counters;
use crate::health::{Facts, Findings, HealthSettings, Observation, SubscriptionFacts};
use crate::subscription::{Run, View};
use crate::trouble::Troubles;

/// Looks at a host and stops it. Cheap to clone; dropping it changes nothing, and keeping it keeps nothing open.
#[derive(Debug, Clone)]
pub struct HostHandle {
    pub(super) instance_id: Arc<str>,
    pub(super) views: Vec<Arc<View>>,
    pub(super) dead_letter_topic: Arc<str>,
    pub(super) connector: Weak<dyn IggyConnector>,
    pub(super) observation: watch::Receiver<Observation>,
    pub(super) troubles: Troubles,
    pub(super) health: Arc<HealthSettings>,
    pub(super) workers: Workers,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) control: watch::Sender<Run>,
    pub(super) has_ended: watch::Receiver<Ended>,
}

impl HostHandle {
    /// Names this host among all there ever were. It is new for every host that is built.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Whether the host reads all its topics and can publish what it must.
    pub fn is_ready(&self) -> bool {
        !self.is_finished() && self.is_connected() && self.views.iter().all(|view| view.is_ready())
    }

    /// Whether the host has ended: it was stopped, failed, or was dropped.
    pub fn is_finished(&self) -> bool {
        // The sender lives in the host: if it is gone without a word, the host was dropped.
        *self.has_ended.borrow() == Ended::Yes || self.has_ended.has_changed().is_err()
    }

    /// Whether the broker answered the last time that somebody asked it something.
    pub(crate) fn is_connected(&self) -> bool {
        self.connector.upgrade().is_some_and(|connector| connector.is_connected())
    }

    /// How the way to the broker is doing, while there is one.
    pub(crate) fn connection_status(&self) -> Option<ConnectionStatus> {
        self.connector.upgrade().map(|connector| connector.connection_status())
    }

    pub(crate) fn views(&self) -> &[Arc<View>] {
        &self.views
    }

    pub(crate) fn dead_letter_topic(&self) -> &str {
        &self.dead_letter_topic
    }

    /// How the host fares: what it notices itself about a quarter of a second ago, and what it asks the broker as often
    /// as the configuration says. Asks nothing now and waits for nothing.
    ///
    /// The details are JSON: every cause with its name, the connection, and figures of each subscription.
    pub fn health(&self) -> HealthCheckResult {
        self.with_facts(|facts| facts.judge())
    }

    /// What keeps the host from being healthy.
    pub(crate) fn health_causes(&self) -> Findings {
        self.with_facts(|facts| facts.causes())
    }

    fn with_facts<T>(&self, judge: impl FnOnce(&Facts<'_>) -> T) -> T {
        // Looked at and not copied: they hold figures of every tenant.
        let counters: Vec<_> = self.views.iter().map(|view| view.counters.borrow()).collect();
        let facts = self.views.iter().zip(&counters).map(|(view, counters)| SubscriptionFacts {
            name: &view.subscription,
            is_member: view.is_member(),
            why_no_member: view.why_no_member(),
            counters: Cow::Borrowed(counters),
        });
        judge(&Facts {
            is_finished: self.is_finished(),
            connection: self.connection_status(),
            subscriptions: facts.collect(),
            troubles: self.troubles.now(),
            observation: &self.observation.borrow(),
            settings: &self.health,
            workers_died: self.workers.died(),
            broker_troubles: self.connector.upgrade().map(|one| one.broker_troubles()).unwrap_or_default(),
            log: crate::telemetry::state(),
        })
    }

    /// Whether every thread and task that the host and its broker rely on is alive. A host with a dead one has to be started
    /// again.
    pub(crate) fn is_alive(&self) -> bool {
        let of_connection = self.connection_status().unwrap_or_default().workers_died;
        of_connection.is_empty() && self.workers.died().is_empty()
    }

    /// Where the host shows metrics and health over HTTP, when it is configured to.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// How often each cause of health was met that the host notices itself, since it started.
    pub(crate) fn trouble_counts(&self) -> BTreeMap<&'static str, u64> {
        self.troubles.counts()
    }

    /// What was last seen of the broker.
    pub(crate) fn observation(&self) -> watch::Ref<'_, Observation> {
        self.observation.borrow()
    }

    /// What the host counted, about a quarter of a second ago. Where thousands of tenants and handlers have events, figures
    /// of single ones may be older, so that telling takes no more than a twentieth of the host's time.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for view in &self.views {
            counters.add(&view.counters.borrow());
        }
        counters.troubles = self.troubles.counts_by_name();
        counters
    }

    /// How many messages are settled, as of [`Self::counters`], without a copy of all that was counted.
    pub fn settled(&self) -> u64 {
        self.views.iter().map(|view| view.counters.borrow().settled).sum()
    }

    /// Asks the host to drain within `deadline` and waits until it has ended. Cancelling only stops waiting.
    pub async fn stop(&self, deadline: Duration) {
        self.control.send_replace(Run::DrainUntil(Instant::now() + deadline));
        let mut has_ended = self.has_ended.clone();
        // The sender lives in the host: if it is gone without a word, the host was dropped, which also is an end.
        drop(has_ended.wait_for(|ended| *ended == Ended::Yes).await);
    }
}
